"""STATUS: whether an ADD could succeed, as cheaply as it can be told, since it is polled."""

from __future__ import annotations

from cni_firewall import forward
from cni_firewall.config import FIREWALLD
from cni_firewall.tables import TABLE
from hostnet import nft
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_firewall.config import Config


def require(call: Call, config: Config) -> None:
    """Raise OSError or CniError, with the reason, unless containers can be let through."""
    chosen = config.backend or backend.of_host()
    if chosen == FIREWALLD:
        from cni_firewall import firewalld

        firewalld.require(call.environ).close()
        chosen = backend.NFTABLES
    nl = backend.open_nftables(chosen)
    if nl is None:
        backend.require_iptables()
        return
    with nl:
        nl.require()
        # libnftables lays the rules down; where they are there already it is not needed.
        if TABLE.problems(nl):
            nft.load()
        forward.require_way(nl, (4,))
