"""Healing, called as a function: all that was lost comes back, and nothing else changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cni.jsonvalue import JsonObject
from cni.record import replace
from cni_vxlan import device, engines
from cni_vxlan import overlay as overlays
from cni_vxlan.restore import restore_guard
from hostnet import link, nft
from hostnet.leaving import host_end
from hostnet.monitor import RTNLGRP_LINK, Monitor
from hostnet.netlink import NETLINK_NETFILTER, Netlink
from hostnet.nfwatch import NFNLGRP_NFTABLES
from tests.heal.conftest import SERVED, UPLINK, Container, World
from tests.kit.host import Host
from tests.kit.traffic import EchoServer

if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

_NEWSETELEM, _NEWGEN = 0xA0C, 0xA0F
pytestmark = pytest.mark.timeout(600)  # for all of it
DAMAGE = (
    "flush ruleset",
    "delete table inet pycni_masquerade",
    "delete table inet pycni_portmap",
    "delete table inet pycni_firewall",
    "delete table bridge pycni_firewall",
    "delete table bridge pycni_macspoof",
    "delete chain inet pycni_masquerade postrouting",
    "delete chain inet pycni_portmap prerouting",
    "flush chain inet pycni_firewall forward",
    "flush chain inet pycni_portmap guard",
    "flush chain bridge pycni_macspoof prerouting",
    "insert rule inet pycni_portmap output accept",
    "add chain inet pycni_firewall forward {{ policy drop; }}",
    "flush map inet pycni_portmap any4",
    "flush set inet pycni_masquerade sources4",
    "flush set inet pycni_firewall containers4",
    "flush set bridge pycni_firewall ports",
    "flush map bridge pycni_macspoof ports",
    "flush map inet pycni_masquerade owners",
    "delete map inet pycni_portmap owners",
    "delete element inet pycni_masquerade sources4 {{ {address} }}",
    "delete element inet pycni_portmap any4 {{ tcp . {port} }}",
    "delete element inet pycni_firewall containers4 {{ {address} }}",
)
"""What somebody may do with nft."""


@pytest.fixture
def one(world: World) -> Container:
    """A container that is masqueraded, published, kept apart, and may only send with its MAC."""
    return world.container(world.network(policy="isolated", macspoofchk=True))


def test_whatever_is_lost_comes_back(world: World, one: Container, whole: bool) -> None:
    other = world.container(world.network("net1", "cni1", subnet="10.3.0.0/16"))
    before, links, files = world.ruleset(), (one.links(), other.links()), world.reservations()
    assert not world.heal().healed
    for text in DAMAGE if whole else DAMAGE[::4]:
        command = text.format(address=one.address, port=one.host_port)
        world.nft(command)
        assert world.ruleset() != before, command
        found = world.heal()
        assert not found.problems, command
        assert 1 <= len(found.healed) <= 2, command
        assert world.ruleset() == before, command
        again = world.heal()
        assert not again.healed, (command, again)
    assert (one.links(), other.links()) == links
    assert world.reservations() == files
    one.check()
    other.check()


def test_the_service_is_back(world: World, one: Container) -> None:
    other = world.container(world.network("net1", "cni1", subnet="10.3.0.0/16"))
    assert (one.is_masqueraded(), one.is_published(), other.reaches(one)) == (True, True, False)
    world.flush()
    assert (one.is_masqueraded(), one.is_published(), other.reaches(one)) == (False, False, True)
    assert len(world.heal().healed) == 2
    assert (one.is_masqueraded(), one.is_published(), other.reaches(one)) == (True, True, False)


@pytest.mark.parametrize("switch", ["net/ipv4/ip_forward", "net/ipv4/conf/{}/route_localnet"])
def test_a_switch_comes_back(world: World, one: Container, switch: str) -> None:
    path = Path("/proc/sys", switch.format("cni0"))
    path.write_text("0")
    (healed,) = world.heal().healed
    assert [act for act in healed.acts if str(path).removeprefix("/proc/sys/") in act]
    assert path.read_text() == "1\n"
    one.check()


def test_a_connection_goes_on(world: World, one: Container) -> None:
    """As long as nothing arrives in between: what does, the host answers itself."""
    with EchoServer(one.ns, one.address, SERVED), _connected(world, one) as client:
        for _ in range(3):
            client.sendall(b"hello")
            assert client.recv(100).endswith(b" hello")
            world.flush()
            assert world.heal().healed


@contextmanager
def _connected(world: World, one: Container) -> Iterator[socket.socket]:
    """A connection of the client's to the container's published port."""
    with world.client.run(socket.socket, socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect((UPLINK, one.host_port))
        yield client


def test_what_is_there_is_not_written_again(world: World, one: Container) -> None:
    world.container()
    world.nft(f"delete element inet pycni_portmap any4 {{ tcp . {one.host_port} }}")
    with Monitor(NFNLGRP_NFTABLES, protocol=NETLINK_NETFILTER) as monitor:
        (healed,) = world.heal().healed
        assert (healed.container_id, healed.plugins) == ("c1", ("portmap",))
        kinds = [kind for kind, _ in monitor.take().messages]
        assert kinds == [_NEWSETELEM, _NEWGEN]
        world.heal()
        assert not monitor.take()


def test_who_died_meanwhile_is_not_resurrected(world: World, one: Container) -> None:
    other = world.container()
    one.ns.close()
    with Monitor(RTNLGRP_LINK) as monitor, Netlink() as nl:
        port = host_end("net/c1/eth0")
        monitor.until(lambda: link.find(nl, port) is None or None, 20, "the pair's end")
    world.flush()
    found = world.heal()
    assert (found.running, found.gone) == (1, 1)
    assert [healed.container_id for healed in found.healed] == ["c2"]
    assert "net/c1/" not in world.ruleset()
    assert other.is_published()


def test_one_network_only(world: World, one: Container) -> None:
    world.container(world.network("net1", "cni1", subnet="10.3.0.0/16"))
    world.flush()
    assert [healed.network for healed in world.heal("net1").healed] == ["net1"]
    assert [healed.network for healed in world.heal().healed] == ["net"]
    assert one.is_published()


def test_a_dry_run_changes_nothing(world: World, one: Container) -> None:
    assert not world.heal(dry_run=True).healed
    world.flush()
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    (healed,) = world.heal(dry_run=True).healed
    assert healed.plugins == ("bridge", "portmap", "firewall")
    assert "lay down the nftables table inet pycni_portmap" in healed.acts
    assert world.ruleset() == ""
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
    assert world.heal().healed
    one.check()


# ---- what the cache may hold ---------------------------------------------------------------------


def test_damaged_entries_are_told_and_keep_nobody(world: World, one: Container) -> None:
    results = Path(world.cache.results)
    good = (results / "net-c1-eth0").read_text()
    bad = {
        "empty": "",
        "torn": good[: len(good) // 2],
        "list": "[]",
        "kind": good.replace("cniCacheV1", "cniCacheV9"),
        "config": good.replace('"config":"', '"config":"e30=","x":"'),
        "name": good.replace('"containerId":"c1"', '"containerId":"../c1"'),
        "ifname": good.replace('"ifName":"eth0"', '"ifName":"a/b"'),
        "result": good.replace('"cniVersion":"1.1.0"', '"cniVersion":"9.0.0"'),
        "no-network": good.replace('"networkName":"net"', '"networkName":""'),
    }
    for name, text in bad.items():
        (results / name).write_text(text)
    (results / "directory").mkdir()
    world.flush()
    found = world.heal()
    assert [healed.container_id for healed in found.healed] == ["c1"]
    assert len(found.problems) == len(bad), found.problems
    one.check()
    for name in bad:
        (results / name).unlink()
    (results / "directory").rmdir()


def test_an_attachment_to_another_address_is_another(world: World, one: Container) -> None:
    """A runtime sent no DEL, and adds the container anew: the entry is still the first one's."""
    stale = Path(world.cache.results, "net-c1-eth0").read_bytes()
    one.delete(forget=False)
    again = Container(world, 1, one.network, ns=one.ns)
    world.containers.append(again)
    again.add()
    now = Path(world.cache.results, "net-c1-eth0")
    fresh = now.read_bytes()
    now.write_bytes(stale)
    world.flush()
    found = world.heal()
    assert (found.running, found.gone, found.healed) == (0, 1, ())
    now.write_bytes(fresh)
    assert len(world.heal().healed) == 1
    again.check()


@pytest.fixture
def foreign(world: World, tmp_path: Path) -> Iterator[Path]:
    """A plugin of somebody else's; whoever executes it makes the file that is given."""
    called = tmp_path / "called"
    script = Path(world.runtime.path, "foreign")
    script.write_text(f"#!/bin/sh\ntouch {called}\n")
    script.chmod(0o755)
    yield called
    assert not called.exists()


def test_foreign_plugins_are_left_alone(world: World, one: Container, foreign: Path) -> None:
    network = world.network(policy="isolated", macspoofchk=True, more=[{"type": "foreign"}])
    world.cache.store(network, one.attachment, one.result)
    world.flush()
    assert world.heal().healed[0].plugins == ("bridge", "portmap", "firewall")
    # And a portmap that has only the name of ours.
    portmap = Path(world.runtime.path, "portmap")
    portmap.unlink()
    Path(world.runtime.path, "foreign").rename(portmap)
    world.flush()
    assert world.heal().healed[0].plugins == ("bridge", "firewall")
    assert "pycni_portmap" not in world.ruleset()
    assert not foreign.exists()


def test_a_port_that_somebody_took_meanwhile_stays_his(world: World, one: Container) -> None:
    world.flush()
    mappings = [{"hostPort": one.host_port, "containerPort": SERVED}]
    other = world.container(args={"portMappings": mappings})
    found = world.heal()
    (problem,) = found.problems
    assert f"host port {one.host_port}/tcp is taken" in problem
    assert [healed.plugins for healed in found.healed] == [("bridge", "firewall")]
    other.check()
    other.delete()
    assert not world.heal().problems
    assert one.is_published()


# ---- other plugins -------------------------------------------------------------------------------


def test_ptp(world: World, host: Host) -> None:
    document = {
        "type": "ptp", "ipMasq": True,
        "ipam": {
            "type": "host-local", "subnet": "10.4.0.0/16",
            "dataDir": str(host.state / "ipam"), "routes": [{"dst": "0.0.0.0/0"}],
        },
    }  # fmt: skip
    one = world.container(world.network_of(document))
    assert one.is_masqueraded()
    world.flush()
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    assert not one.is_masqueraded()
    (healed,) = world.heal().healed
    assert healed.plugins == ("ptp",)
    assert one.is_masqueraded()
    one.check()


def test_the_guard_of_an_overlay(world: World, host: Host) -> None:
    nodes: list[JsonValue] = [
        {"address": UPLINK, "subnets": ["10.244.1.0/24"]},
        {"address": "10.2.0.77", "subnets": ["10.244.2.0/24"]},
    ]
    document = {
        "type": "vxlan", "vni": 42, "network": ["10.244.0.0/16"], "peers": {"nodes": nodes},
        "ipam": {"type": "host-local", "dataDir": str(host.state / "ipam")},
    }  # fmt: skip
    host.share_bridge("vxbr*")
    host.share(
        "link vx*",
        "address dev vx*",
        "route * dev vx*",
        "fdb *",
        "neighbour *",
        "nft element inet pycni_vxlan*",
    )
    one = world.container(world.network_of(document))
    before, links = world.ruleset(), one.links()
    assert "10.2.0.77" in before
    for command in ("flush ruleset", "flush set inet pycni_vxlan peers4"):
        world.nft(command)
        (healed,) = world.heal().healed
        assert healed.plugins == ("vxlan",)
        assert world.ruleset() == before
        assert not world.heal().healed
    _restore_as_the_watcher_told(nodes)
    world.heal()
    assert world.ruleset() == before
    assert one.links() == links
    one.check()


def _restore_as_the_watcher_told(nodes: list[JsonValue]) -> None:
    """With etcd the plugin does not know the peers; the device does, which the watcher told."""
    config = JsonObject({"vni": 42, "network": ["10.244.0.0/16"], "peers": {"nodes": nodes}})
    with Netlink() as nl:
        overlay = overlays.read(config, "net")
        found = device.find_unlocked(nl, overlay)
        assert found is not None
        plan = engines.plan(nl, overlay, found)
        unknown = replace(plan, peers=(), peers_known=False)
        assert not restore_guard(nl, unknown, found.link)
        nft.run("flush ruleset")
        assert restore_guard(nl, unknown, found.link)
        assert not restore_guard(nl, unknown, found.link)
