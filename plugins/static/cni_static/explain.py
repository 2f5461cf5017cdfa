"""What ADD would do: the addresses of the config, which nobody keeps a list of."""

from __future__ import annotations

from cni.explained import TAKES, Explained, Step
from cni.result import Result
from cni_static.config import read_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def explain(call: Call) -> Explained:
    """Every address. Raises CniError."""
    config = read_config(call)
    steps = tuple(
        Step(TAKES, "address", str(one.address), "the config or the runtime says it")
        for one in config.ips
    )
    return Explained(steps, Result(ips=config.ips, routes=config.routes, dns=config.dns))
