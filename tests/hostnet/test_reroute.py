"""Routes that change their table and stay what they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hostnet import link, reroute, route
from hostnet.netlink import Netlink, NetlinkError
from hostnet.reroute import Way
from tests.kit.host import Host


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    for name, number in (("d0", 0), ("d1", 1)):
        host.command("ip", "link", "add", name, "type", "veth", "peer", "name", f"peer{number}")
        for one in (name, f"peer{number}"):
            host.command("ip", "link", "set", one, "addrgenmode", "none", "up")
        host.command("ip", "address", "add", f"10.{number}.0.2/24", "dev", name)
        host.command("ip", "address", "add", f"fd00:{number}::2/64", "dev", name, "nodad")
    with Netlink() as sock:
        yield sock
    for name in ("d0", "d1"):
        host.command("ip", "link", "delete", name)


def ways(nl: Netlink, family: int, dev: str = "d0") -> list[Way]:
    index = link.get(nl, dev).index
    found = route.dump(nl, family, oif=index)
    return [way for one in found for way in reroute.ways(one, index)]


def listed(host: Host, family: str, table: str) -> list[dict[str, Any]]:
    found = host.ip(family, "-details", "route", "show", "table", table)
    return sorted((one for one in found or [] if one.get("dev") != "d1"), key=str)


ROUTES = {
    "-4": [
        "default via 10.0.0.1 dev d0",
        "default via 10.0.0.9 dev d0 metric 5",
        "10.5.0.0/16 via 10.0.0.1 dev d0 mtu 1300 advmss 1200 initcwnd 20 src 10.0.0.2",
        "10.6.0.0/16 dev d0 scope link metric 50 proto static",
        "10.7.0.0/16 via 10.9.9.9 dev d0 onlink",
        "10.8.0.0/16 via inet6 fd00:0::9 dev d0",
        "unreachable 10.9.0.0/16",
    ],
    "-6": [
        "default via fd00:0::1 dev d0",
        "fd00:5::/64 via fe80::1 dev d0 mtu 1400 metric 77 pref high proto static",
        "fd00:6::/64 dev d0 src fd00:0::2",
    ],
}


@pytest.mark.parametrize(("family", "number"), [("-4", route.AF_INET), ("-6", route.AF_INET6)])
def test_there_and_back(family: str, number: int, nl: Netlink, host: Host) -> None:
    for words in ROUTES[family]:
        host.command("ip", family, "route", "add", *words.split())
    before = listed(host, family, "main")
    found = ways(nl, number)
    assert len(found) == len(ROUTES[family]) + (0 if number == route.AF_INET else 1)
    for one in found:
        reroute.put(nl, one, 100)
    for one in found:
        reroute.take(nl, one, one.route.table)
    assert [one["dst"] for one in listed(host, family, "main") if "dev" in one] == []
    there = listed(host, family, "100")
    assert there == [one for one in before if one["type"] == "unicast"]
    index = link.get(nl, "d0").index
    back = [
        way
        for one in route.dump(nl, number, table=100, oif=index)
        for way in reroute.ways(one, index)
    ]
    for one in sorted(
        back, key=lambda way: way.gateway is not None
    ):  # a gateway needs its subnet first
        reroute.put(nl, one, route.RT_TABLE_MAIN)
        reroute.take(nl, one, one.route.table)
    assert listed(host, family, "main") == before
    assert listed(host, family, "100") == []
    for one in found:
        reroute.take(nl, one, one.route.table)
        with pytest.raises(NetlinkError, match="from table 254"):
            reroute.take(nl, one, one.route.table)
    if family == "-4":
        host.command("ip", "route", "delete", "unreachable", "10.9.0.0/16")


def test_one_of_several_ways(nl: Netlink, host: Host) -> None:
    for number in (0, 1):
        command = f"ip -6 route append default via fd00:{number}::1 dev d{number} metric 1024"
        host.command(*command.split())
    (found,) = [one for one in ways(nl, route.AF_INET6) if one.gateway]
    (other,) = [one for one in ways(nl, route.AF_INET6, "d1") if one.gateway]
    assert len(found.route.gateways) == 2
    reroute.put(nl, found, 100)
    reroute.take(nl, found, 254)
    (left,) = host.ip("-6", "route", "show", "default")
    assert (left["dev"], left["gateway"]) == ("d1", "fd00:1::1")
    (moved,) = host.ip("-6", "route", "show", "table", "100")
    assert (moved["dev"], moved["gateway"]) == ("d0", "fd00::1")
    reroute.take(nl, other, 254)


def test_the_same_way_twice(nl: Netlink) -> None:
    found = next(one for one in ways(nl, route.AF_INET6) if not one.gateway)
    reroute.put(nl, found, 100)
    with pytest.raises(NetlinkError, match="into table 100"):
        reroute.put(nl, found, 100)
