"""Forwarding entries on a real kernel, compared with `bridge fdb`."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from hostnet import bridge, fdb, link, vxlan
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host

LOCAL = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
PEERS = {
    4: [ip_address(f"192.0.2.{number}") for number in (2, 3, 4)],
    6: [ip_address(f"2001:db8::{number}") for number in (2, 3, 4)],
}
MAC = "02:00:00:00:00:01"


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        yield socket


@pytest.fixture(params=[4, 6])
def version(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def index(nl: Netlink, version: int) -> Iterator[int]:
    made = vxlan.create(nl, "vxlan42", 42, local=LOCAL[version]).index
    yield made
    link.delete(nl, made)


def shown(host: Host, device: str = "vxlan42") -> list[dict[str, Any]]:
    seen = host.command("bridge", "-j", "fdb", "show", "dev", device).stdout
    found: list[dict[str, Any]] = json.loads(seen)
    return found


def pairs(nl: Netlink, index: int) -> set[tuple[str, str]]:
    return {(one.mac, str(one.destination)) for one in fdb.dump(nl, index)}


def test_one_entry(host: Host, nl: Netlink, index: int, version: int) -> None:
    peer = PEERS[version][0]
    fdb.add(nl, index, MAC, peer, port=8472, vni=43)
    assert shown(host) == [
        {
            "mac": MAC,
            "dst": str(peer),
            "port": 8472,
            "vni": 43,
            "flags": ["self"],
            "state": "permanent",
        }
    ]
    (found,) = fdb.dump(nl, index)
    assert (found.index, found.mac, found.destination) == (index, MAC, peer)
    assert (found.port, found.vni) == (8472, 43)
    assert found.permanent
    assert found.own
    assert not found.learned
    assert not found.external


def test_twice_replaced_deleted(host: Host, nl: Netlink, index: int, version: int) -> None:
    first, second, _third = PEERS[version]
    fdb.add(nl, index, MAC, first)
    with pytest.raises(NetlinkError, match=f"cannot add {MAC} behind {second}") as caught:
        fdb.add(nl, index, MAC, second)
    assert caught.value.errno == errno.EEXIST
    fdb.add(nl, index, MAC, second, replace=True)
    fdb.add(nl, index, MAC, second, replace=True)
    assert [one["dst"] for one in shown(host)] == [str(second)]
    (found,) = fdb.dump(nl, index)
    assert (found.port, found.vni) == (0, 0)
    assert fdb.delete(nl, index, MAC)
    assert not fdb.delete(nl, index, MAC, missing_ok=True)
    with pytest.raises(NetlinkError, match=f"cannot delete {MAC} from interface") as caught:
        fdb.delete(nl, index, MAC)
    assert caught.value.errno == errno.ENOENT


def test_replace_makes_one_as_well(nl: Netlink, index: int, version: int) -> None:
    fdb.add(nl, index, MAC, PEERS[version][0], replace=True)
    assert pairs(nl, index) == {(MAC, str(PEERS[version][0]))}


def test_the_flood_list(host: Host, nl: Netlink, index: int, version: int) -> None:
    for peer in PEERS[version]:
        fdb.add(nl, index, fdb.FLOOD, peer, append=True)
    fdb.add(nl, index, fdb.FLOOD, PEERS[version][0], append=True)
    assert {one["dst"] for one in shown(host)} == {str(peer) for peer in PEERS[version]}
    assert len(fdb.dump(nl, index)) == 3
    with pytest.raises(NetlinkError, match="EOPNOTSUPP"):
        fdb.add(nl, index, fdb.FLOOD, PEERS[version][0], replace=True)
    with pytest.raises(NetlinkError, match="EEXIST"):
        fdb.add(nl, index, fdb.FLOOD, PEERS[version][0] + 100)
    first, second, third = PEERS[version]
    assert fdb.delete(nl, index, fdb.FLOOD, second)
    assert fdb.delete(nl, index, fdb.FLOOD, second), "the kernel does not tell"
    assert pairs(nl, index) == {(fdb.FLOOD, str(first)), (fdb.FLOOD, str(third))}
    assert fdb.delete(nl, index, fdb.FLOOD)
    assert fdb.dump(nl, index) == []


def test_the_last_of_the_flood_list(nl: Netlink, index: int, version: int) -> None:
    fdb.add(nl, index, fdb.FLOOD, PEERS[version][0], append=True)
    fdb.delete(nl, index, fdb.FLOOD, PEERS[version][1])
    assert pairs(nl, index) == {(fdb.FLOOD, str(PEERS[version][0]))}
    assert fdb.delete(nl, index, fdb.FLOOD, PEERS[version][0])
    assert fdb.dump(nl, index) == []
    assert not fdb.delete(nl, index, fdb.FLOOD, PEERS[version][0], missing_ok=True)


def test_a_unicast_mac_takes_no_second_destination(nl: Netlink, index: int, version: int) -> None:
    fdb.add(nl, index, MAC, PEERS[version][0])
    fdb.add(nl, index, MAC, PEERS[version][1], append=True)
    assert pairs(nl, index) == {(MAC, str(PEERS[version][0]))}


def test_the_other_family_is_refused(nl: Netlink, index: int, version: int) -> None:
    with pytest.raises(NetlinkError, match="EAFNOSUPPORT"):
        fdb.add(nl, index, MAC, PEERS[10 - version][0])


def test_only_the_devices_own(host: Host, nl: Netlink, index: int, version: int) -> None:
    """Neither another device's nor those a bridge has for it."""
    other = vxlan.create(nl, "vxlan43", 43, local=LOCAL[version]).index
    master = bridge.create(nl, "br42").index
    link.change(nl, index, master=master)
    fdb.add(nl, other, MAC, PEERS[version][1])
    fdb.add(nl, index, MAC, PEERS[version][0])
    foreign = "02:00:00:00:00:07"
    host.command("bridge", "fdb", "add", foreign, "dev", "vxlan42", "master", "static")
    macs = {one["mac"] for one in shown(host)}
    assert macs > {MAC, foreign}
    assert pairs(nl, index) == {(MAC, str(PEERS[version][0]))}
    link.delete(nl, master)
    link.delete(nl, other)


def test_states(host: Host, nl: Netlink, index: int, version: int) -> None:
    to = str(PEERS[version][0])
    for number, state in enumerate(("dynamic", "static", "permanent", "dynamic extern_learn")):
        host.command(
            *f"bridge fdb add 02:00:00:00:00:0{number} dev vxlan42 dst {to} self {state}".split()
        )
    found = {one.mac[-1]: (one.permanent, one.learned, one.external) for one in fdb.dump(nl, index)}
    assert found == {
        "0": (False, True, False),
        "1": (False, False, False),
        "2": (True, False, False),
        "3": (False, False, True),
    }


def test_a_device_that_is_gone(nl: Netlink, index: int, version: int) -> None:
    assert fdb.dump(nl, 4711) == []
    assert not fdb.delete(nl, 4711, MAC, missing_ok=True)
    with pytest.raises(NetlinkError, match="ENODEV"):
        fdb.add(nl, 4711, MAC, PEERS[version][0])
