"""What ADD would do, told without doing it."""

from __future__ import annotations

from cni.explained import KEEPS, SETS, Explained, Step
from cni_firewall import plan
from cni_firewall.admit import find_firewalld
from cni_firewall.config import FIREWALLD
from wiring import explaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_firewall.config import Config


def explain(call: Call, config: Config, result: Result) -> Explained:
    """Who is let through, and by what. Raises CniError, OSError."""
    name, why = _backend(call, config)
    wanted = plan.make(config, result, zoned=name == FIREWALLD)
    how = f'ingressPolicy "{config.policy}", by {name}: {why}'
    steps = [Step(SETS, "admission", str(one.address or one.bridge), how) for one in wanted]
    if not wanted:
        steps.append(Step(KEEPS, "admission", "none", f"no address is known yet; {how}"))
    return Explained(tuple(steps), result)


def _backend(call: Call, config: Config) -> tuple[str, str]:
    bus = find_firewalld(call, config)
    if bus is None:
        return explaining.chosen_backend(config.backend, "backend")
    bus.close()
    if config.backend:
        return FIREWALLD, '"backend" says so'
    return FIREWALLD, f'it runs; zone "{config.zone}"'
