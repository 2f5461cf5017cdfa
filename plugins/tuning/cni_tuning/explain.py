"""What ADD would do, told without doing it."""

from __future__ import annotations

from cni.explained import SETS, Explained, Step
from cni_tuning import tune
from cni_tuning.config import previous, read_config, require_mtu_for_ipv6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def explain(call: Call) -> Explained:
    """Each sysctl, then each attribute. Raises CniError."""
    config, result = read_config(call), previous(call)
    require_mtu_for_ipv6(config, result)
    steps = [
        Step(SETS, "sysctl", one.path, f"{one.value}, in the container") for one in config.sysctls
    ]
    for key, one in config.attributes.single():
        value = one.mac or one.mtu or (one.tx_queue if key == "txQLen" else getattr(one, key))
        why = f"of {call.ifname}; what it had is kept in {config.data_dir}"
        steps.append(Step(SETS, key, str(value).lower(), why))
    return Explained(tuple(steps), tune.told(result, call.ifname, config.attributes))
