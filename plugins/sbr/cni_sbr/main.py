"""`sbr`: the plugin's verbs, each loading what it needs when it needs it."""

from __future__ import annotations

from cni import about
from cni.errors import NOT_AVAILABLE, CniError
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def add(call: Call) -> Result:
    """Route by source; the previous result with the tables in which the routes are now."""
    from cni_sbr.attach import add as route_by_source
    from cni_sbr.config import previous, read_config

    config = read_config(call.config)
    result, ips = previous(call)
    return route_by_source(call, config, result, ips)


def delete(call: Call) -> None:
    """Remove the rules, whatever the config says today."""
    from cni_sbr import detach

    detach.delete(call)


def check(call: Call) -> None:
    """Compare with what ADD leaves."""
    from cni_sbr import check as checks
    from cni_sbr import config as configs

    config = configs.read_config(call.config)
    result, ips = configs.previous(call)
    checks.check(call, config, result, ips)


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where the config is wrong."""
    from cni_sbr.config import read_config

    try:
        read_config(call.config)
    except CniError as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni.explained import SETS, Explained, Step
    from cni_sbr import config as configs

    config = configs.read_config(call.config)
    result = call.prev_result
    if result is None:
        configs.previous(call)  # which says what is missing
    assert result is not None
    table = str(config.table) if config.table else "one that is free"
    text = f"in the container, to the table {table}, with the routes of {call.ifname}"
    steps = [
        Step(SETS, "rule", f"from {one.address.ip}", text)
        for one in configs.addresses(result, call.ifname)
    ]
    return Explained(tuple(steps), result)


PLUGIN = Plugin(
    "sbr",
    about("sbr"),
    add,
    delete,
    check,
    status=status,
    explain=explain,
)
