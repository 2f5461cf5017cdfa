"""`cnitool overlay`: who is there, how this host keeps up, and the ways out for who is not."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from cni_vxlan import identity, watchstate
from cni_vxlan.etcd_layout import Node, SharedConfig
from cni_vxlan.registry import Registry
from etcd_json import Etcd
from hostnet import link, vxlan
from hostnet.netlink import Netlink
from tests.cnid.daemon import CNID
from tests.cnitool.conftest import Tool
from tests.kit.etcd import EtcdServer
from tests.kit.host import Host

SHARED = SharedConfig(42, "l3", 4789, 4, (ip_network("10.244.0.0/16"),), (24,))
SEGMENT = SharedConfig(42, "l2", 4789, 4)
STATIC = {
    "type": "vxlan",
    "vni": 42,
    "network": ["10.244.0.0/16"],
    "peers": {
        "nodes": [
            {"address": "192.0.2.1", "subnets": ["10.244.1.0/24"]},
            {"address": "192.0.2.2", "subnets": ["10.244.2.0/24"]},
        ]
    },
    "ipam": {"type": "host-local"},
}


@pytest.fixture
def server(host: Host, tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(host, tmp_path / "etcd") as made:
        yield made


@pytest.fixture
def etcd(server: EtcdServer) -> Iterator[Etcd]:
    with Etcd([server.url]) as made:
        yield made


def config(server: EtcdServer, **keys: Any) -> dict[str, Any]:
    peers = {"type": "etcd", "endpoints": [server.url], "node": "node1"}
    return {**STATIC, "peers": peers, **keys}


def segment(server: EtcdServer) -> dict[str, Any]:
    found = config(server, mode="l2", ipam={"type": "etcd-ipam", "subnet": "10.1.0.0/24"})
    del found["network"]
    return found


def join(etcd: Etcd, number: int, shared: SharedConfig = SHARED) -> Node:
    return Registry(etcd, "net", "/pycni/net", shared).join(
        f"node{number}", ip_address(f"192.0.2.{number}"), f"02:00:00:00:00:{number:02x}"
    )


def announce(etcd: Etcd, node: Node) -> int:
    return Registry(etcd, "net", "/pycni/net", SHARED).announce(node)


# ---- nodes --------------------------------------------------------------------------------------


def test_nodes(tool: Tool, server: EtcdServer, etcd: Etcd) -> None:
    tool.network(config(server), "portmap")
    assert "No nodes" in tool.succeed("overlay", "nodes", "net")
    one, two = join(etcd, 1), join(etcd, 2)
    announce(etcd, two)
    rows = [line.split() for line in tool.succeed("overlay", "nodes", "net").splitlines()]
    assert rows == [
        ["NODE", "VTEP", "MAC", "SUBNETS", "ALIVE"],
        ["node1", "192.0.2.1", "02:00:00:00:00:01", str(one.subnets[0]), "no"],
        ["node2", "192.0.2.2", "02:00:00:00:00:02", str(two.subnets[0]), "yes"],
    ]
    document = json.loads(tool.succeed("overlay", "nodes", "net", "--json"))
    assert document["nodes"][1] == {
        "name": "node2",
        "address": "192.0.2.2",
        "mac": "02:00:00:00:00:02",
        "subnets": [str(two.subnets[0])],
        "alive": True,
    }
    assert (document["network"], document["vni"], document["mode"]) == ("net", 42, "l3")
    assert document["problems"] == []


def test_a_record_that_is_none(tool: Tool, server: EtcdServer, etcd: Etcd) -> None:
    tool.network(config(server))
    join(etcd, 1)
    etcd.put("/pycni/net/nodes/node9", "{}")
    done = tool.run("overlay", "nodes", "net", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert [one["name"] for one in document["nodes"]] == ["node1"]
    assert "node9" in document["problems"][0]
    assert "node9" in done.stderr


def test_an_underlay_of_ipv6(tool: Tool, server: EtcdServer, etcd: Etcd) -> None:
    tool.network(config(server))
    shared = SharedConfig(42, "l3", 4789, 6, SHARED.pools, (24,))
    Registry(etcd, "net", "/pycni/net", shared).join(
        "node1", ip_address("2001:db8::1"), "02:00:00:00:00:01"
    )
    document = json.loads(tool.succeed("overlay", "nodes", "net", "--json"))
    assert [one["address"] for one in document["nodes"]] == ["2001:db8::1"]


def test_static_nodes(tool: Tool) -> None:
    tool.network(STATIC)
    document = json.loads(tool.succeed("overlay", "nodes", "net", "--json"))
    assert [(one["address"], one["subnets"], one["alive"]) for one in document["nodes"]] == [
        ("192.0.2.1", ["10.244.1.0/24"], None),
        ("192.0.2.2", ["10.244.2.0/24"], None),
    ]
    rows = tool.succeed("overlay", "nodes", "net").splitlines()
    assert rows[1].split() == ["-", "192.0.2.1", "-", "10.244.1.0/24", "-"]


def test_what_is_no_overlay(tool: Tool) -> None:
    tool.network("bridge", "portmap")
    assert "is no overlay: it has bridge, portmap" in tool.fail("overlay", "nodes", "net")
    tool.network({**STATIC, "vni": 0})
    assert "vni" in tool.fail("overlay", "nodes", "net")
    evpn = {"type": "vxlan", "vni": 42, "peers": {"type": "evpn"}, "ipam": {}}
    tool.network(evpn)
    assert 'are not in etcd: its peers are of type "evpn"' in tool.fail("overlay", "nodes", "net")
    tool.network(STATIC)
    assert '"static"' in tool.fail("overlay", "reclaim", "net", "node1")
    assert '"static"' in tool.fail("overlay", "restore", "net")
    assert "COMMAND" in tool.fail("overlay")


def test_no_etcd(tool: Tool, server: EtcdServer) -> None:
    server.kill()
    tool.network(config(server))
    for arguments in (("nodes", "net"), ("reclaim", "net", "node1")):
        assert server.url in tool.fail("overlay", *arguments)


# ---- reclaim ------------------------------------------------------------------------------------


def test_reclaim(tool: Tool, server: EtcdServer, etcd: Etcd) -> None:
    tool.network(config(server))
    one, two = join(etcd, 1), join(etcd, 2)
    lease = announce(etcd, two)
    assert "node2 is alive" in tool.fail("overlay", "reclaim", "net", "node2")
    etcd.revoke(lease)
    text = tool.succeed("overlay", "reclaim", "net", "node2")
    assert "/pycni/net/nodes/node2" in text
    assert str(two.subnets[0].network_address) in text
    nodes, _, _ = Registry(etcd, "net", "/pycni/net", SHARED).nodes()
    assert nodes == [one]
    assert "has no node node2 in etcd, only node1" in tool.fail(
        "overlay", "reclaim", "net", "node2"
    )
    document = json.loads(tool.succeed("overlay", "reclaim", "net", "node1", "--json"))
    assert document["node"] == "node1"
    assert len(document["removed"]) == 2
    assert document["addresses"] == 0


def test_reclaim_of_addresses(tool: Tool, server: EtcdServer, etcd: Etcd) -> None:
    """What etcd-ipam gave to the dead node's containers is free; the others' is not."""
    tool.network(segment(server))
    for number in (1, 2):
        join(etcd, number, SEGMENT)
    for node, container, address in (
        ("node1", "a", "10.1.0.2"),
        ("node1", "b", "10.1.0.3"),
        ("node2", "c", "10.1.0.4"),
    ):
        etcd.put(f"/pycni/net/addr/{address}", f"net/{node}/{container}/eth0")
        etcd.put(f"/pycni/net/owner/{node}/{container}/eth0", f"net {address}")
    etcd.put("/pycni/net/addr/10.1.0.9", "other/node1/d/eth0")
    etcd.put("/pycni/net/owner/node1/d/eth0", "other 10.1.0.9")
    lease = announce(etcd, Node("node1", ip_address("192.0.2.1"), "02:00:00:00:00:01"))
    assert "is alive" in tool.fail("overlay", "reclaim", "net", "node1")
    assert len(etcd.list("/pycni/net/addr/")[0]) == 4
    etcd.revoke(lease)
    text = tool.succeed("overlay", "reclaim", "net", "node1")
    assert "with 2 containers' addresses" in text
    left = [one.key.rpartition("/")[2] for one in etcd.list("/pycni/net/addr/")[0]]
    assert left == ["10.1.0.4", "10.1.0.9"]
    # What an earlier reclaim did not come to: the node is gone, an address is left.
    etcd.put("/pycni/net/addr/10.1.0.2", "net/node1/a/eth0")
    etcd.put("/pycni/net/owner/node1/a/eth0", "net 10.1.0.2")
    assert "with 1 containers' addresses" in tool.succeed("overlay", "reclaim", "net", "node1")
    assert "has no node node1" in tool.fail("overlay", "reclaim", "net", "node1")


# ---- restore ------------------------------------------------------------------------------------


@pytest.fixture
def device(host: Host, etcd: Etcd) -> Iterator[Node]:
    """This host in an overlay, as an ADD leaves it."""
    node = join(etcd, 1)
    host.command("ip", "link", "add", "under0", "type", "bridge")
    with Netlink() as nl:
        vxlan.create(
            nl,
            "vxlan42",
            42,
            underlay=link.get(nl, "under0").index,
            local=node.address,
            mac=node.mac,
            alias=identity.alias("net", node.subnets),
        )
    yield node
    host.command("ip", "link", "del", "vxlan42")
    host.command("ip", "link", "del", "under0")


def test_restore(tool: Tool, server: EtcdServer, etcd: Etcd, device: Node) -> None:
    """After etcd has lost its data: the same subnets, since the containers have them."""
    tool.network(config(server))
    before = {one.key: one.value for one in etcd.list("/pycni/net")[0]}
    etcd.delete_prefix("/pycni/net")
    assert (
        tool.succeed("overlay", "restore", "net") == f"node node1 has {device.subnets[0]} again\n"
    )
    assert {one.key: one.value for one in etcd.list("/pycni/net")[0]} == before
    document = json.loads(tool.succeed("overlay", "restore", "net", "--json"))
    assert document["subnets"] == [str(device.subnets[0])]
    assert {one.key: one.value for one in etcd.list("/pycni/net")[0]} == before


def test_restore_of_what_is_anothers(
    tool: Tool, server: EtcdServer, etcd: Etcd, device: Node
) -> None:
    tool.network(config(server))
    Registry(etcd, "net", "/pycni/net", SHARED).reclaim("node1")
    other = Node("node7", ip_address("192.0.2.7"), "02:00:00:00:00:07", device.subnets)
    Registry(etcd, "net", "/pycni/net", SHARED).restore(other)
    before = {one.key: one.value for one in etcd.list("/pycni/net")[0]}
    message = tool.fail("overlay", "restore", "net")
    assert (
        f"{device.subnets[0]}, which this host had as node node1, is held by node node7" in message
    )
    assert {one.key: one.value for one in etcd.list("/pycni/net")[0]} == before


def test_restore_without_a_device(tool: Tool, server: EtcdServer, etcd: Etcd) -> None:
    tool.network(config(server))
    assert "no device vxlan42" in tool.fail("overlay", "restore", "net")
    assert etcd.list("/pycni/net")[0] == []


# ---- state --------------------------------------------------------------------------------------


def test_state(tool: Tool, server: EtcdServer, device: Node) -> None:
    path = watchstate.path()
    tool.network(config(server))
    assert f"no watcher answers at {path}" in tool.fail("overlay", "state", "net")
    command = [*CNID, "overlay", f"--conf-dir={tool.conf_dir}"]
    watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert watcher.stderr is not None
        for line in watcher.stderr:
            if json.loads(line).get("state") in ("synced", "failing"):
                break
        document = json.loads(tool.succeed("overlay", "state", "net", "--json"))
        assert document["device"] == "vxlan42"
        assert document["subnets"] == [str(device.subnets[0])]
        lines = tool.succeed("overlay", "state", "net").splitlines()
        assert lines[0].split()[0] == "state"
        assert "device   vxlan42, mode l3, VTEP 192.0.2.1" in lines
        assert f"subnets  {device.subnets[0]}" in lines
    finally:
        watcher.terminate()
        watcher.wait(20)
        watcher.stderr.close()  # type: ignore[union-attr]
