"""STATUS: whether nftables can be used here, as cheaply as it can be told, since it is polled."""

from __future__ import annotations

import errno

from cni_portmap.tables import TABLE
from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import NetlinkError


def require() -> None:
    """Raise OSError, with the reason, unless ports can be published."""
    with Netfilter.open() as nl:
        if not nl.available():
            raise NetlinkError(
                errno.EOPNOTSUPP, "use nftables", extack="this kernel has none; load nf_tables"
            )
        # libnftables lays the rules down; where they are there already it is not needed.
        if TABLE.problems(nl):
            nft.load()
