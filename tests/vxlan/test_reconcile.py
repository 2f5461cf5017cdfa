"""The tables of an overlay against a list of peers: what is made, corrected, left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest

from cni_vxlan.reconcile import Changes, Peer, change, reconcile
from hostnet import link, vxlan
from hostnet.link import Link
from hostnet.netlink import Netlink
from tests.kit.host import Host

LOCAL = "192.0.2.1"
NAME = "vxlan42"
NOTHING = Changes()


def peer(number: int, *, mac: str = "", address: str = "") -> Peer:
    """A peer with subnets of both families."""
    return Peer(
        ip_address(address or f"192.0.2.{number}"),
        mac or f"02:00:00:00:00:{number:02x}",
        (IPv4Network(f"10.244.{number}.0/24"), IPv6Network(f"fd00:1:0:{number:x}::/64")),
    )


TWO, THREE = peer(2), peer(3)


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    host.command("ip", "link", "add", "under0", "type", "bridge")
    host.command("ip", "address", "add", f"{LOCAL}/24", "dev", "under0")
    host.command("ip", "link", "set", "under0", "up")
    with Netlink() as made:
        yield made
    for name in (NAME, "under0"):
        host.command("ip", "link", "del", name, check=False)


def create(nl: Netlink, mode: str = "l3", up: bool = True) -> Link:
    return vxlan.create(
        nl,
        NAME,
        42,
        underlay=link.get(nl, "under0").index,
        local=IPv4Address(LOCAL),
        learning=mode == "l2",
        up=up,
    )


@pytest.fixture
def device(nl: Netlink) -> Link:
    return create(nl)


@pytest.fixture
def segment(nl: Netlink) -> Link:
    """A device of mode l2."""
    return create(nl, "l2")


def entries(host: Host) -> set[tuple[str, str]]:
    found = host.command("bridge", "fdb", "show", "dev", NAME).stdout.splitlines()
    words = [line.split() for line in found]
    return {(one[0], one[one.index("dst") + 1]) for one in words if "dst" in one}


def neighbours(host: Host) -> set[tuple[str, str]]:
    return {
        (one["dst"], one["lladdr"])
        for one in host.ip("neighbour", "show", "dev", NAME)
        if "PERMANENT" in one["state"]
    }


def routes(host: Host, family: str = "-4") -> set[tuple[str, str, tuple[str, ...]]]:
    """With a gateway: those of the kernel's own are left out."""
    return {
        (one["dst"], one["gateway"], tuple(one["flags"]))
        for one in host.ip(family, "route", "show", "dev", NAME) or ()
        if "gateway" in one
    }


def tables(host: Host) -> Any:
    return entries(host), neighbours(host), routes(host), routes(host, "-6")


def of(*peers: Peer) -> Any:
    """What `tables` must be for them."""
    subnets = [(one, subnet) for one in peers for subnet in one.subnets]
    return (
        {(one.mac, str(one.address)) for one in peers},
        {(str(subnet.network_address), one.mac) for one, subnet in subnets},
        *(
            {
                (str(subnet), str(subnet.network_address), ("onlink",))
                for _, subnet in subnets
                if subnet.version == version
            }
            for version in (4, 6)
        ),
    )


# ---- l3 -----------------------------------------------------------------------------------------


def test_peers_come_change_and_go(host: Host, nl: Netlink, device: Link) -> None:
    assert reconcile(nl, device, "l3", [TWO, THREE]) == Changes(added=10)
    assert tables(host) == of(TWO, THREE)
    assert reconcile(nl, device, "l3", [THREE, TWO]) == NOTHING

    moved = peer(3, address="192.0.2.33")
    assert reconcile(nl, device, "l3", [TWO, moved]) == Changes(added=1)
    assert tables(host) == of(TWO, moved)

    reborn = peer(3, mac="02:00:00:00:00:99", address="192.0.2.33")
    assert reconcile(nl, device, "l3", [TWO, reborn]) == Changes(added=3, removed=1)
    assert tables(host) == of(TWO, reborn)

    assert reconcile(nl, device, "l3", [TWO]) == Changes(removed=5)
    assert tables(host) == of(TWO)
    assert reconcile(nl, device, "l3", []) == Changes(removed=5)
    assert tables(host) == of()


def test_only_what_changed(host: Host, nl: Netlink, device: Link) -> None:
    reconcile(nl, device, "l3", [TWO, THREE])
    four = peer(4)
    assert change(nl, device, [THREE], [four]) == Changes(added=5, removed=5)
    assert tables(host) == of(TWO, four)
    assert change(nl, device, [four], [four]) == NOTHING
    moved = peer(4, address="192.0.2.44")
    assert change(nl, device, [four], [moved]) == Changes(added=1)
    assert tables(host) == of(TWO, moved)


def test_what_somebody_broke_is_put_right(host: Host, nl: Netlink, device: Link) -> None:
    peers = [TWO, THREE, peer(4), peer(5)]
    reconcile(nl, device, "l3", peers)
    host.command("ip", "route", "del", "10.244.2.0/24")
    host.command(
        "ip", "route", "replace", "10.244.3.0/24", "via", "10.244.9.9", "dev", NAME, "onlink",
        "proto", "201",
    )  # fmt: skip
    host.command("ip", "-6", "route", "del", "fd00:1:0:4::/64")
    host.command("ip", "neighbour", "del", "10.244.4.0", "dev", NAME)
    host.command(
        "ip", "neighbour", "replace", "fd00:1:0:3::", "lladdr", "02:00:00:00:00:77", "dev", NAME,
        "nud", "permanent", "protocol", "201",
    )  # fmt: skip
    host.command(
        "bridge", "fdb", "replace", TWO.mac, "dst", "192.0.2.9", "dev", NAME, "self", "permanent"
    )
    host.command("bridge", "fdb", "del", THREE.mac, "dev", NAME, "self")
    host.command(
        "bridge", "fdb", "replace", peers[3].mac, "dst", "192.0.2.5", "port", "99", "dev", NAME,
        "self", "permanent",
    )  # fmt: skip
    assert tables(host) != of(*peers)
    changes = reconcile(nl, device, "l3", peers)
    assert tables(host) == of(*peers)
    assert changes == Changes(added=8, removed=1)
    assert " port " not in host.command("bridge", "fdb", "show", "dev", NAME).stdout
    assert reconcile(nl, device, "l3", peers) == NOTHING


def test_stale_entries_go(host: Host, nl: Netlink, device: Link) -> None:
    """What peers left behind that nobody remembers: of all three kinds, in a watcher's absence."""
    reconcile(nl, device, "l3", [TWO, THREE, peer(4)])
    host.command("ip", "route", "del", "10.244.4.0/24")
    host.command(
        "bridge", "fdb", "append", "00:00:00:00:00:00", "dst", "192.0.2.8", "dev", NAME, "self"
    )
    reconcile(nl, device, "l3", [TWO])
    assert tables(host) == of(TWO)


def test_entries_that_may_expire_are_made_permanent(host: Host, nl: Netlink, device: Link) -> None:
    reconcile(nl, device, "l3", [TWO])
    for name in ("10.244.2.0", "fd00:1:0:2::"):
        host.command(
            "ip", "neighbour", "replace", name, "lladdr", TWO.mac, "dev", NAME, "nud", "stale",
            "protocol", "201",
        )  # fmt: skip
    host.command(
        "bridge", "fdb", "replace", TWO.mac, "dst", str(TWO.address), "dev", NAME, "self",
        "dynamic",
    )  # fmt: skip
    assert reconcile(nl, device, "l3", [TWO]) == Changes(added=3)
    assert tables(host) == of(TWO)
    assert "permanent" in host.command("bridge", "fdb", "show", "dev", NAME).stdout


def test_what_is_not_ours_stays(host: Host, nl: Netlink, device: Link) -> None:
    """Routes and neighbours without our mark, entries of a routing daemon, other devices."""
    theirs = [
        ("ip", "route", "add", "10.9.0.0/24", "dev", NAME),
        ("ip", "route", "add", "10.8.0.0/24", "via", "192.0.2.7", "proto", "201"),
        ("ip", "neighbour", "add", "10.9.0.1", "lladdr", "02:00:00:00:00:01", "dev", NAME),
        (
            "ip", "neighbour", "add", "192.0.2.7", "lladdr", "02:00:00:00:00:07", "dev", "under0",
            "protocol", "201",
        ),
        (
            "bridge", "fdb", "add", "02:00:00:00:00:aa", "dst", "192.0.2.9", "dev", NAME, "self",
            "extern_learn",
        ),
    ]  # fmt: skip
    before = None
    for command in theirs:
        host.command(*command)

    def there() -> list[str]:
        shown = (
            ("ip", "route", "show"),
            ("ip", "neighbour", "show"),
            ("bridge", "fdb", "show", "dev", NAME),
        )
        return [host.command(*command).stdout for command in shown]

    before = there()
    assert reconcile(nl, device, "l3", [TWO]) == Changes(added=5)
    assert reconcile(nl, device, "l3", []) == Changes(removed=5)
    assert there() == before


def test_a_route_in_the_way(host: Host, nl: Netlink, device: Link) -> None:
    """It stays, is told, and keeps nothing else from being done."""
    host.command("ip", "route", "add", "10.244.2.0/24", "dev", "under0")
    changes = reconcile(nl, device, "l3", [TWO, THREE])
    assert (changes.added, changes.removed) == (9, 0)
    (problem,) = changes.problems
    assert "10.244.2.0/24" in problem
    assert "somebody else's is in the way, 10.244.2.0/24 over under0, and stays" in problem
    (route,) = host.ip("route", "show", "10.244.2.0/24")
    assert route["dev"] == "under0"
    host.command("ip", "route", "del", "10.244.2.0/24")
    assert reconcile(nl, device, "l3", [TWO, THREE]) == Changes(added=1)
    assert tables(host) == of(TWO, THREE)


def test_an_ipv6_route_to_the_whole_pool(host: Host, nl: Netlink, device: Link) -> None:
    """The kernel then takes no next hop within it over another device, and calls it invalid."""
    host.command("ip", "route", "add", "fd00:1::/48", "dev", "under0")
    changes = reconcile(nl, device, "l3", [TWO])
    (problem,) = changes.problems
    assert "somebody else's is in the way, fd00:1::/48 over under0, and stays" in problem
    host.command("ip", "route", "del", "fd00:1::/48", "dev", "under0")
    assert reconcile(nl, device, "l3", [TWO]) == Changes(added=1)


def test_many_problems_are_told_in_short(host: Host, nl: Netlink, device: Link) -> None:
    wrong = [peer(number, address=f"2001:db8::{number}") for number in range(2, 40)]
    problems = reconcile(nl, device, "l3", wrong).problems
    assert len(problems) == 6
    assert wrong[0].mac in problems[0]
    assert problems[-1] == "and 33 more such problems"


def test_a_device_that_is_down(host: Host, nl: Netlink, device: Link) -> None:
    """The kernel drops routes and neighbours with it; they come back with it."""
    reconcile(nl, device, "l3", [TWO])
    link.set_down(nl, device.index)
    down = link.by_index(nl, device.index)
    assert reconcile(nl, down, "l3", [TWO, THREE]) == Changes(added=1)
    link.set_up(nl, device.index)
    assert reconcile(nl, link.by_index(nl, device.index), "l3", [TWO, THREE]).problems == ()
    assert tables(host) == of(TWO, THREE)


def test_thousands(host: Host, nl: Netlink, device: Link) -> None:
    """As many hosts as an overlay may have: programmed in one piece, and then found to be right."""
    peers = [
        Peer(
            IPv4Address("10.0.0.0") + number,
            f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}",
            (ip_network(f"172.{16 + (number >> 8)}.{number & 255}.0/24"),),
        )
        for number in range(1, 2001)
    ]
    start = time.monotonic()
    assert reconcile(nl, device, "l3", peers) == Changes(added=6000)
    took = time.monotonic() - start
    assert took < 2, f"2,000 peers took {took:.2f} s"
    start = time.monotonic()
    assert reconcile(nl, device, "l3", peers) == NOTHING
    again = time.monotonic() - start
    assert again < 1, f"to find 2,000 peers right took {again:.2f} s"


# ---- l2 -----------------------------------------------------------------------------------------

FLOOD = "00:00:00:00:00:00"


def flat(*numbers: int) -> list[Peer]:
    return [Peer(ip_address(f"192.0.2.{number}")) for number in numbers]


def flood(*numbers: int) -> set[tuple[str, str]]:
    return {(FLOOD, f"192.0.2.{number}") for number in numbers}


def test_the_flood_list(host: Host, nl: Netlink, segment: Link) -> None:
    assert reconcile(nl, segment, "l2", flat(2, 3)) == Changes(added=2)
    assert entries(host) == flood(2, 3)
    assert reconcile(nl, segment, "l2", flat(3, 2)) == NOTHING
    assert reconcile(nl, segment, "l2", flat(3, 4)) == Changes(added=1, removed=1)
    assert entries(host) == flood(3, 4)
    assert reconcile(nl, segment, "l2", []).problems == ()
    assert entries(host) == set()
    assert neighbours(host) == set()


def test_what_was_learned_stays_while_its_peer_does(host: Host, nl: Netlink, segment: Link) -> None:
    reconcile(nl, segment, "l2", flat(2, 3))
    learned = {("02:00:00:00:aa:02", "192.0.2.2"), ("02:00:00:00:aa:03", "192.0.2.3")}
    for mac, address in learned:
        host.command("bridge", "fdb", "add", mac, "dst", address, "dev", NAME, "self", "dynamic")
    assert reconcile(nl, segment, "l2", flat(2, 3)) == NOTHING
    assert entries(host) == flood(2, 3) | learned
    assert reconcile(nl, segment, "l2", flat(3)) == Changes(removed=2)
    assert entries(host) == flood(3) | {("02:00:00:00:aa:03", "192.0.2.3")}


def test_an_underlay_of_ipv6(host: Host, nl: Netlink) -> None:
    made = vxlan.create(
        nl,
        NAME,
        42,
        underlay=link.get(nl, "under0").index,
        local=ip_address("2001:db8::1"),
        up=True,
    )
    peers = [Peer(ip_address("2001:db8::2")), Peer(ip_address("2001:db8::3"))]
    assert reconcile(nl, made, "l2", peers) == Changes(added=2)
    assert entries(host) == {(FLOOD, "2001:db8::2"), (FLOOD, "2001:db8::3")}
    assert reconcile(nl, made, "l2", peers) == NOTHING
