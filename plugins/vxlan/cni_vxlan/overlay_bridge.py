"""The overlay's bridge, and in mode l2 the device as its port.

The bridge bears the network's mark where this plugin made it; one that was there before has none
and is never removed.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, CniError
from cni_vxlan import identity
from hostnet import bridge as bridges
from hostnet import link
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
    """The bridge, made where it is missing; with its mark, if `wanted` has that.

    Raises CniError(IN_THE_WAY).
    """
    found = find(nl, network, wanted.bridge)
    if found is not None:
        return found
    try:
        return host.ensure_bridge(nl, wanted, undo)
    except OSError:
        # After an answer that did not come: under the lock, what has the name is what was made.
        half = link.find(nl, wanted.bridge)
        if half is not None and half.kind == "bridge" and not link.dump(nl, master=half.index):
            link.delete(nl, half.index, missing_ok=True)
        raise


def join(nl: Netlink, overlay: Overlay, made: Link, bridge: Link) -> None:
    """Make the device a port of the bridge, set as its engine needs it.

    Raises CniError(IN_THE_WAY) where the device of another network is a port already.
    """
    if made.master != bridge.index:
        for other in link.dump(nl, master=bridge.index):
            mark = identity.read_alias(other.alias)
            if other.kind == "vxlan" and mark is not None and not mark.is_of(overlay.network):
                raise CniError(
                    IN_THE_WAY,
                    f'key "bridge": found "{bridge.name}", on which network "{mark.name}" is '
                    f"already by {other.name}: both would be one segment; give each a bridge of "
                    "its own",
                )
        link.change(nl, made.index, master=bridge.index)
        made = link.by_index(nl, made.index)
    if list(switch_problems(overlay, made)):
        link.change(nl, made.index, port=bridges.port(**_switches(overlay)))


def switch_problems(overlay: Overlay, port: Link) -> Iterator[str]:
    """What of the port's switches is not as its engine needs it, in words."""
    present = bridges.switches(port)
    for name, wanted in _switches(overlay).items():
        if present.get(name) != wanted:
            yield f"device {port.name} has {name} {'off' if wanted else 'on'} as a bridge port"


def _switches(overlay: Overlay) -> dict[str, bool]:
    """With EVPN, FRR says who is where, and requests are answered from what it says."""
    told = overlay.peers.engine == "evpn"
    return {"learning": not told, "neigh_suppress": told}
