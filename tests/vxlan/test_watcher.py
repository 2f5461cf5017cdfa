"""The watcher: what etcd says is in the kernel, soon, whatever dies in between."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from cni_vxlan import etcd_layout, watchstate
from cni_vxlan.etcd_layout import Keys, Node, SharedConfig
from cni_vxlan.registry import Registry
from cni_vxlan.subnets import first_number
from etcd_json import Etcd, Op, put
from tests.kit.calls import PluginError, Runtime
from tests.kit.etcd import EtcdServer
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.vxlan.conftest import FOUR, l2, l3, remove_overlay
from tests.vxlan.watching import Watching

POOLS = ip_network("10.244.0.0/16"), ip_network("fd00:1::/48")
SHARED = SharedConfig(42, "l3", 4789, 4, POOLS, (24, 64))
KEYS = Keys("/pycni/net")
DEVICE = "vxlan42"
SLACK = 3
"""How much longer than on a machine of its own something may take beside other tests."""


def peers_of(server: EtcdServer) -> dict[str, Any]:
    return {"type": "etcd", "endpoints": [server.url], "node": "node1"}


def write(directory: Path, config: dict[str, Any]) -> Path:
    """A network's file; gives the directory."""
    directory.mkdir(exist_ok=True)
    document = {"cniVersion": "1.1.0", "name": config["name"], "plugins": [config]}
    (directory / f"{config['name']}.conflist").write_text(json.dumps(document))
    return directory


class Setup:
    """A host with a container on the overlay, and the directory of its configurations."""

    def __init__(
        self, host: Host, runtime: Runtime, container: Namespace, config: dict[str, Any]
    ) -> None:
        self.host = host
        self.runtime = runtime
        self.container = container
        self.config = config
        self.directory = write(host.state.parent / "net.d", config)
        self.attach()

    def attach(self) -> None:
        self.runtime.add(self.config, netns=self.container)

    def detach(self) -> None:
        self.runtime.delete(self.config, netns=self.container)

    def watch(self) -> Watching:
        return Watching(self.host, self.directory)

    @property
    def subnets(self) -> tuple[str, ...]:
        """This host's, of its device's memory."""
        alias: str = self.host.links()[DEVICE]["ifalias"]
        return tuple(alias.split()[3:])

    def tables(self) -> set[tuple[str, ...]]:
        """What the kernel holds for peers: forwarding entries, neighbours and routes."""
        text = self.host.command("bridge", "fdb", "show", "dev", DEVICE).stdout
        words = [line.split() for line in text.splitlines() if " dst " in line]
        found: set[tuple[str, ...]] = {(one[0], one[one.index("dst") + 1]) for one in words}
        for one in self.host.ip("neighbour", "show", "dev", DEVICE, "nud", "permanent") or ():
            found.add((one["dst"], one["lladdr"]))
        for family in ("-4", "-6"):
            for one in self.host.ip(family, "route", "show", "dev", DEVICE) or ():
                if "gateway" in one:
                    found.add((one["dst"], "via", one["gateway"]))
        return found

    def end(self) -> None:
        self.detach()
        remove_overlay(self.host)


def tables_of(*nodes: Node) -> set[tuple[str, ...]]:
    """What `Setup.tables` is with these peers."""
    found: set[tuple[str, ...]] = {(node.mac, str(node.address)) for node in nodes}
    for node in nodes:
        for subnet in node.subnets:
            base = str(subnet.network_address)
            found |= {(base, node.mac), (str(subnet), "via", base)}
    return found


@pytest.fixture
def setup(
    underlay: Host, server: EtcdServer, runtime: Runtime, container: Namespace
) -> Iterator[Setup]:
    made = Setup(underlay, runtime, container, l3(underlay, peers=peers_of(server)))
    yield made
    made.end()


def join(etcd: Etcd, number: int, address: str = "") -> Node:
    return Registry(etcd, "net", "/pycni/net", SHARED).join(
        f"node{number}", ip_address(address or f"192.0.2.{number}"), f"02:00:00:00:00:{number:02x}"
    )


def leave(etcd: Etcd, number: int) -> None:
    Registry(etcd, "net", "/pycni/net", SHARED).reclaim(f"node{number}")


def own(etcd: Etcd) -> Node:
    """This host's record."""
    stored = etcd.get(KEYS.node("node1"))
    assert stored is not None
    return etcd_layout.parse_node(SHARED, "node1", stored.value, stored.mod_revision)


# ---- in step ------------------------------------------------------------------------------------


def test_nodes_come_change_and_go(setup: Setup, etcd: Etcd) -> None:
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
        assert setup.tables() == tables_of(two)
        three = join(etcd, 3)
        watching.until(lambda: setup.tables() == tables_of(two, three))
        moved = Registry(etcd, "net", "/pycni/net", SHARED).update(
            three, ip_address("192.0.2.33"), "02:00:00:00:00:33"
        )
        assert moved is not None
        watching.until(lambda: setup.tables() == tables_of(two, moved))
        leave(etcd, 2)
        watching.until(lambda: setup.tables() == tables_of(moved))
        state = watching.state()
        assert state == {
            "state": "synced",
            "synced_seconds_ago": 0.0,
            "peers": 1,
            "error": "",
            "device": DEVICE,
            "mode": "l3",
            "engine": "etcd",
            "node": "node1",
            "address": FOUR,
            "subnets": list(setup.subnets),
        }
    assert setup.tables() == tables_of(moved)  # who has no watcher keeps what it has


def test_guarded_are_the_peers_of_now(setup: Setup, etcd: Etcd) -> None:
    def let_in() -> str:
        return setup.host.command("nft", "list", "set", "inet", "pycni_vxlan", "peers4").stdout

    with setup.watch() as watching:
        watching.wait_state("synced")
        join(etcd, 2)
        watching.until(lambda: "192.0.2.2" in let_in())
        leave(etcd, 2)
        watching.until(lambda: "192.0.2.2" not in let_in())


def test_a_change_is_there_soon(setup: Setup, etcd: Etcd) -> None:
    """Among many peers too: from etcd's answer to the entry in the kernel."""
    many(etcd, 500)
    with setup.watch() as watching:
        watching.wait_for(lambda line: line.get("peers") == 500)
        watching.wait_state("synced")
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as news:
            news.bind((0, 1 << 6))  # RTMGRP_IPV4_ROUTE
            took = []
            for number in (2, 3, 4):
                join(etcd, number)
                start = time.monotonic()
                assert select.select([news], [], [], 10)[0], watching.lines
                took.append(time.monotonic() - start)
                news.recv(65536)
        assert min(took) < 0.1, f"a change took {took}"
        assert max(took) < 0.1 * SLACK, f"a change took {took}"


def many(etcd: Etcd, count: int) -> None:
    """Enter nodes, a hundred in one transaction: all with IPv6, and as many as can with IPv4."""
    spare = {first_number(f"node{number}") % 256 for number in range(1, 10)}
    fours = [IPv4Network(f"10.244.{number}.0/24") for number in range(256) if number not in spare]
    operations: list[Op] = []
    for number in range(count):
        first = int(POOLS[1].network_address) + ((number + 4096) << 64)
        node = Node(
            f"many{number}",
            IPv4Address("198.18.0.0") + number,
            f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}",
            (*fours[number : number + 1], IPv6Network((first, 64))),
        )
        operations.append(put(KEYS.node(node.name), node.document()))
    for start in range(0, count, 100):
        etcd.transact((), operations[start : start + 100])


def test_a_thousand_peers(setup: Setup, etcd: Etcd) -> None:
    """From the start of the process to the last entry; and what it costs to hold them."""
    many(etcd, 1000)
    start = time.monotonic()
    with setup.watch() as watching:
        line = watching.wait_for(lambda line: line["msg"] == "programmed")
        took = time.monotonic() - start
        watching.wait_state("synced")
        assert line["peers"] == 1000
        assert line["added"] > 1000 + 2 * (1000 + 240)
        assert took < 2 * SLACK, f"1,000 peers took {took:.2f} s"
        assert line["seconds"] < 0.5 * SLACK, f"1,000 peers took the kernel {line['seconds']} s"
        found = setup.host.run(watchstate.read)
        memory = found["memory"]
        assert isinstance(memory, int)
        assert 0 < memory < 50 * 1024, f"{memory} KiB"


# ---- deaths and returns -------------------------------------------------------------------------


def test_etcd_dies_and_returns(setup: Setup, server: EtcdServer, etcd: Etcd) -> None:
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
        server.kill()
        line = watching.wait_state("stale")
        assert "no longer watch" in line["error"] or "no endpoint" in line["error"]
        assert setup.tables() == tables_of(two)
        state = watching.state()
        assert state["state"] == "stale"
        assert 0 <= state["synced_seconds_ago"] < 20
        seen = len(watching.lines)
        server.start()
        three = join(etcd, 3)
        watching.wait_state("synced", since=seen)
        watching.until(lambda: setup.tables() == tables_of(two, three))
        assert watching.state()["error"] == ""


def test_what_was_missed_and_compacted(setup: Setup, server: EtcdServer, etcd: Etcd) -> None:
    """The watcher is killed, a node goes, and etcd forgets that it was there."""
    two, three = join(etcd, 2), join(etcd, 3)
    with setup.watch() as watching:
        watching.wait_state("synced")
        watching.until(lambda: setup.tables() == tables_of(two, three))
        watching.kill()
    leave(etcd, 3)
    four = join(etcd, 4)
    server.compact()
    assert setup.tables() == tables_of(two, three)
    with setup.watch() as watching:
        watching.wait_state("synced")
        assert setup.tables() == tables_of(two, four)


def test_compacted_while_it_hears_nothing(setup: Setup, server: EtcdServer, etcd: Etcd) -> None:
    """It sleeps, etcd restarts without the history that it needs to go on: it lists anew."""
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
        watching.process.send_signal(signal.SIGSTOP)
        leave(etcd, 2)
        three = join(etcd, 3)
        server.compact()
        server.kill()
        server.start()
        assert setup.tables() == tables_of(two)
        watching.process.send_signal(signal.SIGCONT)
        watching.until(lambda: setup.tables() == tables_of(three))
        watching.until(lambda: watching.state()["state"] == "synced")


def test_no_hot_loop(
    underlay: Host, runtime: Runtime, container: Namespace, server: EtcdServer
) -> None:
    """Who hangs up at once is asked ever more seldom."""
    setup = Setup(underlay, runtime, container, l3(underlay, peers=peers_of(server)))
    server.kill()
    with socket.socket() as false, setup.watch() as watching:
        false.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        false.bind(("127.0.0.1", 2379))
        false.listen(64)
        false.settimeout(20)
        start = time.monotonic()
        for _ in range(10):
            false.accept()[0].close()
        took = time.monotonic() - start
        # Two threads, each of which asks five times: the waits between are 0.1, 0.2, 0.4 and 0.8 s
        # at least, the time before the first attempt left out.
        assert took > 1.0, f"ten attempts in {took:.2f} s"
        line = watching.wait_state("waiting")
        watching.wait_for(lambda line: line.get("state") == "waiting" and bool(line["error"]))
        assert line["peers"] == 0
    setup.end()


def test_a_watcher_that_is_late_takes_nothing_away(
    setup: Setup, server: EtcdServer, etcd: Etcd
) -> None:
    """Started while etcd is dead: nobody is known, and so nobody is gone."""
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
    server.kill()
    with setup.watch() as watching:
        watching.wait_for(lambda line: line.get("state") == "waiting" and bool(line["error"]))
        assert setup.tables() == tables_of(two)
        state = watching.state()
        assert (state["state"], state["synced_seconds_ago"]) == ("waiting", None)
        server.start()
        watching.wait_state("synced")
    assert setup.tables() == tables_of(two)


def test_its_end(setup: Setup) -> None:
    path = Path(setup.host.run(watchstate.path))
    with setup.watch() as watching:
        watching.wait_state("synced")
        assert path.is_socket()
        assert path.stat().st_mode & 0o077 == 0
        with setup.watch() as second:
            assert second.process.wait(20) == 1
            second.wait_for(lambda line: f"process {watching.process.pid}" in line["msg"])
        assert watching.state()["state"] == "synced"
        assert watching.stop() == 0
    assert not path.exists()
    assert watching.lines[-1]["msg"] == "no longer watching overlays"


# ---- this host's place --------------------------------------------------------------------------


def test_signs_of_life(setup: Setup, etcd: Etcd) -> None:
    with setup.watch() as watching:
        watching.until(lambda: etcd.get(KEYS.alive("node1")) is not None)
        (node,) = Registry(etcd, "net", "/pycni/net", SHARED).nodes(with_alive=True)[0]
        assert node.alive
        sign = etcd.get(KEYS.alive("node1"))
        assert sign is not None
        assert json.loads(sign.value)["address"] == FOUR
        # Should somebody remove it, or the lease die with etcd, another one follows.
        etcd.revoke(sign.lease)
        etcd.put(KEYS.node("node1"), own(etcd).document())  # which makes it look
        watching.until(lambda: etcd.get(KEYS.alive("node1")) is not None)


def test_its_address_changes(setup: Setup, etcd: Etcd) -> None:
    """Under running containers: the device sends from the new one, and the others are told."""
    before = own(etcd)
    with setup.watch() as watching:
        watching.wait_state("synced")
        for command in ("del 192.0.2.1/24", "add 192.0.2.77/24"):
            setup.host.command("ip", "address", *command.split(), "dev", "eth0")
        watching.until(lambda: str(own(etcd).address) == "192.0.2.77")
        info = setup.host.links()[DEVICE]["linkinfo"]["info_data"]
        assert info["local"] == "192.0.2.77"
        assert own(etcd).subnets == before.subnets
        for subnet in before.subnets:
            held = etcd.get(KEYS.subnet(subnet))
            assert held is not None
            assert json.loads(held.value)["address"] == "192.0.2.77"
        watching.wait_for(lambda line: line["msg"] == "told etcd where this host is now")
        watching.until(lambda: watching.state()["state"] == "synced")
        assert watching.state()["address"] == "192.0.2.77"


def test_an_address_beside_it_changes_nothing(setup: Setup, etcd: Etcd) -> None:
    before = own(etcd)
    with setup.watch() as watching:
        watching.wait_state("synced")
        setup.host.command("ip", "address", "add", "192.0.2.78/24", "dev", "eth0")
        two = join(etcd, 2)
        watching.until(lambda: setup.tables() == tables_of(two))
        assert own(etcd) == before


def test_its_mac_changes(setup: Setup, etcd: Etcd) -> None:
    """Somebody gives the device another one: the others are told, and the neighbours come back."""
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
        watching.until(lambda: setup.tables() == tables_of(two))
        setup.host.command("ip", "link", "set", DEVICE, "address", "02:00:00:00:99:99")
        watching.until(lambda: own(etcd).mac == "02:00:00:00:99:99")
        watching.until(lambda: setup.tables() == tables_of(two))


@pytest.mark.parametrize("what", ["everything", "the subnet", "the record", "another's"])
def test_its_place_is_gone(setup: Setup, etcd: Etcd, what: str) -> None:
    """It says so, writes nothing, and leaves what is in the kernel; with the keys, all is well."""
    two = join(etcd, 2)
    mine = own(etcd)
    with setup.watch() as watching:
        watching.wait_state("synced")
        stored, _ = etcd.list("/pycni/net")
        if what == "everything":
            etcd.delete_prefix("/pycni/net")
        elif what == "the record":
            etcd.delete(KEYS.node("node1"))
        else:
            key = KEYS.subnet(mine.subnets[0])
            if what == "the subnet":
                etcd.delete(key)
            else:
                etcd.put(key, join(etcd, 3).subnet_document())
            etcd.put(KEYS.node("node1"), mine.document())  # which makes it look
        line = watching.wait_state("lost")
        assert "node1" in line["error"] or str(mine.subnets[0]) in line["error"]
        if what != "another's":
            assert setup.tables() == tables_of(two)
        assert setup.subnets == tuple(map(str, mine.subnets))
        config = {**setup.config, "prevResult": {}}
        with pytest.raises(PluginError) as caught:
            setup.runtime.status(config)
        assert caught.value.code in (50, 51)
        if what in ("everything", "the record"):
            assert etcd.get(KEYS.node("node1")) is None
        seen = len(watching.lines)
        for one in reversed(stored):  # the record last, which makes it look
            if "/alive/" not in one.key:
                etcd.put(one.key, one.value)
        watching.wait_state("synced", since=seen)
        watching.until(lambda: tables_of(two) <= setup.tables())


def test_another_host_has_its_name(setup: Setup, etcd: Etcd) -> None:
    """Neither takes the other's record away again and again."""
    mine = own(etcd)
    with setup.watch() as watching:
        watching.until(lambda: etcd.get(KEYS.alive("node1")) is not None)
        sign = {"machine": "m", "boot": "b", "address": "192.0.2.50"}
        other = Node("node1", ip_address("192.0.2.50"), mine.mac, mine.subnets)
        record = put(KEYS.node("node1"), other.document())
        etcd.transact((), [record, put(KEYS.alive("node1"), json.dumps(sign))])
        line = watching.wait_state("lost")
        assert "192.0.2.50" in line["error"]
        assert '"peers.node"' in line["error"]
        assert str(own(etcd).address) == "192.0.2.50"


# ---- the device ---------------------------------------------------------------------------------


def test_the_device_goes_and_comes(setup: Setup, etcd: Etcd) -> None:
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
        setup.host.command("ip", "link", "delete", DEVICE)
        watching.wait_state("absent")
        assert watching.state()["peers"] == 0
        seen = len(watching.lines)
        setup.detach()
        setup.attach()
        watching.wait_state("synced", since=seen)
        assert setup.tables() == tables_of(two)


def test_the_device_goes_down_and_up(setup: Setup, etcd: Etcd) -> None:
    """With which the kernel drops routes and neighbours."""
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.wait_state("synced")
        watching.until(lambda: setup.tables() == tables_of(two))
        setup.host.command("ip", "link", "set", DEVICE, "down")
        assert setup.tables() != tables_of(two)
        setup.host.command("ip", "link", "set", DEVICE, "up")
        watching.until(lambda: setup.tables() == tables_of(two))


def test_before_the_first_container(setup: Setup, etcd: Etcd) -> None:
    """It makes nothing, and takes no subnet: to be on an overlay is an ADD's decision."""
    setup.end()
    leave(etcd, 1)
    with setup.watch() as watching:
        watching.wait_state("absent")
        assert etcd.get(KEYS.node("node1")) is None
        assert DEVICE not in setup.host.links()
        setup.attach()
        watching.wait_state("synced")
    setup.end()
    setup.attach()


def test_somebody_elses_device(setup: Setup, tmp_path: Path) -> None:
    other = {**setup.config, "name": "other"}
    write(setup.directory, other)
    with setup.watch() as watching:
        watching.wait_state("synced")
        line = watching.wait_state("absent", "other")
        assert 'of network "net"' in line["error"]


# ---- configurations -----------------------------------------------------------------------------


def test_static_peers_by_the_file(underlay: Host, runtime: Runtime, container: Namespace) -> None:
    """A list that is edited under running containers is in the kernel soon."""
    config = l3(underlay)
    setup = Setup(underlay, runtime, container, config)
    with setup.watch() as watching:
        watching.wait_state("synced")
        before = setup.tables()
        node = {"address": "192.0.2.9", "subnets": ["10.244.9.0/24"]}
        changed = json.loads(json.dumps(config))
        changed["peers"]["nodes"].append(node)
        write(setup.directory, changed)
        watching.until(lambda: ("10.244.9.0/24", "via", "10.244.9.0") in setup.tables())
        assert before < setup.tables()
        write(setup.directory, config)
        watching.until(lambda: setup.tables() == before)
        (setup.directory / "net.conflist").unlink()
        watching.wait_for(lambda line: line["msg"] == "no longer watched")
        assert setup.tables() == before
    setup.end()


def test_a_segment(
    underlay: Host, server: EtcdServer, runtime: Runtime, container: Namespace, etcd: Etcd
) -> None:
    config = l2(underlay, "etcd", peers=peers_of(server))
    setup = Setup(underlay, runtime, container, config)
    segment = Registry(etcd, "net", "/pycni/net", SharedConfig(42, "l2", 4789, 4))
    flood = "00:00:00:00:00:00"
    with setup.watch() as watching:
        watching.wait_state("synced")
        for number in (2, 3):
            segment.join(f"node{number}", ip_address(f"192.0.2.{number}"), "02:00:00:00:00:02")
        both = {(flood, "192.0.2.2"), (flood, "192.0.2.3")}
        watching.until(lambda: setup.tables() == both)
        segment.reclaim("node2")
        watching.until(lambda: setup.tables() == {(flood, "192.0.2.3")})
        assert watching.state()["mode"] == "l2"
    setup.detach()


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_another_mode_under_containers(
    mode: str, underlay: Host, runtime: Runtime, container: Namespace
) -> None:
    """ADD refuses it. What the containers go by stays."""
    both = {"l2": l2(underlay, "static"), "l3": l3(underlay)}
    setup = Setup(underlay, runtime, container, both.pop(mode))
    with setup.watch() as watching:
        watching.wait_state("synced")
        before = setup.tables()
        write(setup.directory, *both.values())
        watching.wait_state("failing")
        assert "stays as it is: take the config back" in watching.state()["error"]
        assert setup.tables() == before
        write(setup.directory, setup.config)
        watching.until(lambda: watching.state()["state"] == "synced")
        assert setup.tables() == before
    setup.end()


def test_the_underlay_loses_the_family(setup: Setup, etcd: Etcd) -> None:
    """As for a moment while an address is renewed: the other family's is no stand-in for it."""
    two = join(etcd, 2)
    with setup.watch() as watching:
        watching.until(lambda: setup.tables() == tables_of(two))
        setup.host.command("ip", "-4", "address", "flush", "dev", "eth0")
        watching.wait_state("failing")
        assert "an underlay of IPv4, expected IPv6, and stays" in watching.state()["error"]
        setup.host.command("ip", "address", "add", f"{FOUR}/24", "dev", "eth0")
        setup.host.command("ip", "route", "add", "default", "via", "192.0.2.254")
        watching.until(lambda: watching.state()["state"] == "synced")
        assert setup.tables() == tables_of(two)


def test_a_broken_configuration(setup: Setup) -> None:
    """It is told, and the others are kept."""
    (setup.directory / "00-broken.conflist").write_text("{")
    write(setup.directory, {**setup.config, "name": "wrong", "vni": 0})
    with setup.watch() as watching:
        line = watching.wait_for(lambda line: line["msg"] == "this overlay is not watched")
        assert line["network"] == "wrong"
        assert 'vni": found 0' in line["error"]
        watching.wait_state("synced")


def test_a_record_that_is_none(setup: Setup, etcd: Etcd) -> None:
    two = join(etcd, 2)
    mine = own(etcd)
    with setup.watch() as watching:
        watching.wait_state("synced")
        etcd.put(KEYS.node("node8"), '{"address":"192.0.2.8","mac":"02:00:00:00:00:08",'
                 '"subnets":["0.0.0.0/0"]}')  # fmt: skip
        etcd.put(KEYS.node("node9"), Node("node9", ip_address("192.0.2.9"), "02:00:00:00:00:09",
                 mine.subnets).document())  # fmt: skip
        watching.until(lambda: "node9" in watching.state()["error"])
        state = watching.state()
        assert state["state"] == "synced"
        assert "0.0.0.0/0" in state["error"]
        assert f"{mine.subnets[0]}" in state["error"]
        assert setup.tables() == tables_of(two)


def test_one_who_asks_and_does_not_read(setup: Setup, etcd: Etcd) -> None:
    with setup.watch() as watching:
        watching.wait_state("synced")
        path = setup.host.run(watchstate.path)
        idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for one in idle:
            one.connect(path)
        two = join(etcd, 2)
        watching.until(lambda: setup.tables() == tables_of(two))
        assert watching.state()["peers"] == 1
        for one in idle:
            one.close()


def test_nobody_answers(host: Host) -> None:
    with pytest.raises(OSError, match=os.strerror(2)):
        watchstate.network("net")
    assert "cnid overlay" in watchstate.problem("net")
