"""DEL and GC: the attachment's link, then what the overlay had for it, the reservation last.

Nothing here asks etcd; where the IPAM plugin keeps addresses there, it does. The config may have
become invalid since the ADD.
"""

from __future__ import annotations

from cni import ipam
from cni_vxlan import ipam_call, segment
from cni_vxlan.config import lenient
from hostnet.netlink import Netlink
from wiring import detach
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def delete(call: Call) -> None:
    """Remove whatever the attachment has; missing things are no error."""
    take_back(ipam_call.lenient(call), lenient(call).ipam)


def take_back(derived: Call, ipam_plugin: str) -> None:
    """Remove whatever the attachment has. derived: as the IPAM plugin sees it.

    Raises CniError for all that failed.
    """
    steps = Steps()
    steps.run(detach.delete, derived, "")
    steps.run(_leave, derived)
    if ipam_plugin:
        steps.run(ipam.delete, derived, ipam_plugin)
    steps.finish()


def gc(call: Call) -> None:
    """Remove what attachments of this network have that are not valid any more."""
    derived, known = ipam_call.lenient(call), lenient(call)
    steps = Steps()
    steps.run(detach.gc, derived, known.bridge, "")
    steps.run(_leave, derived)
    if known.ipam:
        steps.run(ipam.gc, derived, known.ipam)
    steps.finish()


def _leave(call: Call) -> None:
    known = lenient(call)
    with Netlink() as nl:
        segment.leave(nl, call.network, known.vni, known.port, known.bridge)
