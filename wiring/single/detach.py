"""DEL and GC of one link inside the container: the link first, its reservation last.

Unless the IPAM plugin works through the link: it then has to tell the network that the address is
free while the link is there. Where the namespace is gone, so is the link.
"""

from __future__ import annotations

from cni import ipam
from hostnet import removal
from hostnet.netns import NetNS
from wiring.single import label
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.call import Call


def delete(call: Call, ipam_plugin: str, kind: str) -> None:
    """Delete the attachment's link of this kind, and give its addresses back.

    Missing things are no error. Raises CniError for all that failed.
    """
    in_order(call, ipam_plugin, lambda: _delete_link(call, kind))


def in_order(call: Call, ipam_plugin: str, remove: Callable[[], None]) -> None:
    """DEL: `remove` takes the link away, and before or after it the IPAM plugin has its turn.

    ipam_plugin: empty where there is none. Raises CniError for all that failed.
    """
    steps = Steps()
    early = ipam.needs_interface(ipam_plugin)
    if early:
        steps.run(ipam.delete, call, ipam_plugin)
    steps.run(remove)
    if ipam_plugin and not early:
        steps.run(ipam.delete, call, ipam_plugin)
    steps.finish()


def _delete_link(call: Call, kind: str) -> None:
    if not call.netns:
        return
    with NetNS.open(call.netns) as ns, ns.netlink() as inside:
        found = label.find(inside, call, kind)
        if found is not None:
            removal.delete(inside, found.index, ns)


def gc(call: Call, ipam_plugin: str) -> None:
    """Have the IPAM plugin forget attachments that are not valid any more.

    Their links are in namespaces that nobody names here, and go with them.
    """
    if ipam_plugin:
        ipam.gc(call, ipam_plugin)
