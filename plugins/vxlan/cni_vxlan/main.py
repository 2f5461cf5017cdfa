"""`vxlan`: the plugin's verbs, each loaded when it is called for."""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result


def add(call: Call) -> Result:
    """Attach the container to the overlay."""
    from cni_vxlan import attach

    return attach.add(call)


def delete(call: Call) -> None:
    """Detach it; missing things are no error."""
    from cni_vxlan import detach

    detach.delete(call)


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni_vxlan import check as checks

    checks.check(call)


def gc(call: Call) -> None:
    """Remove what attachments that are not valid any more have."""
    from cni_vxlan import detach

    detach.gc(call)


def status(call: Call) -> None:
    """Tell whether an ADD could succeed, and whether the peers are up to date."""
    from cni_vxlan import status as availability

    availability.status(call)


def restore(call: Call) -> bool:
    """Lay down again what the packet filter has lost of a running container's."""
    from cni_vxlan import restore as restoring

    return restoring.restore(call)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_vxlan.explain import explain as told

    return told(call)


PLUGIN = Plugin(
    "vxlan",
    about("vxlan"),
    add,
    delete,
    check,
    gc,
    status,
    restore=restore,
    strict_args=True,
    explain=explain,
)
