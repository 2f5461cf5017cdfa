"""STATUS: whether an ADD would find its configuration right and etcd willing."""

from __future__ import annotations

from cni.errors import NOT_AVAILABLE, CniError
from cni_etcd_ipam.config import read_config
from cni_etcd_ipam.etcd_layout import layout_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_etcd_ipam.config import Config


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE) with the reason why an ADD could not succeed.

    One read, and no write: STATUS is asked every few seconds on every node, and a write would pass
    through the log of the whole cluster. So a user who may read and not write is not found out.
    """
    try:
        config = read_config(call)
        config.ranges.dns()
        _ask(config, call)
    except CniError as error:
        raise CniError(NOT_AVAILABLE, error.msg, error.details) from error


def _ask(config: Config, call: Call) -> None:
    layout = layout_of(config.etcd, call.network)
    with config.etcd.session() as etcd:
        if config.ranges.report_exhaustion:
            from cni_etcd_ipam.choose import require_free

            require_free(etcd, layout, config.ranges.sets)
        else:
            etcd.get(layout.owners)
