"""What the tests of vxlan on one host share: a runtime, an underlay, and configs.

Several hosts are in `tests.vxlan.across`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etcd_json import Etcd
from tests.kit.calls import Runtime
from tests.kit.etcd import EtcdServer
from tests.kit.host import Host

FOUR, SIX = "192.0.2.1", "2001:db8::1"
"""This host's addresses on the underlay."""


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_nft()
    host.share_locks()
    return Runtime(tmp_path)


@pytest.fixture
def underlay(host: Host) -> Iterator[Host]:
    """The host with `eth0`, both families and default routes; nobody else is on the link."""
    wire = host.container("wire")
    commands = [
        f"link add eth0 mtu 1500 type veth peer name wire netns {wire}",
        f"address add {FOUR}/24 dev eth0",
        f"address add {SIX}/64 dev eth0 nodad",
        "link set eth0 up",
        "route add default via 192.0.2.254 dev eth0",
        "-6 route add default via 2001:db8::fe dev eth0",
    ]
    wire.command("ip", "link", "set", "lo", "up")
    host.command("ip", *commands[0].split())
    wire.command("ip", "link", "set", "wire", "up")
    for one in commands[1:]:
        host.command("ip", *one.split())
    yield host
    host.command("ip", "link", "delete", "eth0")


@pytest.fixture
def server(host: Host, tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd on this host."""
    with EtcdServer(host, tmp_path / "etcd") as made:
        yield made


@pytest.fixture
def etcd(server: EtcdServer) -> Iterator[Etcd]:
    """A client of it."""
    with Etcd([server.url]) as made:
        yield made


def document(host: Host, **keys: Any) -> dict[str, Any]:
    """A config whose IPAM plugin keeps its state where the test's leak check looks."""
    given = {"cniVersion": "1.1.0", "name": "net", "type": "vxlan", "vni": 42, **keys}
    ipam = {"type": "host-local", "dataDir": str(host.state), **given.pop("ipam", {})}
    return {**given, "ipam": ipam} if ipam["type"] else given


def nodes(family: int = 4, count: int = 3) -> list[dict[str, Any]]:
    """The nodes 1 to `count` with their subnets; this host is the first."""
    start = "192.0.2." if family == 4 else "2001:db8::"
    return [
        {
            "address": f"{start}{number}",
            "subnets": [f"10.244.{number}.0/24", f"fd00:1:0:{number}::/64"],
        }
        for number in range(1, count + 1)
    ]


def l3(host: Host, family: int = 4, **keys: Any) -> dict[str, Any]:
    """Mode l3 with three static peers."""
    given: dict[str, Any] = {
        "network": ["10.244.0.0/16", "fd00:1::/48"],
        "peers": {"type": "static", "nodes": nodes(family)},
    }
    return document(host, **{**given, **keys})


def l2(host: Host, engine: str = "multicast", family: int = 4, **keys: Any) -> dict[str, Any]:
    """Mode l2 with an engine that needs no server."""
    peers: dict[str, Any] = {"type": engine}
    if engine == "multicast":
        peers["group"] = "239.1.1.1" if family == 4 else "ff05::42"
    if engine == "static":
        peers["nodes"] = [{"address": one["address"]} for one in nodes(family)]
    given: dict[str, Any] = {
        "mode": "l2",
        "peers": peers,
        "ipam": {"ranges": [[{"subnet": "10.42.0.0/24"}], [{"subnet": "fd42::/64"}]]},
    }
    if engine == "evpn":
        given["local"] = FOUR if family == 4 else SIX
    return document(host, **{**given, **keys})


def remove_overlay(host: Host, vni: int = 42) -> None:
    """What stays of an overlay by design: an administrator's work, and the end of a test."""
    host.share("nft element inet pycni_vxlan *")
    for name in (f"vxlan{vni}", f"vxbr{vni}"):
        if name in host.links():
            host.command("ip", "link", "delete", name)
