"""The overlay's VXLAN device: made once, compared by every ADD, never made anew under containers.

Its alias says whose it is and, in mode l3, which subnets it stands for; all else is compared with
what the kernel says. What can change in place does (the underlay, the VTEP's address, the MTU, what
is missing); of the rest, a difference is mended by a new device as long as nothing is attached, and
is an error from then on. Whoever changes something here has the lock of the host's namespace.
"""

from __future__ import annotations

import errno
from ipaddress import ip_interface

from cni.errors import IN_THE_WAY, CniError
from cni.record import record
from cni_vxlan import guard, identity, port_holder
from cni_vxlan.peers import Etcd
from hostnet import address, link, offload, sysctl, vxlan
from hostnet.lock import NamespaceLock
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.ip import Address, Interface, Network
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.underlay import Underlay
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.undo import Undo

_MULTICAST_TTL = 64
"""The kernel's default of 1 ends at the first router, also for what the group is not needed for."""


@record
class Wanted:
    """What the device is to be.

    mac: of the VTEP. mtu: bytes. group: of multicast. learning: whether it learns who is where.
    subnets: this host's, in mode l3.
    """

    overlay: Overlay
    underlay: Underlay
    mac: str
    mtu: int
    group: Address | None = None
    learning: bool = False
    subnets: tuple[Network, ...] = ()

    @property
    def alias(self) -> str:
        """Its mark."""
        return identity.alias(self.overlay.network, self.subnets)

    @property
    def addresses(self) -> tuple[Interface, ...]:
        """Its own: what the other hosts' routes to the subnets go by."""
        return tuple(ip_interface((one.network_address, one.max_prefixlen)) for one in self.subnets)


@record
class Found:
    """The overlay's device as it is. subnets: what its alias says it stands for, none in l2."""

    link: Link
    subnets: tuple[Network, ...]


def find(nl: Netlink, overlay: Overlay) -> Found | None:
    """The overlay's device; None where the name is free.

    It is free, too, where an ADD was killed before its device had a mark: `ensure` replaces that.
    Raises CniError(IN_THE_WAY) for a device of this name that is not this network's.
    """
    found = link.find(nl, overlay.device)
    if found is None or _is_half_made(overlay, found):
        return None
    mark = identity.read_alias(found.alias)
    if found.kind != "vxlan" or mark is None:
        raise CniError(
            IN_THE_WAY,
            f'key "vni": found {overlay.vni}, and interface {found.name}, '
            f"{found.kind or 'a physical interface'}, is not of this plugin: choose another VNI on "
            f"every host, or remove it (ip link delete {found.name})",
        )
    if not mark.is_of(overlay.network):
        raise CniError(
            IN_THE_WAY,
            f'key "vni": found {overlay.vni} in network "{overlay.network}", and device '
            f'{found.name} is of network "{mark.name}": give each network a VNI of its own',
        )
    return Found(found, mark.subnets)


def _is_half_made(overlay: Overlay, found: Link) -> bool:
    """Whether it is what this plugin makes, by its MAC, and was never finished."""
    if found.kind != "vxlan" or found.alias or found.up or found.master:
        return False
    settings = vxlan.Vxlan(found)
    etcd = overlay.peers if isinstance(overlay.peers, Etcd) else None
    node = etcd.settings.node if etcd is not None else str(settings.local)
    return found.mac == identity.vtep_mac(node, overlay.vni, settings.version)


def find_unlocked(nl: Netlink, overlay: Overlay) -> Found | None:
    """As `find`, for who has not got the lock: a device in the making has no mark for a moment."""
    try:
        found = find(nl, overlay)
        if found is not None or link.find(nl, overlay.device) is None:
            return found
    except CniError:
        pass
    with NamespaceLock():
        return find(nl, overlay)


def ensure(nl: Netlink, wanted: Wanted, found: Link | None, undo: Undo) -> Link:
    """The device as it is wanted, down where it is new. found: the one that `can_stay`, if any.

    Raises CniError(IN_THE_WAY) where another device has the VNI.
    """
    if found is not None:
        if not found.up:  # an ADD that was killed may have got no further
            _quiet(found.name, bridged=wanted.overlay.mode == "l2")
        return adjust(nl, wanted, found)
    _remove_half_made(nl, wanted)
    made = undo.step(lambda: _create(nl, wanted), lambda made: _remove_unused(nl, wanted, made))
    _quiet(made.name, bridged=wanted.overlay.mode == "l2")
    for one in wanted.addresses:
        address.add(nl, made.index, one, nodad=True)
    return made


def can_stay(nl: Netlink, wanted: Wanted, found: Link) -> bool:
    """Whether the device can be what is wanted; False where it is to be made anew.

    Raises CniError(IN_THE_WAY) where that would be under containers.
    """
    different = differences(wanted, found)
    ports = attached(nl, wanted.overlay, found) if different else []
    if ports:
        raise CniError(
            IN_THE_WAY,
            f"device {found.name} {'; '.join(different)}, and is not made anew under containers "
            f"({', '.join(ports[:5])}): take the config back, or remove them first",
        )
    return not different


def bring_up(nl: Netlink, wanted: Wanted, found: Link) -> None:
    """Set it up. Raises CniError(IN_THE_WAY) where somebody else has the port."""
    try:
        link.set_up(nl, found.index)
    except NetlinkError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        port = wanted.overlay.port
        raise port_taken(port, port_holder.anybody(nl, port, found.name)) from error


def port_taken(port: int, holder: str) -> CniError:
    """The error for a UDP port that somebody has. holder: who, in words."""
    return CniError(
        IN_THE_WAY,
        f'key "port": found {port}, which {holder} has: stop that, or choose another port on every '
        "host",
    )


def require_vni(nl: Netlink, overlay: Overlay, version: int) -> None:
    """Raise CniError(IN_THE_WAY) where another device has the VNI. version: of the underlay."""
    other = vxlan.find(nl, overlay.vni, overlay.port, version)
    if other is not None and other.name != overlay.device:
        raise CniError(
            IN_THE_WAY,
            f'key "vni": found {overlay.vni}, which device {other.name}{_whose(other)} has on UDP '
            f"port {overlay.port}: give each network a VNI of its own, or remove the device (ip "
            f"link delete {other.name})",
        )


def attached(nl: Netlink, overlay: Overlay, found: Link) -> list[str]:
    """The names of the ports that use the device.

    All others of a bridge that is the network's own or has the device for a port; of the bridge
    that the config names, where it is somebody else's, those that bear the network's label.
    """
    names = []
    for bridge in link.dump(nl, kind="bridge"):
        mark = identity.read_alias(bridge.alias)
        ours = (mark is not None and mark.is_of(overlay.network)) or found.master == bridge.index
        if ours or bridge.name == overlay.bridge:
            names += [
                port.name
                for port in link.dump(nl, master=bridge.index)
                if port.index != found.index
                and (ours or port.alias.startswith(f"{overlay.network}/"))
            ]
    return names


def problems(nl: Netlink, wanted: Wanted, found: Link) -> Iterator[str]:
    """What `ensure` would change, in words. For CHECK."""
    name = found.name
    yield from (f"device {name} {one}" for one in differences(wanted, found))
    if not found.up:
        yield f"device {name} is down"
    settings, underlay = vxlan.Vxlan(found), wanted.underlay
    if settings.underlay != underlay.link.index:
        below = _named(nl, settings.underlay)
        yield f"device {name} runs over {below}, expected {underlay.link.name}"
    if settings.local != underlay.local:
        yield f"device {name} sends from {settings.local}, expected {underlay.local}"
    if found.mtu != wanted.mtu:
        yield f"device {name} has the MTU {found.mtu}, expected {wanted.mtu}"
    if found.mac != wanted.mac:
        yield f"device {name} has the MAC {found.mac}, expected {wanted.mac}"
    there = {one.interface for one in address.dump(nl, index=found.index)}
    for missing in wanted.addresses:
        if missing not in there:
            yield f"device {name} lacks its address {missing}"
    if not wanted.overlay.checksum_offload and offload.tx_checksum(nl, name):
        yield f"device {name} has its checksum offload on, and txChecksumOffload is false"


def differences(wanted: Wanted, found: Link) -> list[str]:
    """What differs and cannot change in place, in words that follow the device's name."""
    return list(_differences(wanted, found))


def _differences(wanted: Wanted, found: Link) -> Iterator[str]:
    settings = vxlan.Vxlan(found)
    overlay, underlay = wanted.overlay, wanted.underlay
    mark = identity.read_alias(found.alias)
    subnets = mark.subnets if mark is not None else ()
    for what, is_so, expected in (
        ("the VNI", settings.vni, overlay.vni),
        ("the UDP port", settings.port, overlay.port),
        ("the group", settings.group, wanted.group),
        ("an underlay of", f"IPv{settings.version}", f"IPv{underlay.local.version}"),
        ("learning", settings.learning, wanted.learning),
    ):
        if is_so != expected:
            yield f"has {what} {is_so}, expected {expected}"
    if subnets != wanted.subnets:
        yield f"stands for {_listed(subnets)}, expected {_listed(wanted.subnets)}"


def _named(nl: Netlink, index: int) -> str:
    try:
        return link.by_index(nl, index).name
    except NetlinkError:
        return "no device"


def _listed(subnets: tuple[Network, ...]) -> str:
    return ", ".join(map(str, subnets)) or "no subnet (mode l2)"


def adjust(nl: Netlink, wanted: Wanted, found: Link) -> Link:
    """Change in place what can change. Forwarding entries stay meanwhile, neighbours may go.

    With a group, the device is down after a change of its underlay. The MAC follows the VTEP's
    address with static peers only: elsewhere another MAC means another host. Raises NetlinkError.
    """
    settings, underlay = vxlan.Vxlan(found), wanted.underlay
    is_moved = settings.underlay != underlay.link.index
    if is_moved:
        if wanted.group is not None:
            link.set_down(nl, found.index)  # leaves the group there; coming up, it joins it here
        vxlan.set_underlay(nl, found.index, underlay.link.index)
    if settings.local != underlay.local:
        vxlan.set_local(nl, found.index, underlay.local)
    moves = wanted.overlay.peers.engine == "static" and found.mac != wanted.mac
    mac = wanted.mac if moves else ""
    mtu = wanted.mtu if found.mtu != wanted.mtu else 0
    if mac or mtu:
        link.change(nl, found.index, mac=mac, mtu=mtu)
    if wanted.addresses:
        there = {one.interface for one in address.dump(nl, index=found.index)}
        for one in wanted.addresses:
            if one not in there:
                address.add(nl, found.index, one, nodad=True, replace=True)
    _set_offload(nl, wanted, found.name)
    return link.by_index(nl, found.index) if is_moved or mac or mtu else found


def _create(nl: Netlink, wanted: Wanted) -> Link:
    overlay, underlay = wanted.overlay, wanted.underlay
    try:
        made = vxlan.create(
            nl,
            overlay.device,
            overlay.vni,
            underlay=underlay.link.index,
            local=underlay.local,
            group=wanted.group,
            port=overlay.port,
            learning=wanted.learning,
            ttl=_MULTICAST_TTL if wanted.group is not None else 0,
            mac=wanted.mac,
            mtu=wanted.mtu,
            alias=wanted.alias,
        )
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            _remove_half_made(nl, wanted)
            raise
        require_vni(nl, overlay, underlay.local.version)
        raise
    _set_offload(nl, wanted, made.name)
    return made


def _remove_half_made(nl: Netlink, wanted: Wanted) -> None:
    """What has the name and is nobody's: under the lock, it is what was made by an ADD that was
    killed, or by this one, which had no answer."""
    found = link.find(nl, wanted.overlay.device)
    if found is not None and found.kind == "vxlan" and found.alias in ("", wanted.alias):
        link.delete(nl, found.index, missing_ok=True)


def _whose(other: Link) -> str:
    mark = identity.read_alias(other.alias)
    return f' of network "{mark.name}"' if mark is not None else ""


def _set_offload(nl: Netlink, wanted: Wanted, name: str) -> None:
    """Off where the config says so; it is on from birth."""
    if not wanted.overlay.checksum_offload and offload.tx_checksum(nl, name):
        offload.set_tx_checksum(nl, name, False)


def _quiet(name: str, *, bridged: bool) -> None:
    """Let a new device say nothing on the overlay by itself, nor listen to what others announce."""
    switches = (("disable_ipv6", "1"),) if bridged else (("accept_ra", "0"), ("accept_dad", "0"))
    for key, value in switches:
        sysctl.ensure(sysctl.of_interface("ipv6", name, key), value, missing_ok=True)


def remove(nl: Netlink, found: Link) -> None:
    """Take the device away, and then the guard of its VNI."""
    settings = vxlan.Vxlan(found)
    link.delete(nl, found.index, missing_ok=True)
    guard.remove(settings.port, settings.vni)


def _remove_unused(nl: Netlink, wanted: Wanted, made: Link) -> None:
    with NamespaceLock():
        if not attached(nl, wanted.overlay, made):
            remove(nl, made)
