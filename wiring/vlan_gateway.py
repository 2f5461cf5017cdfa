"""The gateway of an access VLAN: `<bridge>.<vlan>`, an interface of the host in that VLAN.

Where there is none it is a veth into the bridge. An administrator may have made another, mostly a
`vlan` on the bridge, which serves as well; of other kinds the kernel does not tell where they lead.
"""

from __future__ import annotations

import errno
import os

from cni.errors import IN_THE_WAY, CniError
from hostnet import bridge, link, sublink
from hostnet.lock import NamespaceLock
from hostnet.netlink import NetlinkError
from wiring import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.undo import Undo
    from wiring.bridged import Bridged


def name(bridge_name: str, config: Bridged) -> str:
    """What the gateway is called."""
    return f"{bridge_name}.{config.vlan}"


def ensure(nl: Netlink, config: Bridged, on: Link, undo: Undo) -> Link:
    """The gateway, up. Raises CniError(IN_THE_WAY) for an interface that cannot be it."""
    found = link.find(nl, name(on.name, config))
    if found is None:
        return _create(nl, config, on, undo)
    end = _end(nl, found)
    if end is not None and not end.master:  # the bridge was made anew
        undo.step(
            lambda: _plug(nl, end, config, on),
            lambda _: _unplug_unused(nl, end, on),
        )
    elif end is not None and not end.up:
        link.set_up(nl, end.index)
    require_fit(nl, found, config, on)
    if not found.up:
        link.set_up(nl, found.index)
    return found


def require_fit(nl: Netlink, found: Link, config: Bridged, on: Link) -> None:
    """Raise CniError(IN_THE_WAY) for an interface that cannot be the gateway."""
    for problem in problems(nl, found, config, on):
        raise CniError(
            IN_THE_WAY,
            f"{problem}, so it cannot be the gateway of VLAN {config.vlan}: mend that, or have "
            f"another made (ip link delete {found.name})",
        )


def is_unplugged(nl: Netlink, found: Link) -> bool:
    """Whether it is a veth into no bridge, which `ensure` would put into ours."""
    end = _end(nl, found)
    return end is not None and not end.master


def problems(nl: Netlink, found: Link, config: Bridged, on: Link) -> Iterator[str]:
    """What keeps an interface from being the gateway, in words; that it is down is not told."""
    if found.kind == "vlan":
        number = sublink.vlan_number(found)
        if found.netnsid is not None or found.peer != on.index:
            yield f"interface {found.name} is a VLAN of another interface than bridge {on.name}"
        elif number != config.vlan:
            yield f"interface {found.name} is VLAN {number}, expected {config.vlan}"
        elif all(one.vid != config.vlan for one in bridge.vlans(nl, on.index)):
            yield (
                f"bridge {on.name} itself is not in VLAN {config.vlan}, whose gateway interface is "
                f"{found.name} (bridge vlan add dev {on.name} vid {config.vlan} self)"
            )
    elif found.kind == "veth":
        end = _end(nl, found)
        if end is None or end.master != on.index:
            yield f"the VLAN's gateway interface {found.name} is not connected to bridge {on.name}"
        elif not end.up:
            yield f"interface {end.name}, the port of {found.name}, is down"
        else:
            yield from _port_problems(nl, end, config.vlan)


def _port_problems(nl: Netlink, port: Link, vlan: int) -> Iterator[str]:
    """That it is not an access port. Further VLANs do no harm: it sends in none of them."""
    mine = next((one for one in bridge.vlans(nl, port.index) if one.vid == vlan), None)
    if mine is None:
        yield f"host interface {port.name} lacks the VLANs {vlan}"
    elif not (mine.pvid and mine.untagged):
        yield (
            f"host interface {port.name} is in VLAN {vlan} otherwise than untagged, for what has "
            "no tag"
        )


def of_port(nl: Netlink, port: Link, on: Link) -> Link | None:
    """The gateway that the port leads to; None where it leads elsewhere."""
    end = _end(nl, port)
    start = f"{on.name}."
    if end is None or not (end.name.startswith(start) and end.name[len(start) :].isdigit()):
        return None
    return end


def _end(nl: Netlink, found: Link) -> Link | None:
    """The other end of a veth, None where it is in another namespace, or `found` is no veth."""
    if found.kind != "veth" or found.netnsid is not None:
        return None
    try:
        return link.by_index(nl, found.peer)
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _create(nl: Netlink, config: Bridged, on: Link, undo: Undo) -> Link:
    found = undo.step(
        lambda: link.create_veth(
            nl,
            name(on.name, config),
            f"veth{os.urandom(5).hex()}",
            mac=link.random_mac(),
            peer_mac=link.random_mac(),
            mtu=on.mtu,
        ),
        lambda made: _remove_unused(nl, on, made.index),
    )
    _plug(nl, link.by_index(nl, found.peer), config, on)
    host.settle(nl, found)
    return found


def _plug(nl: Netlink, port: Link, config: Bridged, on: Link) -> None:
    link.change(nl, port.index, master=on.index)
    host.set_vlans(nl, port, config)  # an access VLAN: with a trunk there is no gateway of its own
    link.set_up(nl, port.index)


def _unplug_unused(nl: Netlink, port: Link, on: Link) -> None:
    with NamespaceLock():
        if len(link.dump(nl, master=on.index)) <= 1:
            link.change(nl, port.index, master=0)


def _remove_unused(nl: Netlink, on: Link, index: int) -> None:
    """Its own peer is a port of the bridge: unused means that there is no further one."""
    with NamespaceLock():
        if len(link.dump(nl, master=on.index)) <= 1:
            link.delete(nl, index, missing_ok=True)
