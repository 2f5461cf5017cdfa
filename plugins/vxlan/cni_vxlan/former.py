"""What a former config of the network has left on this host: another device, another bridge.

A config may have got another VNI, bridge or engine since containers were attached, and this host
other subnets. Two devices or bridges of one network would have the same addresses and routes, of
which one set can work. So what the config has no place for any more goes before anything is made,
and as long as containers hang on it, the new config is refused.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, CniError
from cni.record import record
from cni_vxlan import device, identity
from cni_vxlan.peers import Flannel
from hostnet import address, link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni.ip import Interface, Network
    from cni_vxlan.overlay import Overlay
    from hostnet.link import Link
    from hostnet.netlink import Netlink


@record
class _Former:
    """A link the network has no place for. why: as an error says it. ports: who hangs on it."""

    link: Link
    why: str
    ports: tuple[str, ...]
    remedy: str = "take the config back, or remove them first"


def require_unused(
    nl: Netlink,
    overlay: Overlay,
    found: Link | None,
    subnets: tuple[Network, ...],
    pools: tuple[Network, ...],
) -> None:
    """Raise CniError(IN_THE_WAY) where containers hang on what a former config has left.

    found: the overlay's device. subnets: this host's, none where there are none or nobody knows
    them. pools: what all hosts' are part of.
    """
    _refuse_used(_all(nl, overlay, found, subnets, pools))


def remove(
    nl: Netlink,
    overlay: Overlay,
    found: Link | None,
    subnets: tuple[Network, ...],
    pools: tuple[Network, ...],
) -> None:
    """Remove what a former config has left, or raise as `require_unused` does.

    The caller has the lock of the host's namespace.
    """
    there = list(_all(nl, overlay, found, subnets, pools))
    _refuse_used(there)
    for one in there:
        if one.link.kind == "vxlan":
            device.remove(nl, one.link)
        else:
            link.delete(nl, one.link.index, missing_ok=True)


def _refuse_used(there: Iterable[_Former]) -> None:
    for one in there:
        if one.ports:
            raise CniError(
                IN_THE_WAY,
                f"{one.why}, and containers there ({', '.join(one.ports[:5])}): {one.remedy}",
            )


def _all(
    nl: Netlink,
    overlay: Overlay,
    found: Link | None,
    subnets: tuple[Network, ...],
    pools: tuple[Network, ...],
) -> Iterator[_Former]:
    yield from _devices(nl, overlay, found)
    for one in link.dump(nl, kind="bridge"):
        mark = identity.read_alias(one.alias)
        is_own = mark is not None and mark.is_of(overlay.network)
        if one.name != overlay.bridge:
            yield from _other_bridge(nl, overlay, found, one, is_own=is_own)
        elif is_own:
            yield from _other_subnets(nl, one, subnets, pools)


def _devices(nl: Netlink, overlay: Overlay, found: Link | None) -> Iterator[_Former]:
    """The network's devices with other VNIs; beside the right one, none can have been of use."""
    if found is not None:
        return
    is_flannel = isinstance(overlay.peers, Flannel)
    for one in link.dump(nl, kind="vxlan"):
        mark = identity.read_alias(one.alias)
        if mark is None or not mark.is_of(overlay.network):
            continue
        if is_flannel or one.name != overlay.device:
            key = '"peers.type": found "flannel"' if is_flannel else f'"vni": found {overlay.vni}'
            why = f'key {key}, and network "{overlay.network}" has device {one.name}'
            yield _Former(one, why, tuple(device.attached(nl, overlay, one)))


def _other_bridge(
    nl: Netlink, overlay: Overlay, found: Link | None, bridge: Link, *, is_own: bool
) -> Iterator[_Former]:
    """A bridge that is not the config's: the network's own, or the one its device is a port of."""
    if not is_own and (found is None or found.master != bridge.index):
        return
    ports = tuple(
        port.name
        for port in link.dump(nl, master=bridge.index)
        if (is_own and port.kind != "vxlan") or port.alias.startswith(f"{overlay.network}/")
    )
    if is_own or ports:  # somebody else's stays, the device leaves it
        why = f'key "bridge": found "{overlay.bridge}", and network "{overlay.network}" has bridge '
        yield _Former(bridge, why + bridge.name, ports)


def _other_subnets(
    nl: Netlink, bridge: Link, subnets: tuple[Network, ...], pools: tuple[Network, ...]
) -> Iterator[_Former]:
    """The bridge itself, where it is the gateway of subnets that are this host's no more."""
    if not subnets:
        return
    there = [one.interface for one in address.dump(nl, index=bridge.index)]
    stale = [one for one in there if _is_stale(one, subnets, pools)]
    if stale:
        have, are = (", ".join(map(str, one)) for one in (stale, subnets))
        why = f"bridge {bridge.name} has {have}, while this host's subnets are {are}"
        ports = tuple(port.name for port in link.dump(nl, master=bridge.index))
        yield _Former(bridge, why, ports, "remove them first")


def _is_stale(there: Interface, subnets: tuple[Network, ...], pools: tuple[Network, ...]) -> bool:
    """Whether it is none of the subnets', and one of the overlay's or the only one that can be."""
    if there.is_link_local or any(there.ip in one for one in subnets):
        return False
    if any(there.ip in one for one in pools):
        return True
    return there.version == 4 and any(one.version == 4 for one in subnets)
