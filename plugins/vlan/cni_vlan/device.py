"""The VLAN's link itself: how it is made, and what CHECK compares of it."""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, TRY_AGAIN_LATER, CniError
from hostnet import sublink
from hostnet.netlink import NetlinkError
from wiring.single import attach, lower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni_vlan.config import Vlan
    from hostnet.link import Link
    from wiring.single.attach import Scene
    from wiring.single.check import Sight


def prepare(scene: Scene, config: Vlan) -> Callable[[], Link]:
    """Look whether it can be made; gives what makes it.

    Raises CniError: INVALID_CONFIG for the master, TRY_AGAIN_LATER where it is down, since a VLAN
    of one that is down does not come up.
    """
    master = lower.find(scene, config.lower)
    if not master.up:
        raise CniError(
            TRY_AGAIN_LATER,
            f'key "master": {master.name} is down, expected up: ip link set {master.name} up',
        )
    return lambda: _make(scene, config, master)


def _make(scene: Scene, config: Vlan, master: Link) -> Link:
    try:
        return attach.create(
            scene,
            "vlan",
            data=sublink.vlan(config.number),
            below=master,
            below_inside=config.lower.inside,
        )
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
        raise CniError(
            IN_THE_WAY,
            f"VLAN {config.number} of {master.name} is another interface already, of the host or "
            "of a container (perhaps one that ends just now), and there can be one only: choose "
            "another vlanId, or try again",
        ) from error


def problems(sight: Sight, config: Vlan) -> Iterator[str]:
    """What is not as the config says, in words."""
    yield from lower.problems(sight, config.lower)
    number = sublink.vlan_number(sight.inner)
    if number != config.number:
        yield f"interface {sight.inner.name} is VLAN {number}, expected {config.number}"
