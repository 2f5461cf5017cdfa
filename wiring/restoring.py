"""Healing: lay down again what a running container's packet filter has lost, and nothing else.

A plugin's `restore` says how to lay it down, by the functions that ADD uses, and how to take it
back; what is common is here. That a container is one that runs is looked at where it counts:
right before each change is made (`hostnet.condition`), and once more after it, since a DEL may have
begun (`hostnet.leaving` says why that is enough).

Where the changes for many gather (`hostnet.nfbatch`, `hostnet.iptables_batch`), both looks are at
all of them, right before the common change and after it.
"""

from __future__ import annotations

from hostnet import iptables, leaving, link, nfdraft, sysctl
from hostnet.condition import OnlyWhile
from hostnet.iptables_batch import is_first
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from wiring import compare, firewall, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cni import ip
    from cni.call import Call
    from cni.result import Interface
    from wiring.bridged import Bridged
    from wiring.firewall import Filtered


class GoneError(Exception):
    """The container does not run, or not any more: there is nothing to restore."""


def restore(call: Call, lay: Callable[[], bool], take_back: Callable[[], None]) -> bool:
    """Call `lay` for a container that runs; gives what it gives, whether anything had to be done.

    take_back: removes what `lay` may have made; called where the container has gone meanwhile.
    Raises GoneError, and what they raise.

    With a call of DEL it is the other way round: see `_withdraw`.
    """
    if call.command == "DEL":
        return _withdraw(call, take_back)

    def require(_: str) -> None:
        if not is_running(call):
            raise GoneError(call.owner)

    with OnlyWhile(require, late=True):
        changed = lay()
    if not changed:
        return False
    gathering = [one.owners for one in nfdraft.batches] + [one.owners for one in iptables.batches]
    for owners in gathering:
        owners.add(call.owner, lambda: not is_running(call), take_back)
    if not nfdraft.batches and not is_running(call):
        take_back()
        raise GoneError(call.owner)
    return True


def _withdraw(call: Call, take_back: Callable[[], None]) -> bool:
    """Take back what was laid down for a container that has gone without a sign.

    Another suite's DEL sets none, takes rules first and the link last, and what healing has laid
    down in between nobody would remove. False, and nothing, where a container of this identity is
    there: the same, or one that was added anew.
    """

    def require(_: str) -> None:
        if _is_there(call):
            raise GoneError(call.owner)

    try:
        require("")
        with OnlyWhile(require):
            take_back()
    except GoneError:
        return False
    return True


def _is_there(call: Call) -> bool:
    """Whether there is an interface of this identity, on the host or in the container."""
    if leaving.mac_of(leaving.host_end(call.owner)) or is_running(call):
        return True
    try:
        with NetNS.open(call.netns) as ns, ns.netlink() as inside:
            return link.find(inside, call.ifname) is not None
    except OSError:
        return False


def bridged(call: Call, config: Bridged) -> bool:
    """`restore` of a plugin with a bridge. call: with the previous result. Raises as `restore`."""
    result = compare.previous(call)
    gateways = plan.gateways(result.ips) if config.is_gateway else ()
    return pair(call, config, {one.version for one in gateways})


def pair(call: Call, config: Filtered, forwarding: Iterable[int]) -> bool:
    """`restore` of a plugin whose containers have a veth pair.

    forwarding: the IP versions that the host forwards for the container. Raises as `restore`.
    """
    result = compare.previous(call)
    port = leaving.host_end(call.owner)
    inner = compare.reported(result, call.ifname, inside=True)
    mac = inner.mac.lower() if inner is not None else ""
    addresses: list[ip.Interface] = [one.address for one in result.ips]

    def lay() -> bool:
        changed = firewall.restore(call.owner, config, port, mac, addresses)
        names = (sysctl.FORWARDING[one] for one in sorted(forwarding))
        switches = [sysctl.ensure(name, "1") for name in names if is_first(name)]
        return changed or any(switches)

    return restore(call, lay, lambda: firewall.teardown(call.owner, port))


def is_running(call: Call) -> bool:
    """Whether the link that the previous result tells of is there, and no DEL has begun.

    The very link and not one of the same name: a runtime that never sent a DEL may add the same
    container anew, and the result is then of the first. Raises OSError.
    """
    result = compare.previous(call)
    own = leaving.host_end(call.owner)
    outside = [one for one in result.interfaces if not one.sandbox]
    told = next((one for one in outside if one.name == own), None)
    if told is not None:
        return told.mac.lower() == leaving.mac_of(own) and not leaving.is_marked(own)
    with Netlink() as nl:
        for one in outside:
            other = link.find(nl, one.name)
            if other is not None and other.kind == "veth" and one.mac.lower() == other.mac:
                return not leaving.is_marked(one.name)
    return _is_inside(call, result.interfaces)


def _is_inside(call: Call, interfaces: Iterable[Interface]) -> bool:
    """Whether the container has the interface; for those of which the host has no end."""
    told = next((one for one in interfaces if one.sandbox and one.name == call.ifname), None)
    if told is None or not call.netns:
        return False
    try:
        with NetNS.open(call.netns) as ns, ns.netlink() as inside:
            found = link.find(inside, call.ifname)
    except OSError:
        return False
    return found is not None and told.mac.lower() in ("", found.mac)
