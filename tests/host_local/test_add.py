"""ADD: which address, what is told of it, and what is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cni.errors import DUPLICATE, INVALID_CONFIG, IO_FAILURE, NO_ADDRESS
from tests.host_local.network import V4, V6, Network
from tests.kit.versions import each_version


@each_version
def test_the_result_of_each_version(network: Network, version: str, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.3\n")
    network.version = version
    network.ranges([V4, {"subnet": "10.2.2.0/24"}], [V6])
    network.ipam["resolvConf"] = str(tmp_path / "resolv.conf")
    network.ipam["routes"] = [
        {"dst": "0.0.0.0/0"},
        {"dst": "192.168.0.0/16", "gw": "10.1.2.9"},
        {"dst": "2001:db8:2::/64", "gw": "2001:db8:1::9"},
    ]
    result = network.result()
    assert result.pop("cniVersion") == version
    assert result.pop("dns") == {"nameservers": ["192.0.2.3"]}
    v4 = {"address": "10.1.2.2/24", "gateway": "10.1.2.1"}
    v6 = {"address": "2001:db8:1::2/64", "gateway": "2001:db8:1::1"}
    routes4, routes6 = network.ipam["routes"][:2], network.ipam["routes"][2:]
    if version < "0.3.0":
        assert result == {
            "ip4": {"ip": v4["address"], "gateway": v4["gateway"], "routes": routes4},
            "ip6": {"ip": v6["address"], "gateway": v6["gateway"], "routes": routes6},
        }
    elif version < "1.0.0":
        ips = [{"version": "4", **v4}, {"version": "6", **v6}]
        assert result == {"ips": ips, "routes": routes4 + routes6}
    else:
        assert result == {"ips": [v4, v6], "routes": routes4 + routes6}
    assert network.held == {"10.1.2.2": "c1\r\neth0", "2001:db8:1::2": "c1\r\neth0"}
    assert (network.last(0), network.last(1)) == ("10.1.2.2", "2001:db8:1::2")
    network.check_index(must_be_current=True)


def test_route_attributes(network: Network) -> None:
    route = {
        "dst": "10.9.0.0/16",
        "mtu": 1400,
        "advmss": 1360,
        "priority": 7,
        "table": 50,
        "scope": 253,
    }
    network.ipam["routes"] = [route]
    assert network.result()["routes"] == [route]


RESOLV_CONF = """
# a comment
; another   one
search one.example two.example
nameserver 192.0.2.3
nameserver
  options  ndots:2   edns0
domain first.example
domain last.example more
nameserver 2001:db8::53 trailing
search three.example
sortlist 192.0.2.0
"""


def test_resolv_conf(network: Network, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(RESOLV_CONF)
    network.ipam["resolvConf"] = str(tmp_path / "resolv.conf")
    assert network.result()["dns"] == {
        "nameservers": ["192.0.2.3", "2001:db8::53"],
        "domain": "last.example",
        "search": ["one.example", "two.example", "three.example"],
        "options": ["ndots:2", "edns0"],
    }


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_resolv_conf_that_cannot_be_read(
    network: Network, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "resolv.conf").write_bytes(content)
    network.ipam["resolvConf"] = str(tmp_path / "resolv.conf")
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert 'key "ipam.resolvConf"' in error.msg
    assert network.held == {}


# ---- the order -----------------------------------------------------------------------------------


def test_round_robin(network: Network) -> None:
    """A released address comes back only after the whole range has been gone through."""
    network.ranges([{"subnet": "10.1.2.0/29"}])
    assert [network.add(f"c{n}") for n in range(3)] == ["10.1.2.2", "10.1.2.3", "10.1.2.4"]
    network.delete("c0")
    assert [network.add(f"d{n}") for n in range(3)] == ["10.1.2.5", "10.1.2.6", "10.1.2.2"]
    network.delete("c2")
    assert network.add("e") == "10.1.2.4"


def test_ranges_of_a_set_in_turn_without_their_gateways(network: Network) -> None:
    network.ranges(
        [
            {"subnet": "10.1.0.0/29", "rangeStart": "10.1.0.3", "rangeEnd": "10.1.0.4"},
            {"subnet": "10.0.0.0/30", "gateway": "10.0.0.2"},
            {"subnet": "10.2.0.0/29", "rangeEnd": "10.2.0.2"},
        ]
    )
    got = [network.add(f"c{n}") for n in range(4)]
    assert got == ["10.1.0.3", "10.1.0.4", "10.0.0.1", "10.2.0.2"]
    assert network.fails("add", "one-more").code == NO_ADDRESS


def test_the_gateway_is_that_of_the_range(network: Network) -> None:
    network.ranges([{"subnet": "10.1.0.0/30", "gateway": "10.1.0.2"}, {"subnet": "10.2.0.0/16"}])
    assert network.result("a")["ips"] == [{"address": "10.1.0.1/30", "gateway": "10.1.0.2"}]
    assert network.result("b")["ips"] == [{"address": "10.2.0.2/16", "gateway": "10.2.0.1"}]


@pytest.mark.parametrize(
    "content", ["", "banana", "\0\0\0\0", "10.9.9.9", "2001:db8:1::7", "10.1.2.2\n10.1.2.3"]
)
def test_a_cursor_that_says_nothing(network: Network, content: str) -> None:
    network.write("last_reserved_ip.0", content)
    assert network.add() == "10.1.2.2"
    assert network.last() == "10.1.2.2"


def test_the_cursor_goes_on_where_the_reference_left_it(network: Network) -> None:
    network.write("last_reserved_ip.0", "10.1.2.251")
    assert [network.add(f"c{n}") for n in range(4)] == [
        "10.1.2.252",
        "10.1.2.253",
        "10.1.2.254",
        "10.1.2.2",
    ]
    assert network.last() == "10.1.2.2"


def test_podmans_range_end(network: Network) -> None:
    """`podman network create --ip-range` ends the range with .255: a broadcast address here."""
    network.ranges([{**V4, "rangeStart": "10.1.2.252", "rangeEnd": "10.1.2.255"}])
    assert [network.add(f"c{n}") for n in range(3)] == ["10.1.2.252", "10.1.2.253", "10.1.2.254"]
    assert network.fails("add", "one-more").code == NO_ADDRESS


def test_podmans_range_end_inside_a_larger_subnet(network: Network) -> None:
    big = {"subnet": "10.88.0.0/16", "rangeStart": "10.88.5.254", "rangeEnd": "10.88.5.255"}
    network.ranges([big])
    assert [network.add(f"c{n}") for n in range(2)] == ["10.88.5.254", "10.88.5.255"]


def test_huge_and_nearly_full_ranges(network: Network) -> None:
    network.ranges([{"subnet": "10.0.0.0/8"}], [{"subnet": "2001:db8::/64"}])
    network.fill(f"10.0.{high}.{low}" for high in range(2) for low in range(256))
    network.fill(f"2001:db8::{low:x}" for low in range(2, 400))
    assert network.add() == "10.0.2.0 2001:db8::190"
    network.write("last_reserved_ip.0", "10.255.255.254")
    network.write("last_reserved_ip.1", "2001:db8::ffff:ffff:ffff:ffff")
    assert network.add("c2") == "10.0.2.1 2001:db8::191"


# ---- exclude -------------------------------------------------------------------------------------


def test_exclude(network: Network) -> None:
    network.ipam["exclude"] = ["10.1.2.3", "2001:db8:1::/125", "192.0.2.0/24"]
    first = {**V4, "rangeEnd": "10.1.2.12", "exclude": ["10.1.2.4/31", "10.1.2.8/30"]}
    network.ranges([first], [V6])
    assert [network.add(f"c{n}").split() for n in range(4)] == [
        ["10.1.2.2", "2001:db8:1::8"],
        ["10.1.2.6", "2001:db8:1::9"],
        ["10.1.2.7", "2001:db8:1::a"],
        ["10.1.2.12", "2001:db8:1::b"],
    ]
    assert "all 4 are held" in network.fails("add", "one-more").msg


def test_what_is_excluded_later_stays_held_and_can_be_released(network: Network) -> None:
    network.add()
    network.ipam["exclude"] = ["10.1.2.2"]
    assert network.fails("add").code == DUPLICATE
    network.delete()
    assert network.held == {}


# ---- asked for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["10.1.2.88", "10.1.2.88/24", "::ffff:10.1.2.88"])
@pytest.mark.parametrize("way", ["CNI_ARGS", "args.cni.ips", "runtimeConfig.ips"])
def test_an_address_asked_for(network: Network, way: str, text: str) -> None:
    args = ""
    if way == "CNI_ARGS":
        args = f"IgnoreUnknown=1;IP={text};K8S_POD_NAME=x"
    elif way == "args.cni.ips":
        network.extra = {"args": {"cni": {"ips": [text]}}}
    else:
        network.extra = {"runtimeConfig": {"ips": [text]}}
    assert network.add(args=args) == "10.1.2.88"
    assert network.last() == "10.1.2.88"
    network.extra = {}
    assert network.add("c2") == "10.1.2.89"


def test_addresses_asked_for_by_all_ways_at_once(network: Network) -> None:
    network.ranges([V4], [{"subnet": "10.1.3.0/24"}], [V6], [{"subnet": "10.1.4.0/24"}])
    network.extra = {
        "args": {"cni": {"ips": ["2001:db8:1::999"]}},
        "runtimeConfig": {"ips": ["10.1.4.77", "10.1.2.88", "2001:0db8:1::999/64"]},
    }
    assert network.add(args="IP=10.1.2.88") == "10.1.2.88 10.1.3.2 2001:db8:1::999 10.1.4.77"


@pytest.mark.parametrize(
    "ips", [["10.9.9.9"], ["10.1.2.5", "10.1.2.6"], ["10.1.2.5", "2001:db8:1::5"]]
)
def test_every_address_asked_for_must_find_its_set(network: Network, ips: list[str]) -> None:
    network.extra = {"runtimeConfig": {"ips": ips}}
    error = network.fails("add")
    assert "failed to allocate all requested IPs" in error.msg
    assert ips[-1] in error.msg
    assert network.held == {}


def test_of_many_addresses_asked_for_an_error_names_some(network: Network) -> None:
    network.extra = {"runtimeConfig": {"ips": [f"10.9.{n >> 8}.{n & 255}" for n in range(5000)]}}
    error = network.fails("add")
    assert "10.9.0.4 and 4995 more: each range set" in error.msg
    assert network.held == {}


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("10.1.2.1", "requested ip 10.1.2.1 is subnet's gateway"),
        ("10.1.2.50", 'is excluded by "10.1.2.48/28"'),
        ("10.1.2.255", "broadcast address"),
        ("10.1.2.0", "network"),
    ],
)
def test_an_address_that_is_never_given_out(network: Network, address: str, says: str) -> None:
    network.ranges([{**V4, "rangeStart": "10.1.2.0", "rangeEnd": "10.1.2.255"}])
    network.ipam["exclude"] = ["10.1.2.48/28"]
    error = network.fails("add", args=f"IP={address}")
    assert error.code == NO_ADDRESS
    assert says in error.msg
    assert network.held == {}


def test_an_address_that_somebody_has(network: Network) -> None:
    network.add("first", "eth3", args="IP=10.1.2.9")
    error = network.fails("add", "second", args="IP=10.1.2.9")
    assert error.code == DUPLICATE
    assert "requested IP address 10.1.2.9 is not available in range set" in error.msg
    assert "container first (eth3)" in error.msg
    assert network.held == {"10.1.2.9": "first\r\neth3"}


# ---- no second address ---------------------------------------------------------------------------


@pytest.mark.parametrize("args", ["", "IP=10.1.2.77"])
def test_no_second_address_for_an_attachment(network: Network, args: str) -> None:
    assert network.add() == "10.1.2.2"
    error = network.fails("add", args=args)
    assert error.code == DUPLICATE
    assert (
        "failed to allocate for range 0: 10.1.2.2 has been allocated to c1, "
        "duplicate allocation is not allowed" in error.msg
    )
    assert network.add("c1", "eth1") == "10.1.2.3"
    assert network.held == {"10.1.2.2": "c1\r\neth0", "10.1.2.3": "c1\r\neth1"}
    network.check_index(must_be_current=True)


def test_an_address_in_the_old_format_is_one_too(network: Network) -> None:
    network.write("10.1.2.9", "c1")
    assert network.fails("add").code == DUPLICATE


# ---- exhaustion ----------------------------------------------------------------------------------


def test_exhaustion_names_the_ranges_and_the_holders(network: Network) -> None:
    network.ranges([{"subnet": "10.1.2.0/28"}], [V6], [{"subnet": "10.3.0.0/30"}])
    network.fill(["10.3.0.2"], "somebody")
    network.fill([f"10.1.2.{n}" for n in range(2, 15)])
    network.write("10.1.2.5", "older")
    error = network.fails("add")
    assert error.code == NO_ADDRESS
    assert "failed to allocate for range 0: no IP addresses available in range set: " in error.msg
    assert "10.1.2.1-10.1.2.14: all 13 are held" in error.msg
    assert "failed to allocate for range 2: no IP addresses available in range set: " in error.msg
    details = error.document["details"]
    assert "10.1.2.2 by container other (eth0)" in details
    assert "10.1.2.5 by container older" in details
    assert "and 5 more" in details
    assert "10.3.0.2 by container somebody (eth0)" in details
    assert len(error.document["details"]) < 1000
    assert "2001:db8:1::2" not in network.held, "the set that was not full is left alone"


# ---- the directory -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["data", "data/net", "data/net/lock"])
def test_a_directory_that_cannot_be(network: Network, where: str) -> None:
    path = network.tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if where.endswith("lock"):
        path.mkdir()
    else:
        path.write_text("a file")
    error = network.fails("add")
    assert error.code == IO_FAILURE
    assert str(network.directory) in error.msg
    assert "dataDir" in error.msg


def test_modes_are_the_references(network: Network) -> None:
    mask = os.umask(0o022)
    try:
        network.add()
    finally:
        os.umask(mask)
    assert network.directory.stat().st_mode & 0o777 == 0o755
    for name in ("10.1.2.2", "last_reserved_ip.0", "lock"):
        assert (network.directory / name).stat().st_mode & 0o777 == 0o600


def test_nothing_else_is_in_the_directory(network: Network) -> None:
    network.ranges([V4], [V6])
    network.add()
    assert sorted(os.listdir(network.directory)) == [
        "10.1.2.2",
        "2001:db8:1::2",
        "last_reserved_ip.0",
        "last_reserved_ip.1",
        "lock",
    ]


def test_two_networks_do_not_meet(network: Network, tmp_path: Path, netns: Any) -> None:
    other = network.config | {"name": "other"}
    assert network.add() == "10.1.2.2"
    result = network.runtime.add(other, container="c1", netns=netns)
    assert result["ips"][0]["address"] == "10.1.2.2/24"
    network.delete()
    assert (tmp_path / "data" / "other" / "10.1.2.2").exists()
