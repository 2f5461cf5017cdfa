"""Masquerading, seen from the other end of the wire."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path

import pytest

from hostnet import masquerade, nft
from hostnet.netfilter import Netfilter
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask

OWNER = "net/c1/eth0"
FOUR, SIX = IPv4Interface("10.1.0.2/24"), IPv6Interface("fd00:1::2/64")


@pytest.fixture
def nl(host: Host) -> Iterator[Netfilter]:
    host.share_nft(masquerade.NAME)
    with Netfilter() as made:
        yield made


def listed() -> str:
    return nft.run(f"list table inet {masquerade.NAME}")


def switch(name: str, value: str) -> None:
    Path(f"/proc/sys/net/{name}").write_text(value)


def link(host: Host, other: Namespace, name: str, *addresses: str) -> None:
    """A veth from the host (.1 of each network) to `other` (as given), default route included."""
    host.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(other))
    host.ip("link", "set", name, "up")
    other.ip("link", "set", "eth0", "up")
    for text in addresses:
        address = ip_interface(text)
        gateway = address.network[1]
        host.ip("address", "add", f"{gateway}/{address.network.prefixlen}", "dev", name, "nodad")
        other.ip("address", "add", text, "dev", "eth0", "nodad")
        other.ip("route", "add", "default", "via", str(gateway))


@pytest.fixture
def world(host: Host, container: Namespace) -> Iterator[Namespace]:
    """A container on the host, and a server beyond it; the router in between is the host."""
    beyond = host.container("beyond")
    host.share("sysctl *")
    for one in (host, container, beyond):
        one.run(switch, "ipv6/conf/default/accept_dad", "0")
    link(host, container, "v1", str(FOUR), str(SIX))
    link(host, beyond, "v2", "10.2.0.2/24", "fd00:2::2/64")
    switch("ipv4/ip_forward", "1")
    switch("ipv6/conf/all/forwarding", "1")
    yield beyond
    host.ip("link", "del", "v1")
    host.ip("link", "del", "v2")


@pytest.mark.parametrize("mine", [FOUR, SIX])
def test_what_leaves_the_subnet_has_the_hosts_address(
    mine: IPv4Interface | IPv6Interface,
    world: Namespace,
    host: Host,
    container: Namespace,
    nl: Netfilter,
) -> None:
    inside, gateway = str(mine.ip), str(mine.network[1])
    beyond, host_there = (
        one.replace("10.1", "10.2").replace(":1::", ":2::") for one in (inside, gateway)
    )
    with EchoServer(world, beyond) as server, EchoServer(host, gateway) as at_the_gateway:
        assert ask(container, beyond, server.port).client == inside
        masquerade.add(nl, OWNER, [mine])
        assert ask(container, beyond, server.port).client == host_there
        assert ask(container, gateway, at_the_gateway.port).client == inside
        masquerade.add(nl, "other/c1/eth1", [mine])
        masquerade.remove(nl, OWNER)
        assert ask(container, beyond, server.port).client == host_there
        masquerade.remove(nl, "other/c1/eth1")
        assert ask(container, beyond, server.port).client == inside


def test_a_larger_own_subnet_reaches_further(
    world: Namespace, host: Host, container: Namespace, nl: Netfilter
) -> None:
    with EchoServer(world, "10.2.0.2") as server:
        masquerade.add(nl, OWNER, [IPv4Interface("10.1.0.2/8")])
        assert ask(container, "10.2.0.2", server.port).client == "10.1.0.2"
        # A network with an overlapping subnet makes no difference to this one.
        masquerade.add(nl, "other/c2/eth0", [IPv4Interface("10.1.0.3/8")])
        masquerade.add(nl, OWNER, [FOUR])
        assert ask(container, "10.2.0.2", server.port).client == "10.2.0.1"
    masquerade.remove(nl, OWNER)
    masquerade.remove(nl, "other/c2/eth0")


def test_multicast_keeps_its_source(world: Namespace, host: Host, nl: Netfilter) -> None:
    # Nobody routes multicast here, so the host itself sends it, from a container's address.
    host.ip("address", "add", "10.1.9.9/32", "dev", "lo")
    masquerade.add(nl, OWNER, [IPv4Interface("10.1.9.9/24")])
    wanted = socket.inet_aton("224.0.0.9") + socket.inet_aton("10.2.0.2")
    receiver = world.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, host.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.settimeout(2)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
        receiver.bind(("0.0.0.0", 999))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.2.0.1"))
        sender.bind(("10.1.9.9", 0))
        for address in ("224.0.0.9", "10.2.0.2"):
            sender.sendto(address.encode(), (address, 999))
        seen = {data.decode(): peer[0] for data, peer in (receiver.recvfrom(99) for _ in "12")}
    assert seen == {"224.0.0.9": "10.1.9.9", "10.2.0.2": "10.2.0.1"}
    masquerade.remove(nl, OWNER)
    host.ip("address", "del", "10.1.9.9/32", "dev", "lo")


def test_removing_needs_nothing_but_the_owner(nl: Netfilter) -> None:
    masquerade.add(nl, OWNER, [FOUR, SIX])
    masquerade.remove(nl, OWNER)
    assert "elements" not in listed()


def test_removing_nothing_is_one_question(host: Host, nl: Netfilter) -> None:
    before = nl.generation()
    masquerade.remove(nl, OWNER)
    assert nft.run("list ruleset") == ""
    assert nl.generation() == before


def test_other_addresses_take_the_place_of_the_old(nl: Netfilter) -> None:
    masquerade.add(nl, OWNER, [FOUR, SIX])
    masquerade.add(nl, OWNER, [IPv4Interface("10.1.0.9/16")])
    text = listed()
    assert "10.1.0.9 . 10.1.0.0" in text
    assert "10.1.0.2" not in text
    assert "fd00:1::2" not in text
    masquerade.remove(nl, OWNER)


@pytest.mark.parametrize(
    ("ip", "lengths"),
    [("10.1.2.3", (0, 1, 7, 8, 15, 24, 31, 32)), ("fd00:1::3", (0, 1, 47, 48, 65, 127, 128))],
)
def test_any_prefix_length(ip: str, lengths: tuple[int, ...], nl: Netfilter) -> None:
    for length in lengths:
        address = ip_interface(f"{ip}/{length}")
        masquerade.add(nl, OWNER, [address])
        assert masquerade.problems(nl, OWNER, [address]) == []
    masquerade.remove(nl, OWNER)


@pytest.mark.parametrize(
    ("mutation", "problem"),
    [
        ("flush chain inet {t} postrouting", "lacks its rules 'multicast4'"),
        ("flush chain inet {t} inside", "chain inside lacks the rule for /24"),
        ("flush chain inet {t} leave", "lacks its rules 'own subnet', 'beyond'"),
        ("delete element inet {t} sources4 {{ 10.1.0.2 }}", "10.1.0.2/24 is not in sources4"),
        ("delete element inet {t} sources6 {{ fd00:1::2 }}", "fd00:1::2/64 is not in sources6"),
        ("flush set inet {t} inside4_24", "10.1.0.2/24 is not in inside4_24"),
        ("flush map inet {t} owners", "10.1.0.2/24 is not masqueraded"),
        ("delete table inet {t}", "the nftables table inet pycni_masquerade is missing"),
        ("add table inet {t} {{ flags dormant; }}", "is dormant"),
    ],
)
def test_each_deviation_is_named(mutation: str, problem: str, host: Host, nl: Netfilter) -> None:
    masquerade.add(nl, OWNER, [FOUR, SIX])
    assert masquerade.problems(nl, OWNER, [FOUR, SIX]) == []
    nft.run(mutation.format(t=masquerade.NAME))
    assert problem in "; ".join(masquerade.problems(nl, OWNER, [FOUR, SIX]))
    nft.run(f"add table inet {masquerade.NAME}\ndelete table inet {masquerade.NAME}")


def test_addresses_too_many_and_too_few_are_named(nl: Netfilter) -> None:
    masquerade.add(nl, OWNER, [FOUR])
    assert masquerade.problems(nl, OWNER, [SIX]) == [
        "10.1.0.2/24 is masqueraded and should not be",
        "fd00:1::2/64 is not masqueraded",
    ]
    masquerade.remove(nl, OWNER)


def test_a_flushed_ruleset_is_laid_down_anew(host: Host, nl: Netfilter) -> None:
    masquerade.add(nl, OWNER, [FOUR])
    nft.run("flush ruleset")
    assert masquerade.add(nl, OWNER, [FOUR])
    assert masquerade.problems(nl, OWNER, [FOUR]) == []
    masquerade.remove(nl, OWNER)


def test_strangers_of_one_network_go(nl: Netfilter) -> None:
    addresses = iter(range(2, 20))
    for owner in (OWNER, "net/c2/eth0", "net/c2/eth1", "network/c2/eth0"):
        masquerade.add(nl, owner, [IPv4Interface(f"10.1.0.{next(addresses)}/24")])
    gone = masquerade.strangers(nl, "net", [OWNER])
    assert {one.name for one in gone} == {"net/c2/eth0", "net/c2/eth1"}
    for one in gone:
        masquerade.remove_owner(nl, one)
    text = listed()
    assert "10.1.0.2 " in text
    assert "10.1.0.5 " in text
    assert "10.1.0.3" not in text
    assert [one.name for one in masquerade.strangers(nl, "net", [])] == [OWNER]
    for owner in (OWNER, "network/c2/eth0"):
        masquerade.remove(nl, owner)


def test_twenty_processes_on_a_fresh_host(host: Host, nl: Netfilter) -> None:
    children = []
    for number in range(20):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with Netfilter() as own:
                    for turn in range(3):
                        address = IPv4Interface(f"10.1.{turn}.{number + 2}/24")
                        masquerade.add(own, f"net/c{number}/eth0", [address])
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
    for number in range(20):
        mine = [IPv4Interface(f"10.1.2.{number + 2}/24")]
        assert masquerade.problems(nl, f"net/c{number}/eth0", mine) == []
        masquerade.remove(nl, f"net/c{number}/eth0")
    assert "elements" not in listed()
