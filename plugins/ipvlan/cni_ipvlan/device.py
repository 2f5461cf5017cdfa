"""The ipvlan itself: how it is made, and what CHECK compares of it."""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, CniError
from hostnet import sublink
from hostnet.netlink import NetlinkError
from wiring.single import attach, lower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni_ipvlan.config import Ipvlan
    from hostnet.link import Link
    from wiring.single.attach import Scene
    from wiring.single.check import Sight


def prepare(scene: Scene, config: Ipvlan) -> Callable[[], Link]:
    """Look whether it can be made; gives what makes it. Raises CniError(INVALID_CONFIG)."""
    master = lower.find(scene, config.lower)
    return lambda: _make(scene, config, master)


def _make(scene: Scene, config: Ipvlan, master: Link) -> Link:
    try:
        return attach.create(
            scene,
            "ipvlan",
            data=sublink.ipvlan(config.mode),
            below=master,
            below_inside=config.lower.inside,
        )
    except NetlinkError as error:
        if error.errno not in (errno.EBUSY, errno.EINVAL):
            raise
        # The kernel has no words of its own for these two.
        raise CniError(
            IN_THE_WAY,
            f"{master.name} takes no ipvlan: it is a bridge port, has macvlans, or is no Ethernet "
            'interface; set "master" to another one',
            str(error),
        ) from error


def problems(sight: Sight, config: Ipvlan) -> Iterator[str]:
    """What is not as the config says, in words."""
    yield from lower.problems(sight, config.lower)
    mode = sublink.ipvlan_mode(sight.inner)
    if mode != config.mode:
        yield f'interface {sight.inner.name} is in mode "{mode}", expected "{config.mode}"'
