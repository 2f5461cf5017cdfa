"""`vrf`: the plugin's verbs, each loading what it needs when it needs it."""

from __future__ import annotations

from cni import about
from cni.errors import INVALID_CONFIG, NOT_AVAILABLE, CniError
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def add(call: Call) -> Result:
    """Put the interface into the VRF; the previous result with the table of its routes."""
    from cni_vrf import attach
    from cni_vrf.config import read_config

    config = read_config(call.config)
    return attach.add(call, config, _previous(call))


def delete(call: Call) -> None:
    """Take it out again, and remove an empty VRF."""
    from cni_vrf import detach
    from cni_vrf.config import lenient_name

    detach.delete(call, lenient_name(call.config))


def check(call: Call) -> None:
    """Compare with what ADD leaves."""
    from cni_vrf import check as checks
    from cni_vrf.config import read_config

    checks.check(call, read_config(call.config), _previous(call))


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where the config is wrong or the kernel has no VRFs."""
    from cni_vrf.config import read_config
    from hostnet.netlink import Netlink
    from wiring.single.status import require_kind

    try:
        read_config(call.config)
        with Netlink() as nl:
            require_kind(nl, "vrf")
    except (CniError, OSError) as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error


def _previous(call: Call) -> Result:
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG,
            'key "prevResult": missing prevResult from earlier plugin; vrf must come in a '
            '"plugins" list after the plugin that makes the interface',
        )
    return call.prev_result


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni.explained import MAKES, SETS, Explained, Step
    from cni_vrf.config import read_config

    config, result = read_config(call.config), _previous(call)
    table = f"table {config.table}" if config.table else "a table that is free"
    made = Step(MAKES, "VRF", config.name, f"in the container, unless it is there, with {table}")
    return Explained((made, Step(SETS, "master", config.name, f"of {call.ifname}")), result)


PLUGIN = Plugin(
    "vrf",
    about("vrf"),
    add,
    delete,
    check,
    status=status,
    explain=explain,
)
