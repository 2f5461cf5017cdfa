"""CHECK: the VRF, the interface in it, and the routes in its table."""

from __future__ import annotations

from cni.errors import CniError
from cni_vrf.attach import find
from hostnet import link, rule, vrf
from hostnet.netns import NetNS
from wiring import compare, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Result
    from cni_vrf.config import Config
    from hostnet.netlink import Netlink

_FAMILIES = {4: rule.AF_INET, 6: rule.AF_INET6}


def check(call: Call, config: Config, result: Result) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    with NetNS.open(call.netns) as ns, ns.netlink() as nl:
        compare.require_none(list(_problems(nl, call, config, result)))


def _problems(nl: Netlink, call: Call, config: Config, result: Result) -> Iterator[str]:
    try:
        device = find(nl, config)
    except CniError as error:
        yield error.msg
        return
    if device is None:
        yield f"the container has no VRF {config.name}"
        return
    if not device.up:
        yield f"VRF {config.name} is down"
    inner = link.find(nl, call.ifname)
    if inner is None:
        yield f"interface {call.ifname} does not exist in {call.netns}"
    elif inner.master != device.index:
        yield f"interface {call.ifname} is not in VRF {config.name}"
    rules = rule.dump(nl)
    for version in sorted({one.address.version for one in result.ips}):
        if not any(one.by_vrf and one.family == _FAMILIES[version] for one in rules):
            yield f"the container lacks the IPv{version} rule that leads to the tables of VRFs"
    table = vrf.table_of(device)
    moved = [one for one in result.routes if one.table == table]
    yield from compare.route_problems(plan.installed(result.ips, moved), nl)
