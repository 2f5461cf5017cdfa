"""The TAP device itself: how it is made, and what CHECK compares of it."""

from __future__ import annotations

import errno
import os

from cni.errors import INVALID_CONFIG, SYSTEM, UNSUPPORTED_FIELD, CniError
from hostnet import link, tuntap
from wiring.single import attach, label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni_tap.config import Tap
    from hostnet.link import Link
    from wiring.single.attach import Scene
    from wiring.single.check import Sight


def prepare(scene: Scene, config: Tap) -> Callable[[], Link]:
    """Look whether it can be made; gives what makes it.

    Raises CniError: INVALID_CONFIG for a bridge that is none, and what `require` raises.
    """
    require(config)
    master = _bridge(scene, config.bridge) if config.bridge else None
    return lambda: _make(scene, config, master)


def require(config: Tap) -> None:
    """Raise CniError: SYSTEM for a kernel without tun, UNSUPPORTED_FIELD without SELinux."""
    try:
        os.close(os.open(tuntap.DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        remedy = "modprobe tun"
        if error.errno in (errno.EACCES, errno.EPERM):
            remedy = "whoever runs the plugin has to be let read and write it"
        raise CniError(
            SYSTEM, f"no TAP device can be made: {error.strerror}: {tuntap.DEVICE}: {remedy}"
        ) from error
    if config.context:
        from hostnet import selinux

        if not selinux.enabled():
            raise CniError(
                UNSUPPORTED_FIELD,
                f'key "selinuxContext": found "{config.context}", and this host has no SELinux: '
                "remove the key",
            )


def _bridge(scene: Scene, name: str) -> Link:
    found = link.find(scene.inside, name)
    if found is None or found.kind != "bridge":
        what = "nothing of that name" if found is None else f"a {found.kind or 'physical'} one"
        raise CniError(
            INVALID_CONFIG,
            f'key "bridge": found "{name}", expected a bridge in {scene.call.netns}: there is '
            f"{what}",
        )
    return found


def _make(scene: Scene, config: Tap, master: Link | None) -> Link:
    name = label.temporary_name(scene.call.owner)

    def create() -> Link:
        with scene.ns.entered():
            if config.context:
                _create_in_context(name, config)
            else:
                tuntap.create(
                    name,
                    multi_queue=config.multi_queue,
                    owner=config.owner,
                    group=config.group,
                )
        return link.get(scene.inside, name)

    try:
        made = attach.born(scene, create)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise attach.remains(scene, name) from error
        raise
    return attach.finish(
        scene,
        made,
        mac=config.mac or link.random_mac(),
        mtu=config.common.mtu,
        master=master.index if master else None,
    )


def _create_in_context(name: str, config: Tap) -> None:
    """Have iproute2 make it: what is made has the context of the program that makes it."""
    from hostnet import selinux, spawn

    ip = spawn.find("ip")
    if not ip:
        raise CniError(
            SYSTEM, 'key "selinuxContext" needs the program ip: install iproute2, or remove the key'
        )
    args = ["tuntap", "add", "mode", "tap", "name", name]
    args += ["multi_queue"] if config.multi_queue else []
    args += ["user", str(config.owner)] if config.owner is not None else []
    args += ["group", str(config.group)] if config.group is not None else []
    try:
        with selinux.Starting(config.context):
            status, _, said = spawn.run(ip, tuple(args), b"")
    except OSError as error:
        raise CniError(
            SYSTEM,
            f'key "selinuxContext": a program cannot be started as "{config.context}": '
            f"{error.strerror}",
        ) from error
    if status:
        raise CniError(SYSTEM, f"{ip} {' '.join(args)}: {said.decode(errors='replace').strip()}")


def problems(sight: Sight, config: Tap) -> Iterator[str]:
    """What is not as the config says, in words."""
    inner = sight.inner
    found = tuntap.Tap(inner)
    if not found.is_tap:
        yield f"interface {inner.name} is a TUN, expected a TAP"
    for what, now, wanted in (
        ("multiQueue", found.multi_queue, config.multi_queue),
        ("owner", found.owner, config.owner),
        ("group", found.group, config.group),
    ):
        if now != wanted:
            yield f"interface {inner.name} has the {what} {now}, expected {wanted}"
    if config.bridge:
        bridge = link.find(sight.inside, config.bridge)
        if bridge is None:
            yield f"bridge {config.bridge} does not exist"
        elif inner.master != bridge.index:
            yield f"interface {inner.name} is not a port of bridge {config.bridge}"
