"""STATUS: whether an ADD could succeed, as cheaply as it can be told, since it is polled."""

from __future__ import annotations

import errno

from cni_firewall.config import FIREWALLD
from cni_firewall.tables import TABLE
from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_firewall.config import Config


def require(call: Call, config: Config) -> None:
    """Raise OSError or CniError, with the reason, unless containers can be let through."""
    if config.backend == FIREWALLD:
        from cni_firewall import firewalld

        firewalld.require(call.environ).close()
    with Netfilter.open() as nl:
        if not nl.available():
            raise NetlinkError(
                errno.EOPNOTSUPP, "use nftables", extack="this kernel has none; load nf_tables"
            )
        # libnftables lays the rules down; where they are there already it is not needed.
        if TABLE.problems(nl):
            nft.load()
