"""ADD: which addresses, what is told of them, what is in etcd then; or nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni.errors import DUPLICATE, INCOMPATIBLE_VERSION, INVALID_CONFIG, NO_ADDRESS
from tests.etcd_ipam.cluster import DUAL, V4, V6, Keys, Node
from tests.etcd_ipam.proxy import Proxy
from tests.kit.versions import SPEC_VERSIONS, each_version


@each_version
def test_the_result_of_each_version(node: Node, keys: Keys, version: str, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.3\n")
    node.version = version
    node.ranges([{**V4, "rangeStart": "10.1.2.7", "rangeEnd": "10.1.2.7"}], [V6])
    node.ipam |= {
        "resolvConf": str(tmp_path / "resolv.conf"),
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "2001:db8:2::/64", "gw": "2001:db8:1::9"}],
    }
    node.extra = {"runtimeConfig": {"ips": ["2001:db8:1::8"]}}
    result = node.result()
    assert result.pop("cniVersion") == version
    assert result.pop("dns") == {"nameservers": ["192.0.2.3"]}
    v4 = {"address": "10.1.2.7/24", "gateway": "10.1.2.1"}
    v6 = {"address": "2001:db8:1::8/64", "gateway": "2001:db8:1::1"}
    routes = node.ipam["routes"]
    if version < "0.3.0":
        assert result == {
            "ip4": {"ip": v4["address"], "gateway": v4["gateway"], "routes": routes[:1]},
            "ip6": {"ip": v6["address"], "gateway": v6["gateway"], "routes": routes[1:]},
        }
    elif version < "1.0.0":
        ips = [{"version": "4", **v4}, {"version": "6", **v6}]
        assert result == {"ips": ips, "routes": routes}
    else:
        assert result == {"ips": [v4, v6], "routes": routes}
    assert keys.all == {
        "addr/10.1.2.7": f"{node.network}/n1/c1/eth0",
        "addr/2001:db8:1::8": f"{node.network}/n1/c1/eth0",
        "owner/n1/c1/eth0": f"{node.network} 10.1.2.7 2001:db8:1::8",
    }


def test_it_enters_no_namespace_and_needs_none(node: Node, keys: Keys) -> None:
    call = {"container": "vm7", "netns": "/dev/null"}
    result = node.runtime.add(node.config, **call)
    node.runtime.check(node.config, result, **call)
    assert "owner/n1/vm7/eth0" in keys.all
    node.runtime.delete(node.config, **call)
    assert keys.all == {}


@each_version
def test_what_a_version_cannot_tell_is_not_taken(node: Node, keys: Keys, version: str) -> None:
    node.version = version
    node.ranges([V4], [{"subnet": "10.1.3.0/24"}])
    if SPEC_VERSIONS.index(version) >= SPEC_VERSIONS.index("0.3.0"):
        first, second = node.add().split()
        assert first.startswith("10.1.2.")
        assert second.startswith("10.1.3.")
        return
    assert node.fails("add").code == INCOMPATIBLE_VERSION
    assert keys.all == {}


def test_all_that_may_be_given_out_and_no_more(node: Node) -> None:
    node.ipam["exclude"] = ["10.1.2.3"]
    node.ranges(
        [
            {"subnet": "10.1.2.0/29", "rangeEnd": "10.1.2.7"},
            {"subnet": "10.1.3.0/30", "gateway": "10.1.3.2"},
        ]
    )
    got = {node.add(f"c{n}") for n in range(5)}
    assert got == {"10.1.2.2", "10.1.2.4", "10.1.2.5", "10.1.2.6", "10.1.3.1"}
    assert node.fails("add", "one-more").code == NO_ADDRESS


def test_a_prefix_of_ones_own(node: Node, keys: Keys) -> None:
    node.ipam["prefix"] = f"/pycni/{node.network}/pool/a/"
    address = node.add()
    assert keys.all[f"pool/a/addr/{address}"] == f"{node.network}/n1/c1/eth0"
    node.delete()
    assert keys.all == {}


# ---- asked for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["10.1.2.88", "10.1.2.88/24", "::ffff:10.1.2.88"])
@pytest.mark.parametrize("way", ["CNI_ARGS", "args.cni.ips", "runtimeConfig.ips"])
def test_an_address_asked_for(node: Node, way: str, text: str) -> None:
    args = ""
    if way == "CNI_ARGS":
        args = f"IgnoreUnknown=1;IP={text};K8S_POD_NAME=x"
    elif way == "args.cni.ips":
        node.extra = {"args": {"cni": {"ips": [text]}}}
    else:
        node.extra = {"runtimeConfig": {"ips": [text]}}
    assert node.add(args=args) == "10.1.2.88"


def test_an_address_that_somebody_on_another_node_has(node: Node, keys: Keys) -> None:
    node.another("n2").add("first", "eth3", args="IP=10.1.2.9")
    before = keys.all
    node.ranges([V6], [V4])
    error = node.fails("add", "second", args="IP=10.1.2.9")
    assert error.code == DUPLICATE
    assert (
        "failed to allocate for range 1: requested IP address 10.1.2.9 is not available in range "
        f"set 10.1.2.1-10.1.2.254: container first (eth3) on node n2, network {node.network} "
        "has it" in error.msg
    )
    assert keys.all == before, "nothing is taken of the other set"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("10.1.2.1", "requested ip 10.1.2.1 is subnet's gateway"),
        ("10.1.2.50", 'is excluded by "10.1.2.48/28"'),
        ("10.1.2.255", "broadcast address"),
    ],
)
def test_an_address_that_is_never_given_out(
    node: Node, keys: Keys, address: str, says: str
) -> None:
    node.ranges([V6], [{**V4, "rangeEnd": "10.1.2.255"}])
    node.ipam["exclude"] = ["10.1.2.48/28"]
    error = node.fails("add", args=f"IP={address}")
    assert error.code == NO_ADDRESS
    assert "failed to allocate for range 1: " in error.msg
    assert says in error.msg
    assert keys.all == {}


def test_every_address_asked_for_must_find_its_set(node: Node, keys: Keys) -> None:
    node.extra = {"runtimeConfig": {"ips": ["10.1.2.5", "10.1.2.6"]}}
    error = node.fails("add")
    assert error.code == INVALID_CONFIG
    assert "failed to allocate all requested IPs: 10.1.2.6" in error.msg
    assert keys.all == {}


# ---- no second address ---------------------------------------------------------------------------


@pytest.mark.parametrize("args", ["", "IP=10.1.2.77"])
def test_no_second_allocation(node: Node, keys: Keys, args: str) -> None:
    address = node.add()
    before = keys.all
    error = node.fails("add", args=args)
    assert error.code == DUPLICATE
    assert (
        f"{address} has been allocated to c1, duplicate allocation is not allowed: "
        "DEL its interface eth0 first" in error.msg
    )
    assert keys.all == before
    assert node.add("c1", "eth1") != address
    assert node.another("n2").add() != address


def test_no_second_allocation_by_another_network_of_the_prefix(node: Node, keys: Keys) -> None:
    node.ipam["prefix"] = keys.prefix
    address = node.add()
    error = node.another("n1", "other").fails("add")
    assert error.code == DUPLICATE
    assert f"{address} has been allocated to c1 on network {node.network}" in error.msg


# ---- exhaustion ----------------------------------------------------------------------------------


def test_exhaustion_says_who_holds_how_many(node: Node, keys: Keys) -> None:
    node.ranges([{"subnet": "10.1.2.0/28"}], [V6], [{"subnet": "10.3.0.0/30"}])
    keys.fill([f"10.1.2.{n}" for n in range(2, 6)], "n8")
    keys.fill([f"10.1.2.{n}" for n in range(6, 15)], "n9")
    keys.put("addr/10.3.0.2", "a person's note")
    before = keys.all
    error = node.fails("add")
    assert error.code == NO_ADDRESS
    assert (
        "failed to allocate for range 0: no IP addresses available in range set: "
        "10.1.2.1-10.1.2.14: all 13 are held" in error.msg
    )
    assert "failed to allocate for range 2: no IP addresses available" in error.msg
    details = error.document["details"]
    assert f"held in etcd below {keys.prefix}addr/: 9 by node n9, 4 by node n8" in details
    assert keys.all == before, "the set that was not full is left alone"


def test_the_last_free_address_of_many(node: Node, keys: Keys) -> None:
    """More than can be guessed at once: everything is read."""
    everything = [f"10.1.{high}.{low}" for high in (2, 3) for low in range(256)][2:-1]
    keys.fill([one for one in everything if one != "10.1.3.77"], "n5")
    keys.put("addr/banana", "a person's note")
    node.ranges([{"subnet": "10.1.2.0/23"}], [V6])
    assert node.add().split()[0] == "10.1.3.77"
    error = node.fails("add", "c2")
    assert error.code == NO_ADDRESS
    assert "10.1.2.1-10.1.3.254: all 509 are held" in error.msg
    assert "508 by node n5, 1 by node n1" in error.document["details"]


def test_only_a_few_nodes_are_named(node: Node, keys: Keys) -> None:
    for n in range(2, 15):
        keys.fill([f"10.1.2.{n}"], f"n{n}")
    node.ranges([{"subnet": "10.1.2.0/28"}])
    assert node.fails("add").document["details"].endswith(", and 5 more nodes")


# ---- cost ----------------------------------------------------------------------------------------


def test_what_others_hold_is_not_read(node: Node, keys: Keys, proxy: Proxy) -> None:
    """Half of a /20 is taken: a guess, perhaps a second one, and never the list."""
    keys.fill([f"10.1.{high}.{low}" for high in range(8) for low in range(256)])
    node.ranges([{"subnet": "10.1.0.0/20"}])
    for n in range(20):
        proxy.requests.clear()
        proxy.received = 0
        node.add(f"c{n}")
        assert set(proxy.requests) == {"/v3/kv/txn"}
        assert len(proxy.requests) <= 4
        assert proxy.received < 50_000
    proxy.requests.clear()
    node.delete()
    node.delete()
    assert proxy.requests == ["/v3/kv/range", "/v3/kv/txn", "/v3/kv/range"]


def test_a_huge_range_and_thousands_of_ranges(node: Node) -> None:
    node.ranges(
        [{"subnet": f"10.{high}.{low}.0/24"} for high in range(20) for low in range(256)],
        [{"subnet": "2001:db8::/32"}],
    )
    node.ipam["exclude"] = [f"10.{high}.0.0/16" for high in range(1, 20)]
    got = {node.add(f"c{n}") for n in range(5)}
    assert len(got) == 5
    assert all(one.startswith("10.0.") for one in got)


# ---- the answer is lost --------------------------------------------------------------------------


def test_a_lost_answer_is_found_out(node: Node, keys: Keys, proxy: Proxy) -> None:
    node.ranges(*DUAL)
    proxy.lose = 1
    got = node.add().split()
    assert keys.all["owner/n1/c1/eth0"] == " ".join((node.network, *got))
    assert len(keys.all) == 3


def test_a_lost_answer_to_a_refusal(node: Node, keys: Keys, proxy: Proxy) -> None:
    """The address is somebody's, the answer that says so is lost, the next one is not."""
    node.ranges([{"subnet": "10.1.2.0/30"}])
    node.another("n2").add()
    before = keys.all
    proxy.lose = 1
    assert node.fails("add").code == NO_ADDRESS
    assert keys.all == before


def test_a_lost_answer_excuses_no_second_allocation(node: Node, keys: Keys, proxy: Proxy) -> None:
    node.add(args="IP=10.1.2.9")
    proxy.lose = 1
    assert node.fails("add", args="IP=10.1.2.10").code == DUPLICATE
    assert keys.all["owner/n1/c1/eth0"] == f"{node.network} 10.1.2.9"


def test_answers_that_are_lost_for_good(node: Node, keys: Keys, proxy: Proxy) -> None:
    proxy.lose = 99
    error = node.fails("add")
    assert error.code == 11
    assert "the addresses may be taken all the same; a DEL frees them" in error.document["details"]
    assert len(keys.all) == 2
    assert node.fails("delete").code == 11
    proxy.lose = 0
    node.delete()
    assert keys.all == {}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("endpoints", [], "ipam.endpoints"),
        ("ranges", [[{"subnet": "10.1.2.3/24"}]], "ipam.ranges[0][0].subnet"),
        ("node", "a/b", "ipam.node"),
        ("resolvConf", "/nowhere/resolv.conf", "ipam.resolvConf"),
    ],
)
def test_a_wrong_key_is_named(node: Node, keys: Keys, key: str, value: Any, named: str) -> None:
    node.ipam[key] = value
    error = node.fails("add")
    assert error.code == INVALID_CONFIG
    assert f'key "{named}"' in error.msg
    assert keys.all == {}
