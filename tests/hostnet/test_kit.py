"""The tests' own tools: a check that cannot fail would be worth nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping


def test_the_thread_is_in_the_host_and_sees_none_of_the_machine(host: Host) -> None:
    assert os.stat("/proc/thread-self/ns/net").st_ino == os.stat(host.path).st_ino
    assert list(host.links()) == ["lo"]


@pytest.mark.parametrize(
    ("make", "undo", "line"),
    [
        ("ip link add left type bridge", "ip link del left", "link left bridge"),
        ("ip address add 10.9.9.9/32 dev lo", "ip address del 10.9.9.9/32 dev lo", "10.9.9.9/32"),
        ("ip route add 10.9.0.0/16 dev lo", "ip route del 10.9.0.0/16 dev lo", "10.9.0.0/16"),
        ("ip rule add pref 7 lookup 7", "ip rule del pref 7", "rule"),
        ("nft add table inet left", "nft delete table inet left", "nft table inet left"),
        ("ip link set lo mtu 1500", "ip link set lo mtu 65536", "mtu 1500"),
    ],
)
def test_what_is_left_is_named(host: Host, make: str, undo: str, line: str) -> None:
    host.command(*make.split())
    assert any(line in one for one in host.leaks())
    host.command(*undo.split())
    assert host.leaks() == []


def test_a_link_left_in_a_container_and_a_file_are_named(host: Host, container: Namespace) -> None:
    container.command("ip", "link", "add", "left", "type", "bridge")
    (host.state / "10.1.0.2").touch()
    Path("/run/cni/left").touch()
    found = "\n".join(host.leaks())
    assert f"left in {container}: link left bridge" in found
    assert f"file {host.state}/10.1.0.2" in found
    assert "file /run/cni/left" in found
    container.command("ip", "link", "del", "left")
    (host.state / "10.1.0.2").unlink()
    Path("/run/cni/left").unlink()


def test_elements_are_never_shared_with_their_map(host: Host) -> None:
    host.share_nft()
    rules = "table ip t { map m { type inet_service : ipv4_addr; elements = { 80 : 10.1.0.2 }; }; }"
    host.command("nft", "-f", "-", stdin=rules)
    assert len(host.leaks()) == 1
    assert "nft element" in host.leaks()[0]
    host.command("nft", "flush", "map", "ip", "t", "m")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    ("here", "there"), [("10.9.0.1/24", "10.9.0.2/24"), ("fd00::1/64", "fd00::2/64")]
)
def test_traffic(host: Host, container: Namespace, here: str, there: str, protocol: str) -> None:
    host.ip("link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", str(container))
    host.ip("link", "set", "v0", "up")
    container.ip("link", "set", "eth0", "up")
    host.ip("address", "add", here, "dev", "v0", "nodad")
    container.ip("address", "add", there, "dev", "eth0", "nodad")
    host.wait_ready("v0")
    container.wait_ready("eth0")
    address = there.split("/", maxsplit=1)[0]
    assert ping(host, address) is not None
    assert ping(host, address + "9", 0.05) is None
    with EchoServer(container, address, 0, protocol, "c1") as server:
        answer = ask(host, address, server.port, protocol)
    assert answer == ("c1", here.split("/", maxsplit=1)[0], "hello")
    with pytest.raises(OSError, match=r"refused|timed out"):
        ask(host, address, server.port, protocol, seconds=0.5)
    host.ip("link", "del", "v0")
