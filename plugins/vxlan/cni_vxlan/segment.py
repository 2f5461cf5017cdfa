"""The overlay's bridge, and in mode l2 the device as its port.

The bridge bears the network's mark where this plugin made it; one that was there before has none
and is never removed.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, CniError
from cni_vxlan import device, evpn, identity
from hostnet import bridge, link, vxlan
from hostnet.lock import NamespaceLock
from wiring import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni_vxlan.overlay import Overlay
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.undo import Undo
    from wiring.bridged import Bridged


def find(nl: Netlink, network: str, name: str) -> Link | None:
    """The bridge of this name; None where the name is free.

    Raises CniError(IN_THE_WAY) for something else, and for another network's bridge.
    """
    found = host.find_bridge(nl, name)
    mark = identity.read_alias(found.alias) if found is not None else None
    if mark is not None and not mark.is_of(network):
        raise CniError(
            IN_THE_WAY,
            f'key "bridge": found "{name}", which is of network "{mark.name}": give network '
            f'"{network}" a bridge of its own',
        )
    return found


def ensure(nl: Netlink, network: str, wanted: Bridged, undo: Undo) -> Link:
    """The bridge, made and marked where it is missing. Raises CniError(IN_THE_WAY)."""
    found = find(nl, network, wanted.bridge)
    if found is not None:
        return found
    try:
        made = host.ensure_bridge(nl, wanted, undo)
        link.change(nl, made.index, alias=identity.alias(network))
    except OSError:
        # After an answer that did not come: under the lock, what has the name is what was made.
        half = link.find(nl, wanted.bridge)
        if half is not None and half.kind == "bridge" and not link.dump(nl, master=half.index):
            link.delete(nl, half.index, missing_ok=True)
        raise
    return made


def join(nl: Netlink, overlay: Overlay, made: Link, on: Link) -> None:
    """Make the device a port of the bridge, set as its engine needs it.

    Raises CniError(IN_THE_WAY) where the device of another network is a port already.
    """
    if made.master != on.index:
        for other in link.dump(nl, master=on.index):
            mark = identity.read_alias(other.alias)
            if other.kind == "vxlan" and mark is not None and not mark.is_of(overlay.network):
                raise CniError(
                    IN_THE_WAY,
                    f'key "bridge": found "{on.name}", on which network "{mark.name}" is already '
                    f"by {other.name}: both would be one segment; give each a bridge of its own",
                )
        link.change(nl, made.index, master=on.index)
        made = link.by_index(nl, made.index)
    if list(switch_problems(overlay, made)):
        link.change(nl, made.index, port=bridge.port(**_switches(overlay)))


def switch_problems(overlay: Overlay, port: Link) -> Iterator[str]:
    """What of the port's switches is not as its engine needs it, in words."""
    present = bridge.switches(port)
    for name, wanted in _switches(overlay).items():
        if present.get(name) != wanted:
            yield f"device {port.name} has {name} {'off' if wanted else 'on'} as a bridge port"


def _switches(overlay: Overlay) -> dict[str, bool]:
    """With EVPN, FRR says who is where, and requests are answered from what it says."""
    told = overlay.peers.engine == "evpn"
    return {"learning": not told, "neigh_suppress": told}


def leave(nl: Netlink, network: str, vni: int, port: int, name: str) -> None:
    """After a DEL: remove what no container of this host needs any more.

    With a segment's last container go its device, the guard, and the bridge if it is the network's
    own. The device of mode l3, which other hosts' routes lead to, stays. vni: 0 where nobody knows
    it. port: for a guard without a device. name: of the bridge, empty where nobody knows it.
    """
    if vni and not _is_routed(_own(nl, network, identity.device_name(vni))):
        with NamespaceLock():
            _leave(nl, network, vni, port, name)


def _leave(nl: Netlink, network: str, vni: int, port: int, name: str) -> None:
    """The device goes last, since what is left over by a call that was killed is found by it."""
    found = _own(nl, network, identity.device_name(vni))
    if _is_routed(found):
        return
    on = link.by_index(nl, found.master) if found is not None and found.master else None
    if on is None and name:
        on = _own(nl, network, name)
    if on is not None:
        evpn.withdraw_gone(nl, on)
        ports = link.dump(nl, master=on.index)
        if any(found is None or port.index != found.index for port in ports):
            return
    elif found is None:
        return
    if found is not None:
        link.set_down(nl, found.index)
        port = vxlan.Vxlan(found).port
    device.unguard(port, vni)
    mark = identity.read_alias(on.alias) if on is not None else None
    if on is not None and mark is not None and mark.is_of(network):
        link.delete(nl, on.index, missing_ok=True)
    if found is not None:
        link.delete(nl, found.index, missing_ok=True)


def _own(nl: Netlink, network: str, name: str) -> Link | None:
    """The link of this name if it bears the network's mark."""
    found = link.find(nl, name)
    mark = identity.read_alias(found.alias) if found is not None else None
    return found if mark is not None and mark.is_of(network) else None


def _is_routed(found: Link | None) -> bool:
    """Whether it is the device of mode l3, which stands for subnets."""
    mark = identity.read_alias(found.alias) if found is not None else None
    return mark is not None and bool(mark.subnets)
