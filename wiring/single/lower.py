"""The link below a container's: `master`, on the host or (`linkInContainer`) in the container."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, LIMITED, CniError
from cni.names import ifname_problem
from cni.record import record
from hostnet import link, route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.jsonvalue import JsonObject
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from wiring.single.attach import Common, Scene
    from wiring.single.check import Sight


@record
class Lower:
    """Which link it is: its name, empty for the device of the default route; and where it is."""

    name: str = ""
    inside: bool = False


def read(config: JsonObject) -> Lower:
    """Read `master` and `linkInContainer`. Raises CniError(INVALID_CONFIG)."""
    name = config.string("master")
    if name and ifname_problem(name):
        raise config.wrong("master", "an interface name of at most 15 characters without '/'")
    return Lower(name, config.boolean("linkInContainer"))


def find(scene: Scene, lower: Lower) -> Link:
    """The link, large enough for the MTU. Raises CniError(INVALID_CONFIG)."""
    nl = scene.inside if lower.inside else scene.outside
    return _find(nl, lower, scene.common, scene.call.netns if lower.inside else "")


def find_on_host(nl: Netlink, lower: Lower, common: Common, down: int = LIMITED) -> None:
    """For STATUS: raise CniError(INVALID_CONFIG) unless the host of `nl` has the link.

    What a container has, is seen when there is one. down: the code of the CniError where the link
    is down.
    """
    if lower.inside:
        return
    found = _find(nl, lower, common, "")
    if not found.up:
        raise CniError(
            down,
            f'key "master": {found.name} is down, and nothing gets through it: ip link set '
            f"{found.name} up",
        )


def look(nl: Netlink, lower: Lower, common: Common) -> Link | None:
    """The link on the host of `nl`; None where it is the container's. Raises CniError."""
    return None if lower.inside else _find(nl, lower, common, "")


def _find(nl: Netlink, lower: Lower, common: Common, netns: str) -> Link:
    """The link in the namespace of `nl`, large enough for the MTU.

    netns: the path of the namespace, empty for the host's. Raises CniError(INVALID_CONFIG).
    """
    where = f"in {netns}" if netns else "on this host"
    found = link.find(nl, lower.name) if lower.name else _of_default_route(nl, where)
    if found is None:
        names = ", ".join(sorted(one.name for one in link.dump(nl))[:12])
        raise CniError(
            INVALID_CONFIG,
            f'key "master": found "{lower.name}", expected an interface {where}: {names}',
        )
    if common.mtu > found.mtu:
        raise CniError(
            INVALID_CONFIG,
            f'key "mtu": found {common.mtu}, expected at most {found.mtu}, which {found.name} has',
        )
    return found


def _of_default_route(nl: Netlink, where: str) -> Link:
    for family in (route.AF_INET, route.AF_INET6):
        found = route.default(nl, family)
        if found is not None:
            return link.by_index(nl, found.oif)
    raise CniError(
        INVALID_CONFIG,
        f'key "master": it is missing, and there is no default route {where} to take the device '
        "of: name it, or set a default route",
    )


def problems(sight: Sight, lower: Lower) -> Iterator[str]:
    """That the container's link does not sit where it should, in words.

    The device of the default route may be another one now than it was.
    """
    inner = sight.inner
    if (inner.netnsid is None) != lower.inside:
        yield f"interface {inner.name} sits on one of {'the host' if lower.inside else 'its own'}"
    elif lower.name:
        wanted = link.find(sight.inside if lower.inside else sight.outside, lower.name)
        if wanted is None:
            yield f"interface {lower.name}, the master of {inner.name}, does not exist"
        elif inner.peer != wanted.index:
            yield f"interface {inner.name} does not sit on {lower.name}"
