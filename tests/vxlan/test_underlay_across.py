"""The stage of the tests across hosts: a stage that cannot fail a test would be worth nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.probe import Pinging, reaches, send_echo, transfer, wait_reach
from tests.kit.underlay import Underlay


@pytest.fixture
def underlay(tmp_path: Path) -> Iterator[Underlay]:
    with Underlay(tmp_path) as made:
        yield made


def test_every_host_reaches_every_other(underlay: Underlay) -> None:
    for origin in underlay.nodes:
        for target in underlay.nodes:
            wait_reach(origin, target.four)
            wait_reach(origin, target.six)
    first, second, _ = underlay.nodes
    assert transfer(first, second, second.four) > 0
    assert transfer(first, second, second.six) > 0


def test_each_host_has_a_name_and_files_of_its_own(underlay: Underlay) -> None:
    first, second, _ = underlay.nodes
    assert first.run(os.uname).nodename == "node1"
    assert first.command("hostname").stdout.strip() == "node1"
    for directory in ("/run/cni", "/var/lib/cni", "/etc/cni/net.d"):
        mark = Path(directory, "mark")
        first.run(mark.touch)
        assert [first.run(mark.exists), second.run(mark.exists), mark.exists()] == [1, 0, 0]
        assert first.left() == [f"file {mark}"]
        first.run(mark.unlink)
    assert socket.gethostname() not in ("node1", "node2")


def test_a_container_is_at_one_path_for_everybody(underlay: Underlay) -> None:
    container = underlay.nodes[0].container("web")
    found = {one.run(os.stat, container.path).st_ino for one in underlay.nodes}
    assert found == {os.stat(container.path).st_ino}
    assert container.run(os.stat, "/proc/thread-self/ns/net").st_ino in found


def test_packets_end_at_the_mtu(tmp_path: Path) -> None:
    with Underlay(tmp_path, 2, mtu=1400) as underlay:
        first, second = underlay.nodes
        for address in (second.four, second.six):
            assert send_echo(first, address, 1400) == "echoed"
            assert send_echo(first, address, 1401) == "too big"


def test_a_gap_is_counted(underlay: Underlay) -> None:
    first, second, third = underlay.nodes
    with Pinging(first, second.four) as gap, Pinging(first, third.six) as none:
        second.cut()
        assert reaches(first, second.four) is None
        second.mend()
    assert gap.lost
    assert len(gap.lost) < gap.sent
    assert none.sent
    assert none.lost == []


def test_a_host_loses_its_carrier_its_address_and_its_life(underlay: Underlay) -> None:
    first, second, third = underlay.nodes
    second.unplug()
    assert second.ip("link", "show", "dev", "eth0")[0]["operstate"] == "DOWN"
    second.plug()
    second.renumber("192.0.2.22", "2001:db8::22")
    wait_reach(first, "192.0.2.22")
    wait_reach(first, "2001:db8::22")
    assert reaches(first, "192.0.2.2") is None

    before = third.state()
    third.run(Path("/run/cni/socket").touch)
    third.run(Path("/var/lib/cni/kept").touch)
    third.command("ip", "link", "add", "left", "type", "bridge")
    third.crash()
    assert reaches(first, "192.0.2.3") is None
    third.boot("192.0.2.33")
    wait_reach(first, "192.0.2.33")
    wait_reach(first, third.six)
    assert {one for one in third.state() - before if "192.0.2." not in one} == {
        "file /var/lib/cni/kept"
    }


def test_plugins_are_called_on_a_host(underlay: Underlay) -> None:
    first, second, _ = underlay.nodes
    config = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"},
    }
    taken = Path("/var/lib/cni/networks/net/10.1.0.2")
    for node in (first, second):
        container = node.container()
        result = node.runtime.add(config, netns=container)
        assert result["ips"][0]["address"] == "10.1.0.2/24"
        assert "cni0" in node.links()
        assert node.run(taken.exists)
        node.runtime.check(config, result, netns=container)
        if node is first:
            node.runtime.delete(config, netns=container)
    assert not first.run(taken.exists)
    assert second.run(taken.exists)
