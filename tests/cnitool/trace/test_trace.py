"""`cnitool trace`: real packets of a real container, dropped and let through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, UNKNOWN_CONTAINER, CniError
from cnitool.trace import command
from cnitool.trace.command import parse_target
from tests.cnitool.attached import PLUGINS, Network
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

OUTSIDE = "192.0.2.1"
SECONDS = 5.0


class World:
    """The network with container `c1` (port 8080), and a neighbour of the host beyond `up0`."""

    def __init__(self, host: Host, network: Network) -> None:
        self.host = host
        self.network = network
        self.one = host.container("one")
        self.outside = host.container("outside")
        network.add("c1", self.one, 8080)
        host.command(
            *("ip", "link", "add", "up0", "type", "veth"),
            *("peer", "name", "eth0", "netns", str(self.outside)),
        )
        host.command("ip", "address", "add", "192.0.2.10/24", "dev", "up0")
        host.command("ip", "link", "set", "up0", "up")
        self.outside.command("ip", "address", "add", f"{OUTSIDE}/24", "dev", "eth0")
        self.outside.command("ip", "link", "set", "eth0", "up")
        assert ping(host, OUTSIDE) is not None

    def trace(self, destination: str, capsys: pytest.CaptureFixture[str], wait: float = 0.5) -> Any:
        command.run(self.network.settings, "c1", destination, wait, as_json=True)
        return json.loads(capsys.readouterr().out)

    def close(self) -> None:
        self.network.delete("c1", self.one)
        for name in ("up0", "cni0"):
            self.host.command("ip", "link", "delete", name)


@pytest.fixture
def world(host: Host, tmp_path: Path) -> Iterator[World]:
    host.share_nft("pycni_masquerade")
    host.share_nft("pycni_portmap")
    host.share_nft("pycni_firewall")
    host.share_locks()
    host.share("sysctl *")
    made = World(host, Network(tmp_path, host, PLUGINS))
    yield made
    made.close()


def texts(document: Any, where: str) -> str:
    return "\n".join(one["text"] for one in document["stages"] if one["where"] == where)


def test_to_a_neighbour(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    found = world.trace(OUTSIDE, capsys, SECONDS)
    assert found["answer"].startswith(f"echo reply from {OUTSIDE} after")
    assert texts(found, "container") == f"to {OUTSIDE} out of eth0 via 10.1.0.1"
    assert "a port of cni0" in texts(found, "host")
    told = texts(found, "nftables")
    assert 'inet pycni_masquerade leave: masquerade comment "beyond"' in told
    assert f"now from 192.0.2.10 to {OUTSIDE}" in told
    assert texts(found, "route") == "the host sends it out of up0"
    assert not any(one["dropped"] for one in found["stages"])


def test_to_a_published_port(world: World, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Translated, and told whose it is."""
    two = host.container("two")
    world.network.add("c2", two, 9090)
    found = world.trace("192.0.2.10:9090", capsys, SECONDS)
    assert "now from 10.1.0.2 to 10.1.0.3" in texts(found, "nftables")
    assert texts(found, "route") == "the host sends it out of cni0, to c2 (eth0 on net)"
    assert found["answer"].startswith("Connection refused after")
    world.network.delete("c2", two)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            "add rule inet mine forward ip daddr 192.0.2.1 drop",
            "inet mine forward: ip daddr 192.0.2.1 drop",
        ),
        (
            "add chain inet mine forward { policy drop; }",
            "inet mine forward: no rule lets it through, policy drop",
        ),
    ],
)
def test_dropped_by_the_users_own(
    rules: str, words: str, world: World, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = "add chain inet mine forward { type filter hook forward priority 50; policy accept; }"
    host.command("nft", "-f", "-", stdin=f"add table inet mine\n{chain}\n{rules}\n")
    found = world.trace(OUTSIDE, capsys)
    assert found["answer"] is None
    assert [one["text"] for one in found["stages"] if one["dropped"]] == [words]
    assert found["stages"][-1]["dropped"], "that is where the story ends"
    host.command("nft", "delete", "table", "inet", "mine")


def test_for_people(world: World, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(world.network.settings, "10.1.0.2", OUTSIDE, SECONDS, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "container",
        "host",
        "nftables",
        "route",
        "answer",
    ]
    world.one.command("ip", "route", "delete", "default")
    assert command.run(world.network.settings, "c1", OUTSIDE, 0.1, as_json=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"dropped  it has no route to {OUTSIDE}; isDefaultGateway")
    assert lines[-1] == "answer   none within 0.1 s"
    world.one.command("ip", "route", "add", "default", "via", "10.1.0.1")
    del host


def test_the_hosts_end_is_down(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (end,) = [name for name in world.host.links() if name.startswith("veth")]
    world.host.command("ip", "link", "set", end, "down")
    found = world.trace(OUTSIDE, capsys, 0.1)
    assert f"which is down: ip link set {end} up" in texts(found, "host")


def test_to_the_host_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    found = world.trace("10.1.0.1", capsys, SECONDS)
    assert texts(found, "route") == "10.1.0.1 is the host's own: delivered to it"
    assert found["answer"].startswith("echo reply from 10.1.0.1")


def test_nothing_is_there_to_trace(
    world: World, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CniError, match='namespace "c9"; cnitool attachments') as caught:
        command.run(world.network.settings, "c9", OUTSIDE, 1, as_json=False)
    assert caught.value.code == UNKNOWN_CONTAINER
    with pytest.raises(CniError, match="c1 has no IPv6 address on network net"):
        world.trace("2001:db8::1", capsys)
    ended = Namespace(world.one.path.with_name("ended"))
    world.network.add("c2", ended)
    ended.close()
    with pytest.raises(CniError, match="c2 has no namespace to send from"):
        command.run(world.network.settings, "c2", OUTSIDE, 1, as_json=False)
    world.network.delete("c2", ended)
    del host


@pytest.mark.parametrize(
    ("text", "protocol", "address", "port"),
    [
        ("10.0.0.1", "icmp", "10.0.0.1", 0),
        ("2001:db8::1", "icmp", "2001:db8::1", 0),
        ("[2001:db8::1]", "icmp", "2001:db8::1", 0),
        ("10.0.0.1:80", "tcp", "10.0.0.1", 80),
        ("10.0.0.1:53/udp", "udp", "10.0.0.1", 53),
        ("[2001:db8::1]:443/tcp", "tcp", "2001:db8::1", 443),
    ],
)
def test_destinations(text: str, protocol: str, address: str, port: int) -> None:
    found = parse_target(text)
    assert (found.protocol, str(found.address), found.port) == (protocol, address, port)


@pytest.mark.parametrize(
    "text",
    ["", "web", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1/udp", "10.0.0.1:80/icmp", "10.0.0.1:x",
     "10.0.0.1:80/sctp", "10.0.0.1;drop", "10.0.0.0/8", "[::1"],
)  # fmt: skip
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(CniError, match="destination: found") as caught:
        parse_target(text)
    assert caught.value.code == INVALID_CONFIG
