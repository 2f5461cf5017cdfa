"""What each engine makes of a config on this host: which device, whose subnets, which peers.

Nothing in the kernel is changed here. etcd is asked only where the device is not there: a device
remembers in its alias which subnets are this host's, so that its ADDs need no etcd, and none of
them takes another subnet while the first is in use.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, CniError
from cni.record import record, replace
from cni_vxlan import device as devices
from cni_vxlan import etcd_layout, identity, port_holder
from cni_vxlan import underlay as underlays
from cni_vxlan.device import Wanted
from cni_vxlan.peers import Etcd, Evpn, Multicast, Static
from cni_vxlan.reconcile import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address
    from cni_vxlan.device import Found
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.underlay import Underlay
    from hostnet.link import Link
    from hostnet.netlink import Netlink


@record
class Plan:
    """What the overlay is to be on this host.

    wanted: the device. peers: the other hosts; None where nobody here can list them, since the
    engine tells the kernel itself. peers_known: False where they were not asked for, since the
    watcher has told the kernel already; `peers` is empty then.
    """

    wanted: Wanted
    peers: tuple[Peer, ...] | None
    peers_known: bool = True

    @property
    def let_in(self) -> list[Address] | None:
        """The VTEPs whose packets are let in; None for everybody on the underlay."""
        return None if self.peers is None else [peer.address for peer in self.peers]


def plan(nl: Netlink, overlay: Overlay, found: Found | None, *, may_join: bool = True) -> Plan:
    """Plan the overlay on this host.

    found: the device, as `device.find` gives it. may_join: whether etcd may be asked, and this host
    be entered there; else it is described as far as the device tells.
    Raises CniError: INVALID_CONFIG where the config does not fit the host, TRY_AGAIN_LATER where
    the underlay or etcd is down, IN_THE_WAY, NO_ADDRESS where etcd has no subnet left.
    """
    device = found.link if found is not None else None
    underlay = underlays.find(nl, overlay, device)
    mtu = underlays.mtu(overlay, underlay)
    if device is None:
        _require_port(nl, overlay)
        devices.require_vni(nl, overlay, underlay.local.version)
    # In a segment nobody computes the MAC: what the device was made with is right.
    mac = device.mac if device is not None else _mac(overlay, str(underlay.local), underlay)
    plain = Wanted(overlay, underlay, mac, mtu)
    if isinstance(overlay.peers, Static):
        return _static(plain, overlay.peers)
    if isinstance(overlay.peers, Etcd):
        return _etcd(nl, plain, overlay.peers, found, may_join=may_join)
    if isinstance(overlay.peers, Multicast):
        return Plan(replace(plain, group=overlay.peers.group, learning=True), None)
    assert isinstance(overlay.peers, Evpn)  # with flannel there is no device of ours
    return Plan(plain, None)


def _mac(overlay: Overlay, node: str, underlay: Underlay) -> str:
    return identity.vtep_mac(node, overlay.vni, underlay.local.version)


def _require_port(nl: Netlink, overlay: Overlay) -> None:
    """Refuse a port that a process has before anything is made. Raises CniError(IN_THE_WAY)."""
    holder = port_holder.process_on(nl, overlay.port)
    if holder:
        raise devices.port_taken(overlay.port, holder)


def _static(plain: Wanted, static: Static) -> Plan:
    overlay, underlay = plain.overlay, plain.underlay
    own = underlays.own_node(static, underlay)
    others = [node for node in static.nodes if node is not own]
    if overlay.mode == "l2":
        peers = tuple(Peer(node.address) for node in others)
        return Plan(replace(plain, learning=True), peers)
    wanted = replace(plain, mac=_mac(overlay, str(own.address), underlay), subnets=own.subnets)
    peers = tuple(
        Peer(node.address, _mac(overlay, str(node.address), underlay), node.subnets)
        for node in others
    )
    return Plan(wanted, peers)


def _etcd(nl: Netlink, plain: Wanted, etcd: Etcd, found: Found | None, *, may_join: bool) -> Plan:
    overlay, underlay = plain.overlay, plain.underlay
    mac = _mac(overlay, etcd.settings.node, underlay)
    wanted = replace(plain, mac=mac, learning=overlay.mode == "l2")
    shared = etcd_layout.shared_config(overlay, underlay.local.version)
    if found is not None:
        device, subnets = found.link, found.subnets
        wanted = replace(wanted, subnets=subnets)
        fits = not any(map(shared.problem, subnets))
        right = device.mac == mac and fits and bool(subnets) == (overlay.mode == "l3")
        if right or not may_join:
            return Plan(wanted, (), peers_known=False)
        if device.mac != mac:
            _refuse_other_name(nl, wanted, etcd, device)
    elif not may_join:
        return Plan(wanted, (), peers_known=False)
    from cni_vxlan import registry

    with etcd.settings.session() as connection:
        ours = registry.of_overlay(connection, overlay, underlay.local.version)
        own = ours.join(etcd.settings.node, underlay.local, mac)
        nodes, _, _ = ours.nodes()
    peers = tuple(
        Peer(one.address, one.mac if overlay.mode == "l3" else "", one.subnets)
        for one in nodes
        if one.name != own.name
    )
    return Plan(replace(wanted, subnets=own.subnets), peers)


def _refuse_other_name(nl: Netlink, wanted: Wanted, etcd: Etcd, device: Link) -> None:
    """Refuse another name of this node under containers: MAC and subnets follow from it.

    Raises CniError(IN_THE_WAY).
    """
    ports = devices.attached(nl, wanted.overlay, device)
    if ports:
        raise CniError(
            IN_THE_WAY,
            f'key "peers.node": found "{etcd.settings.node}", whose VTEP has the MAC {wanted.mac}, '
            f"and device {device.name} has {device.mac} and containers ({', '.join(ports[:5])}): "
            "where the name has changed, take it back or remove them first; where only the MAC "
            f"has, ip link set {device.name} address {wanted.mac}",
        )
