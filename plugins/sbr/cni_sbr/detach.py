"""DEL: the rules for the interface's addresses; its routes end with it."""

from __future__ import annotations

from cni.errors import CniError
from cni_sbr.attach import remove_rules
from cni_sbr.config import addresses, alone, read_config
from hostnet import address, link
from hostnet.lock import NamespaceLock
from hostnet.netns import NetNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def delete(call: Call) -> None:
    """Remove the rules; nothing to do where the namespace is gone. Raises OSError.

    The addresses are the previous result's and those that the interface has: either may be missing.
    """
    if not call.netns:
        return
    result = call.prev_result
    told = addresses(result, call.ifname) if result else ()
    sources = {alone(one.address.ip) for one in told}
    with (
        NetNS.open(call.netns) as ns,
        ns.netlink() as nl,
        NamespaceLock(path=call.netns),
    ):
        found = link.find(nl, call.ifname)
        if found is not None:
            held = address.dump(nl, index=found.index)
            sources.update(alone(one.interface.ip) for one in held)
        if sources:
            remove_rules(nl, sources, _table(call))


def _table(call: Call) -> int:
    """The table to which the rules lead, 0 where the config does not say it or has become wrong."""
    try:
        return read_config(call.config).table
    except CniError:
        return 0
