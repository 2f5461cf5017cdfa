"""`bridge`: the plugin's verbs, each loaded when it is called for."""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def add(call: Call) -> Result:
    """Attach the container."""
    from cni_bridge.config import read
    from wiring import attach

    return attach.add(call, read(call))


def delete(call: Call) -> None:
    """Detach it; missing things are no error."""
    from cni_bridge.config import lenient, prunes
    from wiring import detach

    bridge, ipam_plugin = lenient(call)
    detach.delete(call, ipam_plugin, bridge if prunes(call) else "")


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni_bridge.config import read
    from wiring import check as checks

    checks.check(call, read(call))


def gc(call: Call) -> None:
    """Remove what attachments that are not valid any more have."""
    from cni_bridge.config import lenient, prunes
    from wiring import detach

    bridge, ipam_plugin = lenient(call)
    detach.gc(call, ipam_plugin, bridge if prunes(call) else "")


def status(call: Call) -> None:
    """Tell whether an ADD could succeed."""
    from cni.errors import CniError
    from cni_bridge.config import read
    from wiring import status as availability

    try:
        config = read(call)
    except CniError as error:
        raise availability.unavailable(error) from error
    availability.status(call, config)


def restore(call: Call) -> bool:
    """Lay down again what the packet filter has lost of a running container's."""
    from cni_bridge.config import read
    from wiring import restoring

    return restoring.bridged(call, read(call))


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_bridge.config import read
    from wiring import explaining

    return explaining.bridged(call, read(call))


PLUGIN = Plugin(
    "bridge",
    about("bridge"),
    add,
    delete,
    check,
    gc,
    status,
    restore=restore,
    strict_args=True,
    explain=explain,
)
