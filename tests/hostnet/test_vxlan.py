"""VXLAN devices on a real kernel, compared with `ip -d link`, and what the design leans on."""

from __future__ import annotations

import _socket
import errno
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from hostnet import address, fdb, link, neighbour, route, vxlan
from hostnet.netlink import Netlink, NetlinkError, attr_be16, attr_u32
from hostnet.vxlan import Vxlan
from tests.kit.host import Host

LOCAL = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
PEER = {4: ip_address("192.0.2.2"), 6: ip_address("2001:db8::2")}
GROUP = {4: ip_address("239.1.1.1"), 6: ip_address("ff05::42")}
MAC = "02:00:00:00:00:01"


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        yield socket


@pytest.fixture
def underlay(nl: Netlink) -> Iterator[int]:
    """A link that is up, with an address of either family; what stands on it goes with it."""
    made = link.create_veth(nl, "eth9", "eth9-peer", mtu=1500)
    link.set_up(nl, made.index)
    link.set_up(nl, made.peer)
    address.add(nl, made.index, ip_interface("192.0.2.1/24"))
    address.add(nl, made.index, ip_interface("2001:db8::1/64"), nodad=True)
    yield made.index
    link.delete(nl, made.index, missing_ok=True)


def shown(host: Host, name: str) -> dict[str, Any]:
    found: dict[str, Any] = host.ip("-d", "link", "show", "dev", name)[0]
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_everything_in_one_go(host: Host, nl: Netlink, underlay: int, version: int) -> None:
    made = vxlan.create(
        nl,
        "vxlan42",
        42,
        underlay=underlay,
        local=LOCAL[version],
        group=GROUP[version],
        port=8472,
        learning=False,
        ageing=60,
        ttl=7,
        tos=vxlan.TOS_INHERIT,
        df=vxlan.DF_SET,
        checksum=False,
        zero_checksum6_tx=True,
        zero_checksum6_rx=True,
        mac=MAC,
        mtu=1300,
        alias="pycni vxlan pod-network 10.244.1.0/24 fd00:1:0:1::/64",
        up=True,
    )
    seen = shown(host, "vxlan42")
    data = seen["linkinfo"]["info_data"]
    suffix = "" if version == 4 else "6"
    assert (seen["address"], seen["mtu"], seen["ifalias"]) == (MAC, 1300, made.alias)
    assert "UP" in seen["flags"]
    assert {key: data[key] for key in ("id", "port", "link", "learning", "ageing", "ttl")} == {
        "id": 42,
        "port": 8472,
        "link": "eth9",
        "learning": False,
        "ageing": 60,
        "ttl": 7,
    }
    assert data[f"local{suffix}"] == str(LOCAL[version])
    assert data[f"group{suffix}"] == str(GROUP[version])
    assert (data["udp_csum"], data["udp_zero_csum6_tx"], data["udp_zero_csum6_rx"]) == (
        False,
        True,
        True,
    )

    assert (made.name, made.kind, made.mac, made.mtu, made.up) == (
        "vxlan42",
        "vxlan",
        MAC,
        1300,
        True,
    )
    found = Vxlan(made)
    assert (found.vni, found.port, found.version, found.underlay) == (42, 8472, version, underlay)
    assert (found.local, found.group) == (LOCAL[version], GROUP[version])
    assert (found.learning, found.ageing, found.ttl, found.tos, found.df) == (False, 60, 7, 1, 1)
    assert (found.checksum, found.zero_checksum6_tx, found.zero_checksum6_rx) == (
        False,
        True,
        True,
    )
    assert not found.external


def test_what_is_not_said(nl: Netlink) -> None:
    found = Vxlan(vxlan.create(nl, "vxlan42", 42))
    assert (found.port, found.learning, found.ageing, found.ttl, found.df) == (
        4789,
        True,
        300,
        0,
        0,
    )
    assert (found.local, found.group, found.underlay, found.version) == (None, None, 0, 4)
    assert (found.checksum, found.zero_checksum6_tx, found.zero_checksum6_rx) == (
        True,
        False,
        False,
    )
    link.delete(nl, link.get(nl, "vxlan42").index)


def test_a_foreign_device(host: Host, nl: Netlink) -> None:
    host.command(*["ip", "link", "add", "ext", "type", "vxlan", "external", "dstport", "4790"])
    found = Vxlan(link.get(nl, "ext"))
    assert (found.external, found.port, found.vni) == (True, 4790, 0)
    with pytest.raises(ValueError, match="lo is not of kind vxlan"):
        Vxlan(link.get(nl, "lo"))
    link.delete(nl, link.get(nl, "ext").index)


@pytest.mark.parametrize("version", [4, 6])
def test_the_mtu_is_clamped_only_with_an_underlay(nl: Netlink, underlay: int, version: int) -> None:
    largest = 1500 - vxlan.overhead(version)
    made = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[version])
    assert made.mtu == largest
    assert (
        vxlan.create(nl, "b", 2, underlay=underlay, local=LOCAL[version], mtu=1500).mtu == largest
    )
    with pytest.raises(NetlinkError) as caught:
        link.change(nl, made.index, mtu=largest + 1)
    assert caught.value.errno == errno.EINVAL
    free = vxlan.create(nl, "c", 3, local=LOCAL[version])
    assert free.mtu == 1500
    link.delete(nl, free.index)


def test_vni_and_port_are_fixed(nl: Netlink, underlay: int) -> None:
    index = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[4]).index
    for data in (
        attr_u32(vxlan.IFLA_VXLAN_ID, 2),
        attr_be16(vxlan.IFLA_VXLAN_PORT, 8472),
    ):
        with pytest.raises(NetlinkError, match="EOPNOTSUPP"):
            link.change(nl, index, data=("vxlan", data))


@pytest.mark.parametrize("version", [4, 6])
def test_one_device_for_vni_port_and_family(nl: Netlink, underlay: int, version: int) -> None:
    first = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[version])
    with pytest.raises(NetlinkError, match="VXLAN device with the specified VNI") as caught:
        vxlan.create(nl, "b", 1, underlay=underlay, local=LOCAL[version])
    assert caught.value.errno == errno.EEXIST
    holder = vxlan.find(nl, 1, 4789, version)
    assert holder
    assert holder.index == first.index
    other = 10 - version
    assert vxlan.find(nl, 1, 4789, other) is None
    assert vxlan.find(nl, 1, 8472, version) is None
    vxlan.create(nl, "b", 1, underlay=underlay, local=LOCAL[other])
    vxlan.create(nl, "c", 1, underlay=underlay, local=LOCAL[version], port=8472)
    with pytest.raises(NetlinkError) as caught:
        vxlan.create(nl, "a", 9, underlay=underlay)
    assert caught.value.errno == errno.EEXIST


@pytest.mark.parametrize("version", [4, 6])
def test_a_new_local_address_keeps_the_entries(
    host: Host, nl: Netlink, underlay: int, version: int
) -> None:
    index = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[version], up=True).index
    fdb.add(nl, index, MAC, PEER[version])
    neighbour.add(nl, index, ip_address("10.0.0.2"), MAC, protocol=201)
    vxlan.set_local(nl, index, PEER[version] + 1)
    found = link.by_index(nl, index)
    assert (Vxlan(found).local, found.up) == (PEER[version] + 1, True)
    assert [one.destination for one in fdb.dump(nl, index)] == [PEER[version]]
    assert len(neighbour.dump(nl, index=index, protocol=201)) == 1
    with pytest.raises(NetlinkError):
        vxlan.set_local(nl, index, LOCAL[10 - version])


@pytest.mark.parametrize("version", [4, 6])
def test_a_new_underlay_keeps_the_entries(
    host: Host, nl: Netlink, underlay: int, version: int
) -> None:
    index = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[version], up=True).index
    fdb.add(nl, index, MAC, PEER[version])
    neighbour.add(nl, index, ip_address("10.0.0.2"), MAC, protocol=201)
    other = link.create_veth(nl, "other", "other-peer", mtu=1400).index
    vxlan.set_underlay(nl, index, other)
    found = link.by_index(nl, index)
    assert (Vxlan(found).underlay, Vxlan(found).local) == (other, LOCAL[version])
    assert (found.up, found.mtu) == (True, 1400 - vxlan.overhead(version))
    assert [one.destination for one in fdb.dump(nl, index)] == [PEER[version]]
    assert len(neighbour.dump(nl, index=index, protocol=201)) == 1
    link.delete(nl, underlay)  # which takes what runs over it along
    assert link.find(nl, "a") is not None
    link.delete(nl, other)
    assert link.find(nl, "a") is None


def test_set_down_it_loses_neighbours_and_routes_but_no_entries(nl: Netlink, underlay: int) -> None:
    index = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[4], up=True).index
    for gateway, to in (("10.0.1.0", "10.0.1.0/24"), ("fd00:1::", "fd00:1::/64")):
        via = ip_address(gateway)
        neighbour.add(nl, index, via, MAC, protocol=201)
        route.add(nl, ip_network(to), gateway=via, oif=index, onlink=True, protocol=201)
    fdb.add(nl, index, MAC, PEER[4])

    def counts() -> tuple[int, int, int]:
        routes = [route.dump(nl, family, oif=index, protocol=201) for family in (2, 10)]
        return (
            len(fdb.dump(nl, index)),
            len(neighbour.dump(nl, index=index, protocol=201)),
            len(routes[0]) + len(routes[1]),
        )

    assert counts() == (1, 2, 2)
    link.set_down(nl, index)
    assert counts() == (1, 0, 0)


def test_another_mac_loses_neighbours(nl: Netlink, underlay: int) -> None:
    index = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[4], mac=MAC, up=True).index
    neighbour.add(nl, index, ip_address("10.0.0.2"), MAC)
    neighbour.add(nl, index, ip_address("fd00::2"), MAC)
    link.change(nl, index, mac="02:00:00:00:00:02")
    assert neighbour.dump(nl, index=index) == []


@pytest.mark.parametrize("version", [4, 6])
def test_a_port_that_is_taken_shows_when_it_is_set_up(
    nl: Netlink, underlay: int, version: int
) -> None:
    family = _socket.AF_INET if version == 4 else _socket.AF_INET6
    holder = _socket.socket(family, _socket.SOCK_DGRAM)
    holder.bind(("", 4789))
    try:
        with pytest.raises(NetlinkError, match="EADDRINUSE"):
            vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[version], up=True)
        assert link.find(nl, "a") is None
        index = vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[version]).index
        with pytest.raises(NetlinkError, match="EADDRINUSE"):
            link.set_up(nl, index)
    finally:
        holder.close()
    link.set_up(nl, index)


def test_devices_on_a_port_agree_about_zero_checksums(nl: Netlink, underlay: int) -> None:
    vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[6], up=True)
    with pytest.raises(NetlinkError, match="EADDRINUSE"):
        vxlan.create(nl, "b", 2, underlay=underlay, local=LOCAL[6], zero_checksum6_rx=True, up=True)


def test_it_goes_with_its_underlay(nl: Netlink, underlay: int) -> None:
    vxlan.create(nl, "a", 1, underlay=underlay, local=LOCAL[4])
    link.delete(nl, underlay)
    assert link.find(nl, "a") is None


def test_nothing_stays_when_the_alias_is_refused(nl: Netlink) -> None:
    with pytest.raises(NetlinkError):
        vxlan.create(nl, "a", 1, alias="x" * 300)
    assert link.find(nl, "a") is None


@pytest.mark.parametrize(
    ("vni", "group", "why"),
    [
        (vxlan.VNI_MAX + 1, PEER[4], "ERANGE|out of range"),
        (1, GROUP[4], "ocal interface required for multicast"),
    ],
)
def test_refused(nl: Netlink, vni: int, group: Any, why: str) -> None:
    with pytest.raises(NetlinkError, match=why):
        vxlan.create(nl, "a", vni, group=group)
    assert link.find(nl, "a") is None
