"""Addresses, routes and neighbours on a real kernel, compared with what `ip` sees."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

import pytest

from hostnet import address, bridge, link, neighbour, route, sysctl
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host

FOUR = ip_interface("10.1.2.3/24")
SIX = ip_interface("fd00:1::3/64")


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        yield socket


@pytest.fixture
def index(host: Host, nl: Netlink) -> Iterator[int]:
    """A link that is up."""
    made = bridge.create(nl, "cni0", up=True).index
    yield made
    link.delete(nl, made)


@pytest.fixture
def addressed(nl: Netlink, index: int) -> int:
    """A link with FOUR and SIX."""
    address.add(nl, index, FOUR)
    address.add(nl, index, SIX, nodad=True)
    return index


def test_addresses(host: Host, nl: Netlink, addressed: int) -> None:
    assert host.addresses("cni0") == ["10.1.2.3/24", "fd00:1::3/64"]
    seen = host.ip("address", "show", "dev", "cni0")[0]["addr_info"]
    assert seen[0]["broadcast"] == "10.1.2.255"
    assert not any(one.get("tentative") for one in seen if one["local"] == "fd00:1::3")
    assert {one.interface for one in address.dump(nl, index=addressed)} >= {FOUR, SIX}
    assert {one.interface for one in address.dump(nl, index=1)} == {
        ip_interface("127.0.0.1/8"),
        ip_interface("::1/128"),
    }
    assert [one.interface for one in address.dump(nl, index=addressed, family=2)] == [FOUR]
    assert address.dump(nl, index=4711) == []


def test_an_address_twice(nl: Netlink, addressed: int) -> None:
    with pytest.raises(NetlinkError, match=r"cannot add address 10\.1\.2\.3/24") as caught:
        address.add(nl, addressed, FOUR)
    assert caught.value.errno == errno.EEXIST
    address.add(nl, addressed, FOUR, replace=True)
    address.add(nl, addressed, SIX, replace=True, nodad=True)


@pytest.mark.parametrize("one", [FOUR, SIX])
def test_delete_an_address(nl: Netlink, addressed: int, one: IPv4Interface | IPv6Interface) -> None:
    assert address.delete(nl, addressed, one)
    assert one not in {each.interface for each in address.dump(nl, index=addressed)}
    assert not address.delete(nl, addressed, one, missing_ok=True)
    with pytest.raises(NetlinkError) as caught:
        address.delete(nl, addressed, one)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert not address.delete(nl, 4711, one, missing_ok=True)


def test_duplicate_address_detection(nl: Netlink, index: int) -> None:
    sysctl.write("net/ipv6/conf/cni0/optimistic_dad", "1")
    address.add(nl, index, SIX)
    address.add(nl, index, ip_interface("fd00:1::4/64"), optimistic=True)
    address.add(nl, index, ip_interface("fd00:1::5/64"), nodad=True)
    found = {str(one.interface.ip): one for one in address.dump(nl, index=index, family=10)}
    assert found["fd00:1::3"].tentative
    assert found["fd00:1::4"].flags & address.IFA_F_OPTIMISTIC
    assert not found["fd00:1::5"].tentative
    assert not found["fd00:1::5"].duplicate


def test_no_prefix_route(nl: Netlink, index: int) -> None:
    address.add(nl, index, FOUR, noprefixroute=True)
    assert route.dump(nl, route.AF_INET, oif=index) == []
    address.add(nl, index, ip_interface("10.1.3.3/24"))
    assert [str(one.destination) for one in route.dump(nl, route.AF_INET, oif=index)] == [
        "10.1.3.0/24"
    ]


def test_small_subnets_have_no_broadcast_address(host: Host, nl: Netlink, index: int) -> None:
    address.add(nl, index, ip_interface("10.1.2.4/31"))
    address.add(nl, index, ip_interface("10.1.2.9/32"))
    seen = host.ip("-4", "address", "show", "dev", "cni0")[0]["addr_info"]
    assert [one.get("broadcast") for one in seen] == [None, None]


def test_routes(host: Host, nl: Netlink, addressed: int) -> None:
    route.add(
        nl,
        ip_network("0.0.0.0/0"),
        gateway=ip_address("10.1.2.1"),
        oif=addressed,
        mtu=1400,
        advmss=1300,
        priority=7,
        source=FOUR.ip,
    )
    route.add(nl, ip_network("::/0"), gateway=ip_address("fd00:1::1"), oif=addressed, priority=8)
    route.add(nl, ip_network("10.8.0.0/16"), oif=addressed, table=1000)
    seen = host.ip("route", "show", "default")[0]
    assert (seen["gateway"], seen["dev"], seen["metric"], seen["prefsrc"]) == (
        "10.1.2.1",
        "cni0",
        7,
        "10.1.2.3",
    )
    assert seen["metrics"] == [{"mtu": 1400, "advmss": 1300}]
    assert host.ip("-6", "route", "show", "default")[0]["gateway"] == "fd00:1::1"
    assert host.ip("route", "show", "table", "1000")[0]["scope"] == "link"

    found = route.dump(nl, route.AF_INET, oif=addressed)[0]
    assert (found.destination, found.gateway, found.oif, found.priority, found.table) == (
        ip_network("0.0.0.0/0"),
        ip_address("10.1.2.1"),
        addressed,
        7,
        254,
    )
    assert (found.mtu, found.advmss, found.source) == (1400, 1300, FOUR.ip)
    assert [one.table for one in route.dump(nl, route.AF_INET, table=1000)] == [1000]
    assert route.dump(nl, route.AF_INET, table=1001) == []
    assert route.dump(nl, route.AF_INET6, table=1001) == []
    assert route.dump(nl, route.AF_INET, oif=4711) == []
    everywhere = {one.table for one in route.dump(nl, route.AF_INET, table=0)}
    assert everywhere == {254, 255, 1000}
    route.delete(nl, ip_network("10.8.0.0/16"), table=1000)


@pytest.mark.parametrize(
    ("destination", "gateway"), [("10.9.0.0/16", "10.1.2.1"), ("fd09::/64", "fd00:1::1")]
)
def test_route_twice_replaced_deleted(
    nl: Netlink, addressed: int, destination: str, gateway: str
) -> None:
    to = ip_network(destination)
    via = ip_address(gateway)
    route.add(nl, to, gateway=via, oif=addressed)
    with pytest.raises(NetlinkError, match=f"cannot add the route to {to} via {via}") as caught:
        route.add(nl, to, gateway=via, oif=addressed)
    assert caught.value.errno == errno.EEXIST
    route.add(nl, to, gateway=via + 1, oif=addressed, replace=True)
    found = route.dump(nl, 2 if to.version == 4 else 10, oif=addressed)
    assert [one.gateway for one in found if one.destination == to] == [via + 1]
    assert route.delete(nl, to, gateway=via + 1)
    assert not route.delete(nl, to, missing_ok=True)
    with pytest.raises(NetlinkError) as caught:
        route.delete(nl, to)
    assert caught.value.errno == errno.ESRCH


@pytest.mark.parametrize(
    ("destination", "gateway"), [("0.0.0.0/0", "10.1.2.1"), ("::/0", "fd00:1::1")]
)
def test_routes_beside_each_other(
    host: Host, nl: Netlink, addressed: int, destination: str, gateway: str
) -> None:
    to = ip_network(destination)
    vias = [ip_address(gateway) + add for add in (0, 1)]
    for via in vias:
        route.add(nl, to, gateway=via, oif=addressed, beside=True)
    with pytest.raises(NetlinkError) as caught:
        route.add(nl, to, gateway=vias[0], oif=addressed, beside=True)
    assert caught.value.errno == errno.EEXIST
    found = route.dump(nl, 2 if to.version == 4 else 10, oif=addressed)
    at = [one.gateways for one in found if one.destination == to]
    # Two IPv4 routes, the newest first; one IPv6 route with two next hops.
    assert at == ([[vias[1]], [vias[0]]] if to.version == 4 else [vias])


def test_gateway_beyond_the_subnet(nl: Netlink, addressed: int) -> None:
    beyond = ip_address("10.99.0.1")
    with pytest.raises(NetlinkError, match="Nexthop has invalid gateway") as caught:
        route.add(nl, ip_network("0.0.0.0/0"), gateway=beyond, oif=addressed)
    assert caught.value.errno == errno.ENETUNREACH
    route.add(nl, ip_network("0.0.0.0/0"), gateway=beyond, oif=addressed, onlink=True)
    assert route.lookup(nl, ip_address("8.8.8.8")).gateway == beyond


def test_ipv4_by_way_of_ipv6(host: Host, nl: Netlink, addressed: int) -> None:
    route.add(nl, ip_network("10.9.0.0/16"), gateway=ip_address("fd00:1::1"), oif=addressed)
    assert host.ip("route", "show", "10.9.0.0/16")[0]["via"]["host"] == "fd00:1::1"
    assert route.lookup(nl, ip_address("10.9.0.1")).gateway == ip_address("fd00:1::1")


def test_lookup(nl: Netlink, addressed: int) -> None:
    found = route.lookup(nl, ip_address("10.1.2.77"))
    assert (found.oif, found.source, found.gateway, found.table) == (addressed, FOUR.ip, None, 254)
    assert route.lookup(nl, FOUR.ip).kind == 2, "local"
    assert route.lookup(nl, ip_address("fd00:1::77")).oif == addressed
    with pytest.raises(NetlinkError, match="cannot find the way to 8"):
        route.lookup(nl, ip_address("8.8.8.8"))


def test_neighbours(host: Host, nl: Netlink, addressed: int) -> None:
    mac = "02:00:00:00:00:01"
    for one in ("10.1.2.4", "fd00:1::4"):
        neighbour.add(nl, addressed, ip_address(one), mac)
        neighbour.add(
            nl, addressed, ip_address(one) + 1, mac, state=neighbour.NUD_STALE, replace=True
        )
    seen = {one["dst"]: one for one in host.ip("neighbour", "show", "dev", "cni0")}
    assert seen["10.1.2.4"]["lladdr"] == mac
    assert seen["10.1.2.4"]["state"] == ["PERMANENT"]
    assert seen["fd00:1::5"]["state"] == ["STALE"]
    found = neighbour.dump(nl, index=addressed)
    assert {str(one.address) for one in found} == set(seen)
    assert {one.mac for one in found} == {mac}
    assert {one.family for one in neighbour.dump(nl, index=addressed, family=2)} == {2}
    assert neighbour.dump(nl, index=1) == []

    with pytest.raises(NetlinkError) as caught:
        neighbour.add(nl, addressed, ip_address("10.1.2.4"), mac)
    assert caught.value.errno == errno.EEXIST
    assert neighbour.flush(nl, addressed) == 2, "the permanent ones stay"
    assert {str(one.address) for one in neighbour.dump(nl)} == {"10.1.2.4", "fd00:1::4"}
    assert neighbour.delete(nl, addressed, ip_address("10.1.2.4"))
    assert not neighbour.delete(nl, addressed, ip_address("10.1.2.4"), missing_ok=True)
    with pytest.raises(NetlinkError, match="cannot delete neighbour"):
        neighbour.delete(nl, addressed, ip_address("10.1.2.4"))


def test_tagged_neighbours(host: Host, nl: Netlink, addressed: int) -> None:
    mac = "02:00:00:00:00:01"
    for one in ("10.1.2.4", "fd00:1::4"):
        neighbour.add(nl, addressed, ip_address(one), mac, protocol=201)
        neighbour.add(nl, addressed, ip_address(one) + 1, mac)
    seen = host.ip("neighbour", "show", "dev", "cni0", "proto", "201")
    assert {one["dst"] for one in seen} == {"10.1.2.4", "fd00:1::4"}
    ours = neighbour.dump(nl, protocol=201)
    assert {str(one.address) for one in ours} == {"10.1.2.4", "fd00:1::4"}
    assert {one.protocol for one in ours} == {201}
    foreign = neighbour.dump(nl, index=addressed, protocol=0)
    assert {str(one.address) for one in foreign} == {"10.1.2.5", "fd00:1::5"}
    neighbour.add(nl, addressed, ip_address("10.1.2.5"), mac, protocol=201, replace=True)
    assert len(neighbour.dump(nl, family=2, protocol=201)) == 2


@pytest.mark.parametrize(
    ("destination", "gateway"), [("10.9.0.0/16", "10.1.2.1"), ("fd09::/64", "fd00:1::1")]
)
def test_tagged_routes(
    host: Host, nl: Netlink, addressed: int, destination: str, gateway: str
) -> None:
    to = ip_network(destination)
    via = ip_address(gateway)
    family = 2 if to.version == 4 else 10
    version = f"-{to.version}"
    route.add(nl, to, gateway=via, oif=addressed, protocol=201)
    seen = host.ip(version, "route", "show", "proto", "201")
    assert [(one["dst"], one["gateway"]) for one in seen] == [(destination, gateway)]
    (found,) = route.dump(nl, family, protocol=201)
    assert (found.destination, found.gateway, found.protocol) == (to, via, 201)
    assert route.dump(nl, family, protocol=202) == []
    assert len(route.dump(nl, family)) > 1
    # What is said about the protocol keeps another's route from being deleted.
    assert not route.delete(nl, to, protocol=202, missing_ok=True)
    assert route.delete(nl, to, protocol=201)
    assert route.dump(nl, family, protocol=201) == []


def test_replace_takes_a_foreign_routes_place(nl: Netlink, addressed: int) -> None:
    """Why who shares a table with others adds without it: the protocol is no part of the key."""
    to = ip_network("10.9.0.0/16")
    route.add(nl, to, oif=addressed, protocol=4)
    route.add(nl, to, oif=addressed, protocol=201, replace=True)
    found = [one for one in route.dump(nl, route.AF_INET) if one.destination == to]
    assert [one.protocol for one in found] == [201]


def test_ipv6_gateway_on_a_link_to_which_another_route_does_not_lead(
    nl: Netlink, addressed: int
) -> None:
    other = bridge.create(nl, "cni1", up=True).index
    to, via = ip_network("fd09:0:0:2::/64"), ip_address("fd09:0:0:2::")

    def add(*, replace: bool = False) -> None:
        route.add(nl, to, gateway=via, oif=other, onlink=True, protocol=201, replace=replace)

    def found() -> list[object]:
        routes = route.dump(nl, route.AF_INET6, oif=other, protocol=201)
        return [(one.destination, one.gateway) for one in routes]

    route.add(nl, ip_network("::/0"), gateway=ip_address("fd00:1::1"), oif=addressed)
    add()
    route.delete(nl, to)
    route.add(nl, ip_network("fd09::/16"), gateway=ip_address("fd00:1::1"), oif=addressed)
    with pytest.raises(NetlinkError, match="invalid gateway or device mismatch") as caught:
        add()
    assert caught.value.errno == errno.EINVAL
    route.add(nl, to, oif=other, protocol=201)
    add(replace=True)
    assert found() == [(to, via)]
    link.delete(nl, other)


@pytest.mark.parametrize("destination", ["192.0.2.7/32", "198.51.100.0/24", "2001:db8:7::/48"])
def test_a_prohibition(nl: Netlink, addressed: int, destination: str) -> None:
    to = ip_network(destination)
    family = route.AF_INET if to.version == 4 else route.AF_INET6
    route.add(nl, to, kind=route.RTN_PROHIBIT)
    found = [one for one in route.dump(nl, family) if one.destination == to]
    assert [one.kind for one in found] == [route.RTN_PROHIBIT]
    with pytest.raises(NetlinkError) as caught:
        route.lookup(nl, to.network_address)
    assert caught.value.errno == errno.EACCES
    assert route.delete(nl, to, kind=route.RTN_PROHIBIT)
    route.add(nl, to, oif=addressed)
    assert not route.delete(nl, to, kind=route.RTN_PROHIBIT, missing_ok=True)
    assert route.delete(nl, to)
