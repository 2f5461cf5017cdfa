"""`host-local`: the plugin's verbs, each loaded when it is called for."""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def _add(call: Call) -> Result:
    from cni_host_local.add import add

    return add(call)


def _delete(call: Call) -> None:
    from cni_host_local.delete import delete

    delete(call)


def _check(call: Call) -> None:
    from cni_host_local.check import check

    check(call)


def _gc(call: Call) -> None:
    from cni_host_local.gc import gc

    gc(call)


def _status(call: Call) -> None:
    from cni_host_local.status import status

    status(call)


def _explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_host_local.explain import explain as told

    return told(call)


PLUGIN = Plugin(
    "host-local",
    about("host-local"),
    _add,
    _delete,
    _check,
    gc=_gc,
    status=_status,
    needs=(),
    enters=False,
    strict_args=True,
    explain=_explain,
)
