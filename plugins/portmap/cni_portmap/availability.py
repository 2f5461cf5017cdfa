"""STATUS: whether ports can be published here, as cheaply as it can be told, for it is polled."""

from __future__ import annotations

from cni_portmap.tables import TABLE
from hostnet import nft
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_portmap.config import Config


def require(config: Config) -> None:
    """Raise OSError or CniError, with the reason, unless ports can be published."""
    nl = backend.open_nftables(config.backend or backend.of_host())
    if nl is None:
        backend.require_iptables()
        return
    with nl:
        nl.require()
        # libnftables lays the rules down; where they are there already it is not needed.
        if TABLE.problems(nl):
            nft.load()
