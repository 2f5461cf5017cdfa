"""DEL by iptables, which mostly finds nothing: looked for without its programs."""

from __future__ import annotations

from hostnet.iptables_look import Here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from hostnet.netfilter import Netfilter


def remove(nl: Netfilter | None, owner: str, addresses: Collection[str] = ()) -> None:
    """Take back what the owner has there. nl: a socket in this namespace, None without netfilter's.

    addresses: see `withdraw.remove`. Raises CniError, OSError.
    """
    here = Here.settled(nl)
    if not here.any("filter"):
        return
    from wiring import xtables

    places = here.with_chain("filter", xtables.own_chain(owner))
    unnamed = addresses and here.with_chain("filter", "CNI-FORWARD")
    if not places and not unnamed:
        return
    from cni_firewall import by_iptables

    by_iptables.remove(places, owner)
    if unnamed:
        by_iptables.remove_unnamed(nl, unnamed, addresses)
