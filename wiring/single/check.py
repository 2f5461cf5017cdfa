"""CHECK of one link inside the container: as ADD reported it, and as the config says of it."""

from __future__ import annotations

from cni import ipam
from cni.record import record
from hostnet import link
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from wiring import compare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.call import Call
    from cni.result import Result
    from hostnet.link import Link
    from wiring.single.attach import Common


@record
class Sight:
    """What a CHECK compares with: the link, and sockets in the container and on the host."""

    result: Result
    inner: Link
    inside: Netlink
    outside: Netlink


def check(
    call: Call,
    common: Common,
    kind: str | None,
    more: Callable[[Sight], Iterator[str]] | None = None,
) -> None:
    """Name every deviation; the IPAM plugin checks its own first.

    kind: of the link, None for any. more: what the plugin has to compare besides, where the link
    is there. Raises CniError: CHECK_FAILED, INVALID_CONFIG without a previous result, or what the
    IPAM plugin says. Raises OSError.
    """
    result = compare.previous(call)
    if common.ipam:
        ipam.check(call, common.ipam)
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside:
        inner = link.find(inside, call.ifname)
        problems = list(
            compare.container_problems(call, inner, result, inside, kind=kind, mtu=common.mtu)
        )
        if more is not None and inner is not None and kind in (inner.kind, None):
            problems += more(Sight(result, inner, inside, outside))
    compare.require_none(problems)
