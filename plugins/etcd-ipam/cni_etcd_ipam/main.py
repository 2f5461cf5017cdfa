"""`etcd-ipam`: the plugin's verbs, each loaded when it is called for."""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def _add(call: Call) -> Result:
    from cni_etcd_ipam.add import add

    return add(call)


def _delete(call: Call) -> None:
    from cni_etcd_ipam.delete import delete

    delete(call)


def _check(call: Call) -> None:
    from cni_etcd_ipam.check import check

    check(call)


def _gc(call: Call) -> None:
    from cni_etcd_ipam.gc import gc

    gc(call)


def _status(call: Call) -> None:
    from cni_etcd_ipam.status import status

    status(call)


def _explain(call: Call) -> Explained:
    """Tell what ADD would do. etcd is not asked; which free address it is, is left to chance."""
    from cni.explained import ASKS, Explained, Step
    from cni_etcd_ipam.config import read_config

    config = read_config(call)
    places = ", ".join(config.etcd.endpoints)
    steps = tuple(
        Step(ASKS, "etcd", places, f"for an address of {one}, below {config.etcd.prefix}")
        for one in config.ranges.sets
    )
    return Explained(steps)


PLUGIN = Plugin(
    "etcd-ipam",
    about("etcd-ipam"),
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
