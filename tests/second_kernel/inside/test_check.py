"""CHECK tells the truth of what only this kernel has: VLANs of a bridge, ipvlan, vlan, vrf, dummy.

What a container's every interface can suffer is tried with `--whole`: the promises of the plugins'
own tests hold them to it already, and each process takes 30 ms here.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.tables import Publish
from tests.reliability.check import matrix
from tests.reliability.check.matrix import AGAIN, HEADINGS, Mutation, Stage, contained, inside
from tests.reliability.check.matrix import host as on_host
from tests.reliability.check.test_links import STATIC
from tests.second_kernel.inside.segment import wire

pytestmark = pytest.mark.timeout(250)


@pytest.fixture(autouse=True)
def _shared(host: Host) -> None:
    host.share_bridge("cni0*")
    host.share("link veth* *", "address dev veth* *", "route * dev veth* *")
    host.share("file */cache/results/")


BRIDGED = [
    on_host("bridge vlan delete dev $port vid 100", "host interface $port lacks the VLANs 100"),
    on_host(
        "bridge vlan add dev $port vid 100",
        "host interface $port is in VLAN 100 otherwise than untagged",
    ),
    on_host(
        "bridge vlan add dev $port vid 200",
        "host interface $port is in the VLANs 200 and should not be",
        "bridge vlan delete dev $port vid 200",
    ),
    on_host(
        "ip link set cni0 type bridge vlan_filtering 0",
        "bridge cni0 does not filter VLANs",
        "ip link set cni0 type bridge vlan_filtering 1",
    ),
    on_host(
        "ip link set cni0.100 down",
        "the VLAN's gateway interface cni0.100 is down",
    ),
    on_host(
        "ip address delete 10.1.0.1/16 dev cni0.100",
        "interface cni0.100 lacks the gateway address 10.1.0.1/16",
    ),
    on_host(
        "bridge vlan delete dev $gate vid 100",
        "host interface $gate lacks the VLANs 100",
        "bridge vlan add dev $gate vid 100 pvid untagged",
    ),
    on_host(
        "ip link set $gate nomaster",
        "the VLAN's gateway interface cni0.100 is not connected to bridge cni0",
        "ip link set $gate master cni0\nbridge vlan add dev $gate vid 100 pvid untagged\n"
        "bridge vlan delete dev $gate vid 1",
    ),
    on_host("ip link delete cni0.100", "gateway interface cni0.100 does not exist"),
]


def test_vlans_of_a_bridge(host: Host, runtime: Runtime, publish: Publish) -> None:
    bridge = {
        "type": "bridge",
        "isGateway": True,
        "vlan": 100,
        "preserveDefaultVlan": False,
        "ipam": STATIC,
    }
    stage = Stage(host, runtime, [bridge])
    gate = host.ip("link", "show", "cni0.100")[0]["link"]
    stage.names["gate"] = gate
    publish("check-vlans", HEADINGS, matrix.run(stage, BRIDGED))


SINGLE: dict[str, tuple[dict[str, Any], list[str], list[Mutation]]] = {
    "ipvlan": (
        {"master": "up0"},
        ["address 02:"],
        [inside("ip link set eth0 type ipvlan mode l3", 'in mode "l3", expected "l2"')],
    ),
    "vlan": (
        {"master": "up0", "vlanId": 5},
        [],
        [
            on_host(
                "ip link set up0 down",
                "interface eth0 is down",
                f"ip link set up0 up\n{AGAIN}",
            )
        ],
    ),
    "dummy": ({}, [], [inside("ip link delete eth0", "interface eth0 does not exist in")]),
}


@pytest.mark.parametrize("plugin", SINGLE)
def test_one_link(plugin: str, whole: bool, host: Host, runtime: Runtime, publish: Publish) -> None:
    keys, impossible, mutations = SINGLE[plugin]
    if whole:
        mutations = [*contained(*impossible), *mutations]
    with wire(host):
        stage = Stage(host, runtime, [{"type": plugin, **keys, "ipam": STATIC}])
        publish(f"check-{plugin}", HEADINGS, matrix.run(stage, mutations))


IN_VRF = [
    inside("ip link set eth0 nomaster", "interface eth0 is not in VRF blue"),
    inside("ip link set blue down", "VRF blue is down", "ip link set blue up"),
    inside("ip link delete blue", "the container has no VRF blue"),
    inside(
        "ip route delete 10.1.0.0/16 vrf blue",
        "lacks the route to 10.1.0.0/16 of its address 10.1.0.2/16",
    ),
    inside(
        "ip rule delete l3mdev",
        "lacks the IPv4 rule that leads to the tables of VRFs",
        "ip rule add l3mdev pref 1000",
    ),
]


def test_vrf(host: Host, runtime: Runtime, publish: Publish) -> None:
    host.share('rule {*"l3mdev"*', 'rule {"priority": 1000,*')
    static = {"type": "static", "addresses": STATIC["addresses"][:1]}  # without routes beyond
    bridge = {"type": "bridge", "isGateway": True, "ipam": static}
    stage = Stage(host, runtime, [bridge, {"type": "vrf", "vrfname": "blue"}])
    publish("check-vrf", HEADINGS, matrix.run(stage, IN_VRF))
