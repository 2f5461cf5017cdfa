"""What ADD would do, told without doing it."""

from __future__ import annotations

from cni.explained import MAKES, SETS, Explained, Step
from cni.result import DNS, Interface, Result
from cni_ptp import layout
from wiring import explaining, plan
from wiring.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_ptp.config import Ptp

_INNER = 1


def explain(call: Call, config: Ptp) -> Explained:
    """The steps of `attach.add`. Raises CniError where it would refuse."""
    common = config.common
    given = explaining.allocated(call, common.ipam)
    wanted = Plan(dns=common.dns or DNS())
    if given.result is not None:
        made = plan.make(
            given.result, ipam=common.ipam, interface=_INNER, mtu=common.mtu, dns=common.dns
        )
        wanted = layout.routed(made, common.ipam)
    port = explaining.port_name(call)
    parts = [f"{call.ifname} in the container, {port} on the host"]
    parts += [f"MAC {config.mac}"] if config.mac else []
    parts += [f"MTU {common.mtu}"] if common.mtu else []
    steps = [*given.steps, Step(MAKES, "veth pair", call.ifname, ", ".join(parts))]
    steps += explaining.inside(wanted)
    for gateway in layout.host_addresses(wanted.ips):
        steps.append(Step(SETS, "address", str(gateway), f"of {port}, as the gateway"))
    for route in layout.host_routes(wanted.ips):
        steps.append(Step(SETS, "route", str(route), f"on the host, by {port}"))
    steps += explaining.filtered(config, wanted)
    steps += explaining.forwarding(one.address.version for one in wanted.ips)
    interfaces = (
        Interface(port, mtu=common.mtu),
        Interface(call.ifname, mac=config.mac, mtu=common.mtu, sandbox=call.netns),
    )
    return Explained(tuple(steps), Result(interfaces, wanted.ips, wanted.routes, wanted.dns))
