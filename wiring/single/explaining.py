"""What the ADD of one link inside the container would do, told without doing it."""

from __future__ import annotations

from cni.explained import MAKES, USES, Explained, Step
from cni.result import DNS, Interface, Result
from wiring import explaining, plan
from wiring.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.call import Call
    from hostnet.link import Link
    from wiring.single.attach import Common
    from wiring.single.lower import Lower


def link(
    call: Call,
    common: Common,
    kind: str,
    before: Iterable[Step] = (),
    details: Iterable[str] = (),
    *,
    given: Result | None = None,
    mac: str = "",
    verb: str = MAKES,
) -> Explained:
    """The steps of `single.attach.add`.

    before: what is looked at first. details: of the link. given: the addresses where no IPAM plugin
    is asked. Raises CniError where ADD would refuse.
    """
    wanted = Plan(dns=common.dns or DNS())
    steps = list(before)
    allocated = given
    if common.ipam or given is None:
        told = explaining.allocated(call, common.ipam)
        steps += told.steps
        allocated = told.result
    if allocated is not None:
        wanted = plan.make(allocated, ipam=common.ipam, interface=0, mtu=common.mtu, dns=common.dns)
    parts = [*details, *([f"MTU {common.mtu}"] if common.mtu else [])]
    steps.append(Step(verb, kind, call.ifname, ", ".join(("in the container", *parts))))
    steps += explaining.inside(wanted)
    inner = Interface(call.ifname, mac=mac, mtu=common.mtu, sandbox=call.netns)
    return Explained(tuple(steps), Result((inner,), wanted.ips, wanted.routes, wanted.dns))


def below(found: Link | None, lower: Lower) -> Step:
    """The link that the container's sits on. found: None where it is the container's own."""
    if found is None:
        return Step(USES, "master", lower.name or "of the default route", "in the container")
    how = "as the config says" if lower.name else "the device of the default route"
    return Step(USES, "master", found.name, f"{how}, MTU {found.mtu}")
