"""DEL and GC: the attachment's link, then what the overlay had for it, the reservation last.

Nothing here asks etcd; where the IPAM plugin keeps addresses there, it does. The config may have
become invalid since the ADD.
"""

from __future__ import annotations

from cni import ipam
from cni_vxlan import guard, identity, ipam_call
from cni_vxlan.config import lenient
from hostnet import link, vxlan
from hostnet.lock import NamespaceLock
from hostnet.netlink import Netlink
from wiring import detach
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_vxlan.config import Lenient
    from hostnet.link import Link


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
    steps.run(detach.gc, derived, "")
    steps.run(_leave, derived)
    if known.ipam:
        steps.run(ipam.gc, derived, known.ipam)
    steps.finish()


def _leave(call: Call) -> None:
    """Remove what no container of this host needs any more.

    With a segment's last container go its device, the guard, and the bridge if it is the network's
    own. The device of mode l3, which other hosts' routes lead to, stays.
    """
    known = lenient(call)
    with Netlink() as nl:
        if known.vni and not _is_routed(_own(nl, call.network, identity.device_name(known.vni))):
            with NamespaceLock():
                _leave_segment(nl, call.network, known)


def _leave_segment(nl: Netlink, network: str, known: Lenient) -> None:
    """The device goes last, since what is left over by a call that was killed is found by it."""
    found = _own(nl, network, identity.device_name(known.vni))
    if _is_routed(found):
        return
    bridge = link.by_index(nl, found.master) if found is not None and found.master else None
    if bridge is None and known.bridge:
        bridge = _own(nl, network, known.bridge)
    if bridge is not None:
        from cni_vxlan import evpn

        evpn.withdraw_gone(nl, bridge)
        ports = link.dump(nl, master=bridge.index)
        if any(found is None or port.index != found.index for port in ports):
            return
    if found is not None:
        link.set_down(nl, found.index)
        guard.remove(vxlan.Vxlan(found).port, known.vni)
    elif link.find(nl, identity.device_name(known.vni)) is None:  # somebody has removed it
        guard.remove(known.port, known.vni)
    mark = identity.read_alias(bridge.alias) if bridge is not None else None
    if bridge is not None and mark is not None and mark.is_of(network):
        link.delete(nl, bridge.index, missing_ok=True)
    if found is not None:
        link.delete(nl, found.index, missing_ok=True)


def _own(nl: Netlink, network: str, name: str) -> Link | None:
    """The link of this name if it bears the network's mark."""
    found = link.find(nl, name)
    mark = identity.read_alias(found.alias) if found is not None else None
    return found if mark is not None and mark.is_of(network) else None


def _is_routed(found: Link | None) -> bool:
    """Whether it is the device of mode l3, which stands for subnets."""
    mark = identity.read_alias(found.alias) if found is not None else None
    return mark is not None and bool(mark.subnets)
