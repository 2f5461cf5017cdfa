"""An overlay with static peers, in both modes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.tables import Publish, Row
from tests.reliability.check import matrix
from tests.reliability.check.bridged import nft
from tests.reliability.check.matrix import HEADINGS, Mutation, Stage, inside
from tests.reliability.check.matrix import host as on_host
from tests.vxlan import conftest as vxlan
from tests.vxlan.conftest import remove_overlay, underlay

__all__ = ["underlay"]
pytestmark = pytest.mark.timeout(300)

DEVICE = [
    on_host("ip link set vxlan42 down", "device vxlan42 is down"),
    on_host("ip link delete vxlan42", "device vxlan42 does not exist"),
    on_host("ip link set vxlan42 mtu 1300", "device vxlan42 has the MTU 1300, expected 1450"),
    nft("delete table inet pycni_vxlan", "pycni_vxlan"),
]
L3 = [
    on_host(
        "ip link set vxlan42 address 02:00:00:00:00:77",
        "device vxlan42 has the MAC 02:00:00:00:00:77, expected",
    ),
    on_host(
        "ip route delete 10.244.2.0/24 dev vxlan42",
        "device vxlan42 lacks the route to 10.244.2.0/24",
    ),
    on_host(
        "ip -6 route delete fd00:1:0:2::/64 dev vxlan42",
        "device vxlan42 lacks the route to fd00:1:0:2::/64",
    ),
    on_host(
        "ip neighbour delete 10.244.2.0 dev vxlan42",
        "device vxlan42 lacks the neighbour 10.244.2.0 at $peermac",
    ),
    on_host(
        "bridge fdb delete $peermac dev vxlan42 dst 192.0.2.2",
        "device vxlan42 lacks the forwarding entry for $peermac behind 192.0.2.2",
    ),
    on_host(
        "bridge fdb replace $peermac dev vxlan42 dst 192.0.2.9",
        "device vxlan42 lacks the forwarding entry for $peermac behind 192.0.2.2",
    ),
    on_host(
        "ip address delete 10.244.1.0/32 dev vxlan42",
        "device vxlan42 lacks its address 10.244.1.0/32",
    ),
    on_host("ip link set vxbr42 down", "bridge vxbr42 is down"),
    on_host("ip link delete vxbr42", "bridge vxbr42 does not exist"),
    on_host(
        "ip address delete 10.244.1.1/24 dev vxbr42",
        "interface vxbr42 lacks the gateway address 10.244.1.1/24",
    ),
    on_host("ip link set $port nomaster", "host interface $port is not a port of bridge vxbr42"),
    inside("ip link set eth0 mtu 1400", "interface eth0 has the MTU 1400, expected 1450"),
    inside("ip route delete 10.244.0.0/16", "lacks the route to 10.244.0.0/16"),
]
L2 = [
    on_host(
        "bridge fdb delete 00:00:00:00:00:00 dev vxlan42 dst 192.0.2.2",
        "device vxlan42 lacks the forwarding entry for 00:00:00:00:00:00 behind 192.0.2.2",
    ),
    on_host("ip link set vxlan42 nomaster", "device vxlan42 is not a port of bridge vxbr42"),
]


@pytest.fixture
def runtime(host: Host, underlay: Host, tmp_path: Path) -> Iterator[Runtime]:
    host.share_nft()
    host.share_locks()
    host.share("file */cache/results/")
    yield Runtime(tmp_path)
    remove_overlay(host)


def rows(host: Host, runtime: Runtime, mode: str, mutations: list[Mutation]) -> list[Row]:
    config = (vxlan.l3(host) if mode == "l3" else vxlan.l2(host, "static")) | {"name": "net"}
    stage = Stage(host, runtime, [config])
    neighbours = host.ip("neighbour", "show", "dev", "vxlan42") or []
    peer = next((one["lladdr"] for one in neighbours if one["dst"] == "10.244.2.0"), "")
    stage.names["peermac"] = peer
    return matrix.run(stage, mutations)


def test_routed(host: Host, runtime: Runtime, publish: Publish) -> None:
    publish("check-overlay-l3", HEADINGS, rows(host, runtime, "l3", [*DEVICE, *L3]))


def test_bridged(host: Host, runtime: Runtime, publish: Publish) -> None:
    publish("check-overlay-l2", HEADINGS, rows(host, runtime, "l2", [*DEVICE, *L2]))
