"""The device's way into the container and back.

Its alias holds the name it had on the host: the reference's record, by which either suite brings
back what the other has moved. `mark` says by what else it is known.
"""

from __future__ import annotations

from cni.call import owner
from cni.errors import IN_THE_WAY, CniError
from cni.names import ifname_problem
from cni_host_device import mark
from cni_host_device.settings import Settings
from hostnet import link, netns
from hostnet.link import IFLA_ADDRESS
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


def take(scene: Scene, found: Found, *, rules: int = 0) -> Link:
    """Move the device into the container, under its name there; noted in the undo stack.

    What it had on the host, an ADD that fails gives back with it. rules: how many of the host's
    will go along. Raises OSError.
    """
    nl, call, device = scene.outside, scene.call, found.device
    scene.undo.push(_undo, scene, found.name, Settings(nl, device))
    home = mark.Home(mark.cookie(scene.inside), found.name, rules)
    mark.put(nl, device, call.owner, up=found.up, home=home)
    link.change(nl, device.index, netns_fd=scene.ns.fileno(), name=call.ifname, alias=found.name)
    return link.get(scene.inside, call.ifname)


def _undo(scene: Scene, name: str, before: Settings) -> None:
    """Bring it back from wherever the ADD has got to."""
    inside = mark.find(scene.inside, scene.call.owner)
    if inside is None:  # before Linux 5.5 it has no mark
        inside = link.find(scene.inside, scene.call.ifname)
        inside = inside if inside is not None and inside.alias == name else None
    if inside is not None:
        _require_free(scene.outside, inside, name)
        _move_back(scene.inside, scene.outside, inside, name)
    # By its name only where it has no mark: another device may have the name by now.
    device = tidy(scene.outside, scene.call) or link.find(scene.outside, name)
    if device is not None:
        before.restore(scene.outside, device.index)


def bring_back(inside: Netlink, outside: Netlink, call: Call, config: HostDevice) -> None:
    """Move the attachment's device from the container to the host, under the name it had there.

    Raises CniError(IN_THE_WAY) where that name is taken or unknown, OSError.
    """
    found = mark.find(inside, call.owner)
    ours = found is not None
    found = found or _of_reference(inside, call, config)
    if found is None:
        return
    key = label.temporary_name(call.owner)
    name = _name(found, key)
    if not name:
        raise CniError(
            IN_THE_WAY,
            f"interface {found.name} in {call.netns} has no alias to say what it is called on "
            f"the host: set one (ip link set {found.name} alias NAME)",
        )
    _require_free(outside, found, name)
    told = mark.home(found, key) if ours else None
    if told is not None and told.rules:
        from cni_host_device import network

        network.remove_rules(inside, found)
    _move_back(inside, outside, found, name)
    back = None if ours else link.find(outside, name)
    if back is not None:
        mark.strip(outside, back)


def tidy(outside: Netlink, call: Call) -> Link | None:
    """Restore a device of the attachment that is on the host: name, alias, and up if it was.

    It has just come back, or the kernel has brought it back from a namespace that has gone. Gives
    the device as it was, None where there is none.
    """
    found = mark.find(outside, call.owner)
    if found is not None:
        _restore(outside, found, label.temporary_name(call.owner))
    return found


def sweep(outside: Netlink, call: Call, found: Found) -> None:
    """Restore the network's device, which is on the host, if no valid attachment has marked it.

    A call that was killed has left it half way. Raises OSError.
    """
    valid = {label.temporary_name(owner(call.network, one)) for one in call.valid_attachments}
    keys = {mark.key_of(one) for one in found.device.altnames}
    for key in sorted(keys - valid - {""}):
        _restore(outside, found.device, key)


def _restore(outside: Netlink, found: Link, key: str) -> None:
    name = _name(found, key)
    if name:
        away = name != found.name
        if away and link.find(outside, name) is None:
            link.set_down(outside, found.index)  # before Linux 6.0 only such are renamed
            link.change(outside, found.index, name=name)
        # An ADD that was killed before it moved the device has left the host's own alias.
        if away or found.alias == name:
            link.change(outside, found.index, alias="")
    if mark.was_up(found, key):
        link.set_up(outside, found.index)
    mark.strip(outside, found, key)


def _name(found: Link, key: str) -> str:
    """What it is called on the host; empty where nothing says it.

    A name that it has beside another is not it.
    """
    told = mark.home(found, key)
    for name in (told.name if told is not None else "", found.alias):
        if _is_name(name) and name not in found.altnames:
            return name
    return ""


def _of_reference(inside: Netlink, call: Call, config: HostDevice) -> Link | None:
    """What the reference has moved: its alias is a name, and it is no attachment's of ours.

    By the name that ADD gave it, which is all that the reference goes by; else one that was
    renamed, if the config means it.
    """
    here = mark.cookie(inside)
    found = [
        one
        for one in link.dump(inside)
        if _is_name(one.alias) and not mark.key_of(one.alias) and not mark.is_taken(one, here)
    ]
    meant = [one for one in found if _can_be(one, config)]
    for one in found:
        # An alias is no proof on a virtual device: the name may be another plugin's interface, for
        # which ADD was refused. There was no result then.
        known = one in meant or not one.kind or call.prev_result is not None
        if one.name == call.ifname and known:
            return one
    return next(iter(meant), None)


def _can_be(one: Link, config: HostDevice) -> bool:
    """Whether an interface of the container may be the device that the config means."""
    if config.device:
        return config.device in (one.alias, *one.altnames)
    if config.hwaddr:
        return config.hwaddr in (one.attribute(IFLA_ADDRESS), one.attribute(_IFLA_PERM_ADDRESS))
    return not one.kind


def _is_name(text: str) -> bool:
    return not ifname_problem(text)


def _require_free(outside: Netlink, found: Link, name: str) -> None:
    there = link.find(outside, name)
    if there is not None:
        raise CniError(
            IN_THE_WAY,
            f"{found.name} cannot go back to the host as {name}, for there is another interface "
            f"of that name (index {there.index}): rename that one",
        )


def _move_back(inside: Netlink, outside: Netlink, found: Link, name: str) -> None:
    link.set_down(inside, found.index)
    if link.find(inside, name) is None:
        # So that the host, and udev there, never sees it under another name.
        link.change(inside, found.index, name=name)
    with netns.of_socket(outside) as home:
        link.change(inside, found.index, netns_fd=home.fileno(), name=name, alias="")
