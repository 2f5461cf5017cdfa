"""DEL: the interface out of the VRF, and the VRF away when nothing is in it any more."""

from __future__ import annotations

from hostnet import link, vrf
from hostnet.lock import NamespaceLock
from hostnet.netns import NetNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from hostnet.link import Link
    from hostnet.netlink import Netlink


def delete(call: Call, name: str) -> None:
    """Undo ADD; nothing to do where namespace, VRF or interface are gone. Raises OSError.

    name: the VRF's, empty where the config does not tell: then it is that of the interface.
    """
    if not call.netns:
        return
    with (
        NetNS.open(call.netns) as ns,
        ns.netlink() as nl,
        NamespaceLock(path=call.netns),
    ):
        inner = link.find(nl, call.ifname)
        device = _find(nl, name, inner)
        if device is None:
            return
        if inner is not None and inner.master == device.index:
            link.change(nl, inner.index, master=0)
        if not link.dump(nl, master=device.index):
            link.delete(nl, device.index, missing_ok=True)


def _find(nl: Netlink, name: str, inner: Link | None) -> Link | None:
    if name:
        found = link.find(nl, name)
    else:
        found = link.by_index(nl, inner.master) if inner is not None and inner.master else None
    return found if found is not None and found.kind == vrf.KIND else None
