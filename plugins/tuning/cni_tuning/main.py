"""`tuning`: the plugin's verbs, each loading what it needs when it needs it."""

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
    """Set sysctls and attributes; the previous result with the MAC and MTU that are new."""
    from cni_tuning.config import previous, read_config, require_mtu_for_ipv6

    config, result = read_config(call), previous(call)
    require_mtu_for_ipv6(config, result)
    if not (config.sysctls or config.attributes):
        return result
    from cni_tuning.tune import add as set_all

    return set_all(call, config, result)


def delete(call: Call) -> None:
    """Give the interface back what it had; sysctls go with the namespace."""
    from cni_tuning import restore
    from cni_tuning.backup import lenient_data_dir

    restore.delete(call, lenient_data_dir(call.config))


def check(call: Call) -> None:
    """Compare with what ADD leaves."""
    from cni_tuning import config as configs
    from cni_tuning import tune

    configs.previous(call)
    tune.check(call, configs.read_config(call))


def gc(call: Call) -> None:
    """Remove what attachments that are not valid any more have left to be given back."""
    from cni_tuning import restore
    from cni_tuning.backup import lenient_data_dir

    restore.gc(call, lenient_data_dir(call.config))


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) where the config is wrong or its backups could not be kept."""
    from cni_tuning import backup
    from cni_tuning.config import read_config

    try:
        config = read_config(call)
        if config.attributes:
            backup.require_place(config.data_dir)
    except CniError as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_tuning.explain import explain as told

    return told(call)


PLUGIN = Plugin(
    "tuning",
    about("tuning"),
    add,
    delete,
    check,
    gc,
    status,
    strict_args=True,
    explain=explain,
)
