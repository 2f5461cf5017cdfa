"""The macvlan itself: how it is made, and what CHECK compares of it."""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, CniError
from hostnet import link, sublink
from hostnet.netlink import NetlinkError
from wiring.single import attach, lower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni_macvlan.config import Macvlan
    from hostnet.link import Link
    from wiring.single.attach import Scene
    from wiring.single.check import Sight


def prepare(scene: Scene, config: Macvlan) -> Callable[[], Link]:
    """Look whether it can be made; gives what makes it. Raises CniError(INVALID_CONFIG)."""
    master = lower.find(scene, config.lower)
    return lambda: _make(scene, config, master)


def _make(scene: Scene, config: Macvlan, master: Link) -> Link:
    # A random MAC of our own, since udev rewrites one that the kernel has chosen (systemd#21185).
    mac = "" if config.mode == "passthru" else config.mac or link.random_mac()
    try:
        return attach.create(
            scene,
            "macvlan",
            data=sublink.macvlan(config.mode, config.queue),
            below=master,
            below_inside=config.lower.inside,
            mac=mac,
        )
    except NetlinkError as error:
        if error.errno not in (errno.EBUSY, errno.EINVAL):
            raise
        # The kernel has no words of its own for these two.
        raise CniError(
            IN_THE_WAY,
            f'{master.name} takes no macvlan in mode "{config.mode}": it is a bridge port or has '
            'ipvlans, it has one in mode "passthru", or has others and this is to be such a one; '
            'set "master" to another interface',
            str(error),
        ) from error


def problems(sight: Sight, config: Macvlan) -> Iterator[str]:
    """What is not as the config says, in words."""
    yield from lower.problems(sight, config.lower)
    name, mode = sight.inner.name, sublink.macvlan_mode(sight.inner)
    if mode != config.mode:
        yield f'interface {name} is in mode "{mode}", expected "{config.mode}"'
    queue = sublink.macvlan_queue(sight.inner)
    if config.queue and queue and queue != config.queue:
        yield f"interface {name} has the bcqueuelen {queue}, expected {config.queue}"
