"""What ADD would do, told without doing it. Whose a port is now, `cnitool ports` says."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.explained import KEEPS, SETS, Explained, Step
from cni_portmap import plan
from cni_portmap.config import read
from wiring import explaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def explain(call: Call) -> Explained:
    """Each published port. Raises CniError, NetlinkError."""
    config, result = read(call.config), call.prev_result
    if result is None:
        raise CniError(INVALID_CONFIG, 'key "prevResult": it is missing, expected a plugin before')
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
    return Explained(tuple(steps), result)
