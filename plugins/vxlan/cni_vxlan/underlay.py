"""The underlay on this host: the device that an overlay runs over, and the VTEP's address there.

With static peers this host is the one of the list whose address it has. Otherwise the underlay is
the device of the default route, or the one that the config names, and the VTEP has its first
global address: of the group's family, else IPv4 before IPv6.

An address of the loopback device, as routers have one that stays whichever wire is down, may be a
VTEP's too, but the underlay is then the wire: the one of the default route, or that is named.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, TRY_AGAIN_LATER, CniError
from cni.record import record
from cni_vxlan import overlay as overlays
from cni_vxlan.peers import Multicast, Static
from hostnet import address, link, route, vxlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.peers import StaticNode
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_FAMILIES = {4: address.AF_INET, 6: address.AF_INET6}
_UNFIT = address.IFA_F_TENTATIVE | address.IFA_F_DADFAILED
_TEMPORARY = address.IFA_F_SECONDARY  # what this bit means for IPv6: it changes every day
_MIN_IPV6_MTU = 1280  # RFC 8200
_LOOPBACK = 1  # the index of `lo` in every network namespace: LOOPBACK_IFINDEX, net/flow.h


@record
class Underlay:
    """link: the device, up. local: the VTEP's address.

    arrives_by: the name that packets to the VTEP come in under (`iifname` of nftables): the
    device's, or that of the VRF it is in.
    """

    link: Link
    local: Address
    arrives_by: str

    @property
    def room(self) -> int:
        """The largest MTU of the overlay."""
        return self.link.mtu - vxlan.overhead(self.local.version)


def find(nl: Netlink, overlay: Overlay, device: Link | None) -> Underlay:
    """The overlay's underlay on the host of `nl`.

    device: the overlay's own where there is one: the address it uses stays while the host has it.
    Raises CniError: INVALID_CONFIG where the config does not fit this host, TRY_AGAIN_LATER where
    the underlay is down or has no address yet.
    """
    if isinstance(overlay.peers, Static):
        below, local = _static(nl, overlay, overlay.peers)
    else:
        below = _underlay(nl, overlay)
        local = _local(nl, overlay, below, device)
    if below.index == _LOOPBACK:
        raise CniError(
            INVALID_CONFIG,
            f'key "underlay": found "{below.name}", expected the device that leads to the other '
            'hosts; the address of the VTEP, which may be on this one, is key "local"',
        )
    if not below.up:
        raise CniError(
            TRY_AGAIN_LATER,
            f'key "underlay": {below.name} is down, expected up: ip link set {below.name} up',
        )
    vrf = link.by_index(nl, below.master).name if below.port_kind == "vrf" else ""
    return Underlay(below, local, vrf or below.name)


def own_node(static: Static, underlay: Underlay) -> StaticNode:
    """This host in the list."""
    return next(node for node in static.nodes if node.address == underlay.local)


def mtu(overlay: Overlay, underlay: Underlay) -> int:
    """The overlay's MTU. Raises CniError(INVALID_CONFIG) for one that does not fit the underlay."""
    room, below, version = underlay.room, underlay.link, underlay.local.version
    taken = vxlan.overhead(version)
    reason = f"{below.name} has {below.mtu}, and VXLAN over IPv{version} takes {taken}"
    if overlay.mtu > room:
        raise CniError(
            INVALID_CONFIG, f'key "mtu": found {overlay.mtu}, expected at most {room}: {reason}'
        )
    if room < _MIN_IPV6_MTU and any(pool.version == 6 for pool in overlay.pools):
        raise CniError(
            INVALID_CONFIG,
            f'key "network": found an IPv6 network and room for {room} bytes ({reason}), expected '
            f"{_MIN_IPV6_MTU}: enlarge the underlay's MTU or do without IPv6",
        )
    return overlay.mtu or room


def _static(nl: Netlink, overlay: Overlay, static: Static) -> tuple[Link, Address]:
    there = {one.interface.ip: one.index for one in address.dump(nl)}
    below = _named(nl, overlay.underlay) if overlay.underlay else None
    if below is not None:
        mine = (below.index, _LOOPBACK)
        there = {one: index for one, index in there.items() if index in mine}
    own = [node.address for node in static.nodes if node.address in there]
    if overlay.local is not None:
        own = [one for one in own if one == overlay.local]
    if len(own) != 1:
        raise _not_exactly_one(overlay, static, own)
    if below is None:
        below = _below(nl, there[own[0]], own[0].version)
    return below, own[0]


def _not_exactly_one(overlay: Overlay, static: Static, own: list[Address]) -> CniError:
    """The error for a list of which none, or several, are this host."""
    where = f"device {overlay.underlay}" if overlay.underlay else "this host"
    if own:
        return CniError(
            INVALID_CONFIG,
            f'key "peers.nodes": found {len(own)} nodes with addresses of {where}, '
            f'{", ".join(map(str, own))}, expected one: say with "local" which it is',
        )
    if overlay.local is not None:
        return CniError(
            INVALID_CONFIG, f'key "local": found {overlay.local}, expected an address of {where}'
        )
    return CniError(
        INVALID_CONFIG,
        f'key "peers.nodes": found {overlays.addresses(static)}, expected one of them to be an '
        f"address of {where}: the list is of all hosts, this one too",
    )


def _underlay(nl: Netlink, overlay: Overlay) -> Link:
    if overlay.underlay:
        return _named(nl, overlay.underlay)
    if overlay.local is not None:
        for one in address.dump(nl, family=_FAMILIES[overlay.local.version]):
            if one.interface.ip == overlay.local:
                return _below(nl, one.index, overlay.local.version)
        raise CniError(
            INVALID_CONFIG, f'key "local": found {overlay.local}, expected an address of this host'
        )
    return _by_default(nl, _versions(overlay))


def _below(nl: Netlink, index: int, version: int) -> Link:
    """The underlay of a VTEP whose address is the device's with this index."""
    return _by_default(nl, (version,)) if index == _LOOPBACK else link.by_index(nl, index)


def _by_default(nl: Netlink, versions: tuple[int, ...]) -> Link:
    """The device of the default route of the first family that has one."""
    for version in versions:
        found = route.default(nl, _FAMILIES[version])
        if found is not None:
            return link.by_index(nl, found.oif)
    families = " or ".join(f"IPv{version}" for version in versions)
    raise CniError(
        INVALID_CONFIG,
        f'key "underlay": it is missing, and no default {families} route says which device leads '
        "to the other hosts: name it, or set a default route",
    )


def _named(nl: Netlink, name: str) -> Link:
    found = link.find(nl, name)
    if found is None:
        names = ", ".join(sorted(one.name for one in link.dump(nl))[:12])
        raise CniError(
            INVALID_CONFIG,
            f'key "underlay": found "{name}", expected an interface of this host: {names}',
        )
    return found


def _versions(overlay: Overlay) -> tuple[int, ...]:
    """The families that the VTEP's address may be of, the best first."""
    if isinstance(overlay.peers, Multicast):
        return (overlay.peers.group.version,)
    return (4, 6) if overlay.local is None else (overlay.local.version,)


def _local(nl: Netlink, overlay: Overlay, below: Link, device: Link | None) -> Address:
    found = address.dump(nl, index=below.index)
    there = [one.interface.ip for one in found]
    if overlay.local is not None:
        stay = (one.interface.ip for one in address.dump(nl, index=_LOOPBACK))
        if overlay.local in there or overlay.local in stay:
            return overlay.local
        raise CniError(
            INVALID_CONFIG,
            f'key "local": found {overlay.local}, expected an address of {below.name}, which has '
            f"{', '.join(map(str, there)) or 'none'}",
        )
    fit = [one for one in found if _is_fit(one)]
    if device is not None and device.kind == "vxlan":
        used = vxlan.Vxlan(device).local
        if used is not None and used in there and used.version in _versions(overlay):
            return used
    for version in _versions(overlay):
        for one in fit:
            if one.interface.version == version:
                return one.interface.ip
    families = " or ".join(f"IPv{version}" for version in _versions(overlay))
    raise CniError(
        TRY_AGAIN_LATER,
        f'key "underlay": {below.name} has no global {families} address for the VTEP: give it one, '
        "or name another device",
    )


def _is_fit(one: address.Address) -> bool:
    """Whether it is global, and stays."""
    unfit = one.flags & _UNFIT
    temporary = one.family == address.AF_INET6 and one.flags & _TEMPORARY
    return one.scope == route.RT_SCOPE_UNIVERSE and not unfit and not temporary
