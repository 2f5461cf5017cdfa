"""ADD: provision the overlay on this host, then attach the container to its bridge.

Both under one undo stack: what fails later takes back the attachment, and then of the overlay what
this ADD made and nobody else uses. A segment's device and bridge go with the last container, so
they are looked at once more when this one hangs on the bridge, and DEL no longer takes them away.
"""

from __future__ import annotations

from cni.record import replace
from cni.result import Interface
from cni_vxlan import complete, detach, evpn, former, overlay_bridge, provision
from cni_vxlan.config import read
from cni_vxlan.peers import Flannel
from hostnet import link
from hostnet.lock import NamespaceLock
from hostnet.netlink import Netlink
from hostnet.undo import Undo
from wiring import attach, veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_vxlan.complete import Completed
    from cni_vxlan.config import Config
    from cni_vxlan.provision import Provisioned

_INNER = 2
"""Where the container's interface stands in the result: bridge, host veth, container, …"""


def add(call: Call) -> Result:
    """Attach the container to the overlay.

    Raises CniError (config, IPAM, something in the way, etcd) or OSError (the kernel refused), and
    has then left nothing behind but, with etcd, this host's own place there.
    """
    config = read(call)
    with Netlink() as nl, Undo() as undo:
        if isinstance(config.overlay.peers, Flannel):
            return _add_to_flannel(nl, call, config, config.overlay.peers, undo)
        # What cannot be read is refused now. The MTU is not known yet, and decides nothing here.
        plain = complete.for_overlay(call, config, 0, ())
        provisioned = provision.ensure(nl, config.overlay, plain.bridged, undo)
        subnets = provisioned.plan.wanted.subnets
        completed = complete.for_overlay(call, config, provisioned.device.mtu, subnets)
        result = _attach(completed, undo)
        if config.overlay.mode == "l2":
            provisioned = _look_again(nl, config, completed, provisioned, undo)
        if config.overlay.peers.engine == "evpn":
            _advertise(nl, call, provisioned, result)
        made = provisioned.device
        shown = Interface(made.name, mac=made.mac, mtu=made.mtu)
        # After those of the container, which others find by their order.
        return replace(result, interfaces=(*result.interfaces, shown))


def _add_to_flannel(
    nl: Netlink, call: Call, config: Config, flannel: Flannel, undo: Undo
) -> Result:
    """flanneld makes the device and tells it the peers."""
    completed = complete.for_flannel(nl, call, config, flannel)
    bridged = completed.bridged
    with NamespaceLock():
        former.remove(nl, config.overlay, None, completed.subnets, bridged.inside)
        overlay_bridge.ensure(nl, call.network, bridged, undo)
    return attach.add(completed.call, bridged)


def _attach(completed: Completed, undo: Undo) -> Result:
    result = attach.add(completed.call, completed.bridged)
    undo.push(detach.take_back, completed.call.as_delete(), completed.bridged.ipam)
    return result


def _look_again(
    nl: Netlink, config: Config, completed: Completed, before: Provisioned, undo: Undo
) -> Provisioned:
    """A segment as it is now that the container is on its bridge, made anew if it had gone."""
    overlay = config.overlay
    with NamespaceLock():
        bridge = link.get(nl, overlay.bridge)
        made = link.find(nl, overlay.device)
    if made is not None and made.index == before.device.index and made.master == bridge.index:
        return before
    return provision.ensure(nl, overlay, completed.bridged, undo)


def _advertise(nl: Netlink, call: Call, provisioned: Provisioned, result: Result) -> None:
    """Let FRR advertise the container's MAC and addresses."""
    port = link.get(nl, veth.host_veth(call.owner))
    mac = result.interfaces[_INNER].mac
    addresses = [one.address for one in result.ips]
    evpn.advertise(nl, provisioned.bridge, port.index, mac, addresses)
