"""What ADD would do, told without doing it. Whose a port is now, `cnitool ports` says."""

from __future__ import annotations

from cni.explained import KEEPS, SETS, Explained, Step
from cni_portmap import plan
from wiring import explaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_portmap.config import Config


def explain(call: Call, config: Config, result: Result) -> Explained:
    """Each published port. Raises CniError, NetlinkError."""
    if not config.mappings:
        text = "the runtime asks for none (runtimeConfig.portMappings)"
        return Explained((Step(KEEPS, "ports", "none", text),), result)
    name, why = explaining.chosen_backend(config.backend, "backend")
    addresses = plan.container_addresses(result, call.ifname)
    if not addresses:
        text = f"to the container, by {name}: {why}"
        steps = [Step(SETS, "port", f"{one.host_port}", text) for one in config.mappings]
        return Explained(tuple(steps), result)
    steps = []
    for one in plan.publish(config, addresses, {}):
        to = f"[{one.container}]" if one.version == 6 else str(one.container)
        text = f"leads to {to}:{one.container_port}, by {name}: {why}"
        steps.append(Step(SETS, "port", plan.shown(one), text))
    for mapping, reason in plan.unreachable(config, addresses):
        steps.append(Step(KEEPS, "port", f"{mapping.host_port}", f"is not published: {reason}"))
    return Explained(tuple(steps), result)
