"""`sticky`: a workload gets its address again, whatever its containers are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.call import read_call
from cni.errors import DUPLICATE, NO_ADDRESS
from cni.ranges import Range, RangeSet, whole_range
from cni_host_local.main import PLUGIN
from cni_host_local.sticky import place
from tests.cni.test_ranges import addr, allocatable, net, range_sets
from tests.host_local.network import REFERENCE, V6, Network, reference
from tests.host_local.test_growth import hold, work
from tests.kit.calls import Document, PluginError
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.processes import at_once
from tests.reliability.reboot import reboot

KEYS = ["K8S_POD_NAMESPACE", "K8S_POD_NAME"]
WEB0 = "10.1.2.227"
"""What shop/web-0 gets on the network `net` in 10.1.2.0/24."""


def pod(name: str, namespace: str = "shop") -> str:
    return f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}"


@pytest.fixture
def sticky(network: Network) -> Network:
    network.ipam["sticky"] = KEYS
    return network


def rivals(one: RangeSet, count: int) -> list[str]:
    """Names of pods that all have the same place on the network `net`."""
    found: dict[int, list[str]] = {}
    number = 0
    while True:
        names = found.setdefault(int(place(one, ("net", "shop", f"pod-{number}"))), [])
        names.append(f"pod-{number}")
        if len(names) == count:
            return names
        number += 1


def whole(text: str) -> RangeSet:
    return RangeSet((whole_range(net(text)),))


# ---- the same again ----------------------------------------------------------------------------


def test_the_same_after_delete_with_another_container(sticky: Network) -> None:
    assert sticky.add("c1", args=pod("web-0")) == WEB0
    assert sticky.add("c2", args=pod("web-1")) != WEB0
    sticky.delete("c1")
    assert sticky.add("c3", args=pod("web-0")) == WEB0
    assert sticky.held[WEB0] == "c3\r\neth0"
    sticky.check_index(must_be_current=True)


def test_the_same_after_a_reboot_in_another_order(sticky: Network) -> None:
    names = ["web-0", "web-1", "db-0", "queue-0"]
    before = {name: sticky.add(f"old-{name}", args=pod(name)) for name in names}
    assert len(set(before.values())) == len(names)
    reboot(sticky.directory)
    after = {name: sticky.add(f"new-{name}", args=pod(name)) for name in reversed(names)}
    assert after == before
    assert set(sticky.held) == set(before.values())


def test_the_same_in_a_directory_of_its_own(sticky: Network) -> None:
    """Nothing is kept anywhere: neither in the directory nor in /run."""
    sticky.add(args=pod("web-0"))
    sticky.delete()
    assert [path.name for path in sticky.directory.iterdir()] == ["lock"]
    sticky.ipam["dataDir"] += "2"
    assert sticky.add(args=pod("web-0")) == WEB0
    sticky.delete()


@pytest.mark.parametrize(
    ("subnet", "workload", "expected"),
    [
        ("10.1.2.0/24", ("net", "shop", "web-0"), WEB0),
        ("10.1.0.0/16", ("net", "shop", "web-0"), "10.1.27.227"),
        ("10.0.0.0/8", ("net", "shop", "web-0"), "10.166.27.227"),
        ("2001:db8:1::/64", ("net", "shop", "web-0"), "2001:db8:1::a6:1be3"),
        ("10.1.2.0/24", ("net", "shop", "web-1"), "10.1.2.242"),
        ("10.1.2.0/24", ("net", "web-0"), "10.1.2.169"),
        ("10.1.2.0/24", ("net", "h\udcffx"), "10.1.2.45"),
    ],
)
def test_the_place_is_the_same_everywhere_and_for_ever(
    subnet: str, workload: tuple[str, ...], expected: str
) -> None:
    """Where this fails, everybody's workloads get new addresses with the new version."""
    assert str(place(whole(subnet), workload)) == expected


def test_each_part_counts(sticky: Network) -> None:
    workloads = [("a", "b"), ("b", "a"), ("ab", ""), ("a", "b", "c"), ("other", "b")]
    places = {place(whole("2001:db8::/64"), ("net", *one)) for one in workloads}
    assert len(places) == len(workloads)
    assert place(whole("10.0.0.0/8"), ("a", "b")) != place(whole("10.0.0.0/8"), ("ab",))


# ---- who is a workload -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        "",
        "IgnoreUnknown=1;K8S_POD_NAME=web-0",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=;K8S_POD_NAME=web-0",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;k8s_pod_name=web-0",
    ],
)
def test_in_turn_where_a_key_is_missing(sticky: Network, args: str) -> None:
    assert sticky.add("c1", args=args) == "10.1.2.2"
    assert sticky.add("c2", args=args) == "10.1.2.3"
    assert sticky.last() == "10.1.2.3"


@pytest.mark.parametrize("keys", [None, []])
def test_in_turn_without_the_key(network: Network, keys: Any) -> None:
    network.ipam["sticky"] = keys
    assert network.add(args=pod("web-0")) == "10.1.2.2"


def test_the_round_robin_stays_where_it_is(sticky: Network) -> None:
    """So that those without the key are as long as possible on the way to a workload's address."""
    assert sticky.add("c1") == "10.1.2.2"
    sticky.add("c2", args=pod("web-0"))
    assert sticky.last() == "10.1.2.2"
    assert sticky.add("c3") == "10.1.2.3"
    sticky.write("last_reserved_ip.0", "10.1.2.226")
    assert sticky.add("c4") == "10.1.2.228"


def test_an_address_asked_for_goes_first(sticky: Network) -> None:
    assert sticky.add("c1", args=pod("web-0") + ";IP=10.1.2.9") == "10.1.2.9"
    sticky.extra["runtimeConfig"] = {"ips": ["10.1.2.10"]}
    assert sticky.add("c2", args=pod("web-0")) == "10.1.2.10"
    sticky.extra = {"args": {"cni": {"ips": ["10.1.2.9"]}}}
    assert sticky.fails("add", "c3", args=pod("web-0")).code == DUPLICATE


def test_two_interfaces_of_one_workload(sticky: Network) -> None:
    assert sticky.add("c1", args=pod("web-0")) == WEB0
    assert sticky.add("c1", ifname="net1", args=pod("web-0")) == "10.1.2.228"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (5, "ipam.sticky"),
        (True, "ipam.sticky"),
        ("K8S_POD_NAME", "ipam.sticky"),
        ({}, "ipam.sticky"),
        (["K8S_POD_NAME", 5], "ipam.sticky[1]"),
        ([None], "ipam.sticky[0]"),
        ([""], "ipam.sticky[0]"),
        (["K8S_POD_NAME=web"], "ipam.sticky[0]"),
        (["A;B"], "ipam.sticky[0]"),
        (["a\0b"], "ipam.sticky[0]"),
    ],
)
def test_a_wrong_key_is_named(network: Network, value: Any, named: str) -> None:
    network.ipam["sticky"] = value
    for verb in ("add", "check", "status"):
        assert f'key "{named}"' in network.fails(verb).msg
    assert network.held == {}
    network.delete()


# ---- collisions, exclusions, full sets ---------------------------------------------------------


def test_two_with_the_same_place(sticky: Network) -> None:
    first, second, third = rivals(whole("10.1.2.0/24"), 3)
    own = sticky.add("c1", args=pod(first))
    after = [sticky.add("c2", args=pod(second)), sticky.add("c3", args=pod(third))]
    assert [int(addr(one)) for one in after] == [int(addr(own)) + 1, int(addr(own)) + 2]
    sticky.delete("c1")
    assert sticky.add("c4", args=pod(second)) == own
    sticky.delete("c2")
    assert sticky.add("c5", args=pod(first)) == after[0]


def test_what_comes_after_the_end_is_the_start(sticky: Network) -> None:
    sticky.ranges([{"subnet": "10.1.2.0/29"}])
    got = [sticky.add(f"c{n}", args=pod("web-0")) for n in range(5)]
    numbers = [int(one.rpartition(".")[2]) for one in got]
    turn = numbers.index(2)
    assert numbers[turn:] + numbers[:turn] == [2, 3, 4, 5, 6]
    error = sticky.fails("add", "c9", args=pod("web-0"))
    assert error.code == NO_ADDRESS
    assert "no IP addresses available in range set" in error.msg
    sticky.delete("c3")
    assert sticky.add("c9", args=pod("web-1")) == got[3]


def test_an_excluded_place_moves_its_own_workload_only(sticky: Network) -> None:
    names = ["web-0", *(f"pod-{n}" for n in range(12))]

    def addresses() -> dict[str, str]:
        made = {}
        for name in names:
            made[name] = sticky.add("c1", args=pod(name))
            sticky.delete("c1")
        return made

    before = addresses()
    sticky.ipam["exclude"] = [WEB0]
    after = addresses()
    assert before.pop("web-0") == WEB0
    assert after.pop("web-0") not in (WEB0, "10.1.2.228")
    assert after == before


def test_a_range_that_grows_moves_only_into_the_new_part(network: Network) -> None:
    def set_of(*ranges: Range) -> RangeSet:
        return RangeSet(ranges)

    first = whole_range(net("10.1.2.0/24"), end=addr("10.1.2.200"))
    wider = whole_range(net("10.1.2.0/24"))
    other = whole_range(net("10.9.0.0/30"))
    moved = 0
    for n in range(500):
        workload = ("net", f"pod-{n}")
        before, after = place(set_of(first), workload), place(set_of(wider), workload)
        assert after == before or int(after) > int(first.end)
        moved += after != before
        third = place(set_of(first, other), workload)
        assert third == before or third in other.subnet
    assert 0 < moved < 200


def test_a_set_before_it_moves_nobody(sticky: Network) -> None:
    sticky.ranges([V6], [{"subnet": "10.1.2.0/24"}])
    assert sticky.add(args=pod("web-0")) == f"2001:db8:1::a6:1be3 {WEB0}"
    assert sorted(path.name for path in sticky.directory.glob("last*")) == []


def test_several_ranges_of_a_set(sticky: Network) -> None:
    sticky.ranges([{"subnet": "10.1.2.0/29"}, {"subnet": "10.9.0.0/29"}])
    got = [sticky.add(f"c{n}", args=pod(f"pod-{n}")) for n in range(10)]
    assert len(set(got)) == 10
    own = place(RangeSet((*whole("10.1.2.0/29").ranges, *whole("10.9.0.0/29").ranges)), POD3)
    sticky.delete(f"c{got.index(str(own))}")
    assert sticky.add("c3-new", args=pod("pod-3")) == str(own)


POD3 = ("net", "shop", "pod-3")


@given(range_sets(), st.lists(st.text(), min_size=1, max_size=3))
def test_the_place_may_be_given_out(one: RangeSet, workload: Sequence[str]) -> None:
    may = allocatable(one)
    if not may:
        return
    found = place(one, tuple(workload))
    assert found in may
    (first, _), *_ = one.spans_from(found)
    assert first == int(found)


def test_hardly_anything_of_a_large_set_is_given_out() -> None:
    """A /8 of which 254 addresses are left, and a /64 without those places that are drawn."""
    many = [net(f"10.{n}.0.0/16") for n in range(255)]
    some = RangeSet(whole("10.0.0.0/8").ranges, (*many, net("10.255.0.0/17")))
    found = {place(some, ("net", f"pod-{n}")) for n in range(300)}
    assert len(found) > 290
    assert all(one in net("10.255.128.0/17") for one in found)
    far = RangeSet(whole("2001:db8::/64").ranges, (net("2001:db8::/104"),))
    next_places = net("2001:db8::100:0/104")
    assert all(place(far, ("net", f"pod-{n}")) in next_places for n in range(50))


# ---- with others -------------------------------------------------------------------------------


def test_many_at_once(sticky: Network) -> None:
    """Each gets one address, all that have a place to themselves get just that."""
    names = [f"pod-{n}" for n in range(20)]
    got = at_once([partial(sticky.add, name, args=pod(name)) for name in names])
    assert len(set(got)) == 20
    places = [str(place(whole("10.1.2.0/24"), ("net", "shop", name))) for name in names]
    alone = [n for n in range(20) if places.count(places[n]) == 1]
    assert len(alone) >= 14
    assert sum(got[n] == places[n] for n in alone) >= len(alone) - 3
    sticky.check_index(must_be_current=True)


def test_more_at_once_than_there_are_addresses(sticky: Network) -> None:
    def one(number: int) -> str:
        try:
            return sticky.add(f"c{number}", args=pod("web-0"))
        except PluginError as error:
            return error.msg

    sticky.ranges([{"subnet": "10.1.2.0/29"}])
    got = at_once([partial(one, n) for n in range(12)])
    assert sorted(text for text in got if text.startswith("10.")) == [
        f"10.1.2.{n}" for n in range(2, 7)
    ]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference suite is missing")
def test_the_reference_in_the_same_directory(sticky: Network) -> None:
    assert sticky.add("c1", args=pod("web-0")) == WEB0
    assert reference("ADD", sticky, "c2")["ips"][0]["address"] == "10.1.2.2/24"
    sticky.write("last_reserved_ip.0", "10.1.2.226")
    assert reference("ADD", sticky, "c3")["ips"][0]["address"] == "10.1.2.228/24"
    reference("DEL", sticky, "c1")
    assert sticky.add("c4", args=pod("web-0")) == WEB0
    reference("DEL", sticky, "c4")
    reference("ADD", sticky, "c5")
    assert set(sticky.held) == {"10.1.2.2", "10.1.2.228", "10.1.2.229"}


def test_behind_a_bridge(sticky: Network, host: Host, container: Namespace) -> None:
    """The interface's plugin hands the workload on."""
    host.share_bridge("cni0")
    host.share_locks()
    config = {**sticky.config, "type": "bridge"}
    for name in ("c1", "c2"):
        how: Document = {"container": name, "netns": container, "args": pod("web-0")}
        (one,) = sticky.runtime.add(config, **how)["ips"]
        assert one["address"] == f"{WEB0}/24"
        sticky.runtime.delete(config, **how)
    assert sticky.held == {}


def test_explain_tells_the_same_and_takes_nothing(sticky: Network) -> None:
    def explained() -> tuple[str, str]:
        environ = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "x",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": "/nowhere",
            "CNI_PATH": str(sticky.runtime.path),
            "CNI_ARGS": pod("web-0"),
        }
        call = read_call(environ, json.dumps(sticky.config).encode(), plugin=PLUGIN)
        (step,) = PLUGIN.explained(call).steps
        return step.name, step.why

    assert explained()[0] == WEB0
    assert "from the workload's own place on" in explained()[1]
    assert sticky.held == {}
    assert sticky.add(args=pod("web-0")) == WEB0
    assert explained()[0] == "10.1.2.228"


def test_status_of_a_full_set(sticky: Network) -> None:
    sticky.ranges([{"subnet": "10.1.2.0/29"}])
    sticky.ipam["reportExhaustion"] = True
    for n in range(5):
        sticky.status()
        sticky.add(f"c{n}", args=pod(f"pod-{n}"))
    assert "no IP addresses available" in sticky.fails("status").msg


# ---- cost --------------------------------------------------------------------------------------


def test_it_does_not_scan(sticky: Network) -> None:
    """30,000 addresses from the workload's place on are taken: one look at the index finds one."""
    sticky.ranges([{"subnet": "10.1.0.0/16"}])
    hold(sticky.directory, 60_000)
    sticky.delete("nobody")
    sticky.add("x", args=pod("web-0"))
    sticky.delete("x")
    calls, moved = work(lambda: sticky.add("x", args=pod("web-0")))
    assert "10.1.234.98" in sticky.held
    assert calls["listdir"] == calls["scandir"] == 0
    assert sum(calls.values()) < 60
    assert moved < 64 * 1024


def test_ipv6_addresses_share_pages_of_the_index(sticky: Network) -> None:
    places = {int(place(whole("2001:db8:1::/64"), ("net", f"pod-{n}"))) for n in range(2000)}
    assert len(places) >= 1999
    assert len({one >> 16 for one in places}) <= 256
