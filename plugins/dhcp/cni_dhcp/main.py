"""`dhcp`: the plugin's verbs, each loaded when it is called for.

`dhcp daemon` is no verb: the bundle's entry starts `cni_dhcp.daemon.main` instead of the door.
"""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def _add(call: Call) -> Result:
    from cni_dhcp.verbs import add

    return add(call)


def _delete(call: Call) -> None:
    from cni_dhcp.verbs import delete

    delete(call)


def _check(call: Call) -> None:
    from cni_dhcp.verbs import check

    check(call)


def _gc(call: Call) -> None:
    from cni_dhcp.verbs import gc

    gc(call)


def _status(call: Call) -> None:
    from cni_dhcp.verbs import status

    status(call)


def _explain(call: Call) -> Explained:
    """Tell what ADD would do. Nobody knows the address before a server has given it."""
    from cni.explained import ASKS, Explained, Step
    from cni_dhcp.config import read_config, read_socket

    terms = read_config(call)
    wanted = [*(["IPv4"] if terms.ipv4 else []), *(["IPv6"] if terms.ipv6 != "none" else [])]
    text = f"at {read_socket(call)}, for {' and '.join(wanted)} from the network's own servers"
    return Explained((Step(ASKS, "daemon", "dhcp", text),))


PLUGIN = Plugin(
    "dhcp",
    about("dhcp") + "\n`dhcp daemon` keeps the leases",
    _add,
    _delete,
    _check,
    gc=_gc,
    status=_status,
    needs=(),
    explain=_explain,
)
