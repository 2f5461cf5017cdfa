"""`static`: the plugin's verbs. It keeps no state, so DEL and GC have nothing to do."""

from __future__ import annotations

from cni import about
from cni.errors import CHECK_FAILED, INVALID_CONFIG, NOT_AVAILABLE, CniError
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.explained import Explained
    from cni.result import IPConfig, Result


def add(call: Call) -> Result:
    """The addresses, routes and resolver settings of the config. Raises CniError."""
    from cni.result import Result
    from cni_static.config import read_config

    config = read_config(call)
    return Result(ips=config.ips, routes=config.routes, dns=config.dns)


def delete(_: Call) -> None:
    """Nothing was reserved."""


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) unless the previous result has every address of the config."""
    from cni_static.config import read_config

    config = read_config(call)
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG, 'key "prevResult": it is missing, expected what ADD returned'
        )
    problems = list(_problems(config.ips, call.prev_result.ips))
    if problems:
        raise CniError(CHECK_FAILED, "; ".join(problems))


def _problems(wanted: tuple[IPConfig, ...], told: tuple[IPConfig, ...]) -> Iterator[str]:
    by_address = {one.address: one for one in told}
    for one in wanted:
        found = by_address.get(one.address)
        if found is None:
            yield f"the previous result lacks the address {one.address} of the config"
        elif one.gateway is not None and found.gateway != one.gateway:
            yield (
                f"the previous result has {found.gateway or 'no gateway'} as the gateway of "
                f"{one.address}, and the config has {one.gateway}"
            )


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where the config is wrong."""
    from cni_static.config import read_config

    try:
        read_config(call)
    except CniError as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_static.explain import explain as told

    return told(call)


PLUGIN = Plugin(
    "static",
    about("static"),
    add,
    delete,
    check,
    status=status,
    needs=(),
    enters=False,
    strict_args=True,
    explain=explain,
)
