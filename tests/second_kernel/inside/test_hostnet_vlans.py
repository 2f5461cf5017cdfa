"""VLANs of bridge ports by hostnet, on a kernel that filters them."""

from __future__ import annotations

from hostnet import bridge, link
from hostnet.netlink import Netlink
from tests.kit.host import Host


def test_vlans_of_a_port(host: Host) -> None:
    with Netlink() as nl:
        made = bridge.create(nl, "cni0")
        assert not bridge.vlan_filtering(made)
        pair = link.create_veth(nl, "v0", "v1", master=made.index)
        bridge.set_vlan_filtering(nl, made.index, True)
        _check(nl, made.index, pair.index)
        link.delete(nl, pair.index)
        link.delete(nl, made.index)


def _check(nl: Netlink, master: int, port: int) -> None:
    assert bridge.vlan_filtering(link.by_index(nl, master))
    bridge.add_vlan(nl, port, 100, pvid=True, untagged=True)
    bridge.add_vlan(nl, port, 10, 12)
    bridge.delete_vlan(nl, port, 11)
    bridge.delete_vlan(nl, port, 1)
    assert bridge.vlans(nl, port) == [
        bridge.Vlan(10),
        bridge.Vlan(12),
        bridge.Vlan(100, pvid=True, untagged=True),
    ]
    bridge.add_vlan(nl, master, 100, of_bridge=True)
    assert bridge.Vlan(100) in bridge.vlans(nl, master)
    bridge.delete_vlan(nl, master, 100, of_bridge=True)
    assert bridge.Vlan(100) not in bridge.vlans(nl, master)
