"""The device's way into the container and back.

Its alias holds the name it had on the host: the reference's record, by which either suite brings
back what the other has moved. Ours is also known by another name of its own, an alternative one:
that stays when somebody in the container renames it or sets the alias, and when the kernel brings
a physical device back from a namespace that has gone.
"""

from __future__ import annotations

import errno

from cni.call import owner
from cni.errors import IN_THE_WAY, CniError
from cni.names import ifname_problem
from hostnet import address, altname, link, netns, route
from hostnet.link import IFLA_ADDRESS
from hostnet.netlink import NetlinkError
from wiring.single import label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_host_device.config import HostDevice
    from cni_host_device.find import Found
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from wiring.single.attach import Scene

_IFLA_PERM_ADDRESS = 54  # linux/if_link.h: the one that the hardware was made with
_RTPROT_RA = 9  # linux/rtnetlink.h: of a router's advertisements
_UP = "u"
_OF_THE_KERNEL = (route.RTPROT_KERNEL, _RTPROT_RA)


def marks(of: str) -> tuple[str, str]:
    """The alternative names of an owner's device that was down on the host, and that was up."""
    name = label.temporary_name(of)
    return name, f"{name}{_UP}"


def take(scene: Scene, found: Found) -> Link:
    """Move the device into the container, under its name there; noted in the undo stack.

    What it had on the host, an ADD that fails gives back with it. Raises OSError.
    """
    nl, call, device = scene.outside, scene.call, found.device
    scene.undo.push(_undo, scene, found.name, _Settings(nl, device))
    mark = marks(call.owner)[device.up]
    if mark not in device.altnames:
        try:
            altname.add(nl, device.index, mark)
        except NetlinkError as error:
            if error.errno != errno.EOPNOTSUPP:  # before Linux 5.5: it must not be renamed then
                raise
    link.change(nl, device.index, netns_fd=scene.ns.fileno(), name=call.ifname, alias=found.name)
    return link.get(scene.inside, call.ifname)


def _undo(scene: Scene, name: str, before: _Settings) -> None:
    """Bring it back from wherever the ADD has got to."""
    inside = _marked(scene.inside, scene.call) or link.find(scene.inside, scene.call.ifname)
    if inside is not None and (inside.altnames or inside.alias == name):
        _move_back(scene.inside, scene.outside, inside, name)
    tidy(scene.outside, scene.call, name)
    device = link.find(scene.outside, name)
    if device is not None:
        before.restore(scene.outside, device.index)


def bring_back(inside: Netlink, outside: Netlink, call: Call, config: HostDevice) -> None:
    """Move the attachment's device from the container to the host, under the name it had there.

    Raises CniError(IN_THE_WAY) where that name is taken or unknown, OSError.
    """
    found = _marked(inside, call) or _of_reference(inside, call, config)
    if found is not None:
        name = config.device or found.alias  # which the container may have changed
        if not _is_name(name):
            raise CniError(
                IN_THE_WAY,
                f"interface {found.name} in {call.netns} has no alias to say what it is called on "
                f"the host: set one (ip link set {found.name} alias NAME)",
            )
        _move_back(inside, outside, found, name)


def tidy(outside: Netlink, call: Call, device: str) -> None:
    """Restore a device of the attachment that is on the host: name, alias, and up if it was.

    It has just come back, or the kernel has brought it back from a namespace that has gone.
    device: what it is called, empty where only its alias says that.
    """
    for mark in marks(call.owner):
        found = link.find(outside, mark)
        if found is not None:
            _restore(outside, found, mark, device)


def sweep(outside: Netlink, call: Call, found: Found) -> None:
    """Restore the network's device, which is on the host, if no valid attachment has marked it.

    A call that was killed has left it half way. Raises OSError.
    """
    valid = {mark for one in call.valid_attachments for mark in marks(owner(call.network, one))}
    for mark in found.device.altnames:
        if _is_mark(mark) and mark not in valid:
            _restore(outside, found.device, mark, found.name)


def _restore(outside: Netlink, found: Link, mark: str, device: str) -> None:
    name = device or found.alias
    if _is_name(name):
        if name != found.name and link.find(outside, name) is None:
            link.set_down(outside, found.index)  # before Linux 6.0 only such are renamed
            link.change(outside, found.index, name=name)
        link.change(outside, found.index, alias="")
    if mark.endswith(_UP):
        link.set_up(outside, found.index)
    altname.remove(outside, found.index, mark, missing_ok=True)


def _is_mark(text: str) -> bool:
    digits = text.removesuffix(_UP).removeprefix("cni")
    return len(digits) == 11 and text.startswith("cni") and not digits.strip("0123456789abcdef")


def _marked(nl: Netlink, call: Call) -> Link | None:
    for mark in marks(call.owner):
        found = link.find(nl, mark)
        if found is not None:
            return found
    return None


def _of_reference(inside: Netlink, call: Call, config: HostDevice) -> Link | None:
    """What the reference has moved: without a mark, and its alias a name.

    The one of the name that ADD gave it, else one that was renamed.
    """
    found = [
        one
        for one in link.dump(inside)
        if _is_name(one.alias)
        and not any(name.startswith("cni") for name in one.altnames)
        and _can_be(one, config)
    ]
    named = [one for one in found if one.name == call.ifname]
    return next(iter(named or found), None)


def _can_be(one: Link, config: HostDevice) -> bool:
    """Whether an interface of the container may be the device that the config means."""
    if config.device:
        return one.alias == config.device
    if config.hwaddr:
        return config.hwaddr in (one.attribute(IFLA_ADDRESS), one.attribute(_IFLA_PERM_ADDRESS))
    return not one.kind


def _is_name(text: str) -> bool:
    return not ifname_problem(text)


def _move_back(inside: Netlink, outside: Netlink, found: Link, name: str) -> None:
    there = link.find(outside, name)
    if there is not None:
        raise CniError(
            IN_THE_WAY,
            f"{found.name} cannot go back to the host as {name}, for there is another interface "
            f"of that name (index {there.index}): rename that one",
        )
    link.set_down(inside, found.index)
    if link.find(inside, name) is None:
        # So that the host, and udev there, never sees it under another name.
        link.change(inside, found.index, name=name)
    with netns.of_socket(outside) as home:
        link.change(inside, found.index, netns_fd=home.fileno(), name=name, alias="")


class _Settings:
    """What a device loses by leaving a namespace: being up, its addresses and routes."""

    __slots__ = ("_addresses", "_routes", "_up")

    def __init__(self, nl: Netlink, device: Link) -> None:
        self._up = device.up
        self._addresses = [
            one.interface
            for one in address.dump(nl, index=device.index)
            if one.flags & address.IFA_F_PERMANENT and not one.interface.is_link_local
        ]
        self._routes = [
            one
            for family in (route.AF_INET, route.AF_INET6)
            for one in route.dump(nl, family, table=0, oif=device.index)
            if one.protocol not in _OF_THE_KERNEL and one.kind == route.RTN_UNICAST
        ]

    def restore(self, nl: Netlink, index: int) -> None:
        """Give it all that again. Raises OSError."""
        for one in self._addresses:
            address.add(nl, index, one, replace=True)
        if self._up:
            link.set_up(nl, index)
        for gone in self._routes:
            route.add(
                nl,
                gone.destination,
                gateway=gone.gateway,
                oif=index,
                source=gone.source,
                mtu=gone.mtu,
                advmss=gone.advmss,
                priority=gone.priority,
                table=gone.table,
                scope=gone.scope,
                protocol=gone.protocol,
                beside=True,
            )
