"""`bandwidth` on a real kernel: what ADD shapes, DEL lifts, CHECK finds and GC removes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE
from cni_bandwidth import names
from hostnet import tc
from tests.bandwidth.conftest import BOTH, MBIT, Limited
from tests.kit import sweep
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version, versions_since
from wiring.veth import host_veth

DEVICE = names.own("net/c1/eth0")
UNSHAPED: Document = {**BOTH, "unshapedSubnets": ["10.9.0.0/16", "fd00:9::/32", "0.0.0.0/0"]}
SHAPED: Document = {**BOTH, "shapedSubnets": ["10.9.0.0/16", "fd00:9::/33"]}


@each_version
def test_add_and_delete(version: str, limited: Limited) -> None:
    asked = limited.config(**BOTH, cniVersion=version, prevResult=limited.result(version))
    if version in ("0.1.0", "0.2.0"):
        # Their results name no interfaces: only a pair with a name of this suite's is found.
        asked["prevResult"] = {"ip4": {"ip": "10.0.0.2/24"}, "dns": {}}
        with pytest.raises(PluginError, match="no interface of the host") as caught:
            limited.add(asked)
        assert caught.value.code == INVALID_CONFIG
        limited.host.command("ip", "link", "set", limited.port, "down")
        limited.host.command("ip", "link", "set", limited.port, "name", host_veth("net/c1/eth0"))
        limited.port = host_veth("net/c1/eth0")
        limited.host.command("ip", "link", "set", limited.port, "up")
    result = limited.add(asked)
    assert limited.root().startswith("qdisc tbf 1: root")
    assert "rate 20Mbit burst 100000b" in limited.root()
    assert "lat 25ms" in limited.root()
    assert "rate 40Mbit burst 200000b" in limited.root(DEVICE)
    assert limited.hook() == DEVICE
    assert limited.devices == [DEVICE]
    ifb = limited.host.links()[DEVICE]
    assert (ifb["mtu"], ifb["txqlen"], "UP" in ifb["flags"]) == (1500, 1000, True)
    assert ifb["ifalias"] == "net/c1/eth0"
    if version in ("0.1.0", "0.2.0"):
        assert result == {"cniVersion": version, **asked["prevResult"]}
    else:
        told = result["interfaces"]
        assert [one["name"] for one in told] == ["cni0", limited.port, "eth0", DEVICE]
        assert told[3]["mac"] == ifb["address"]
        assert "sandbox" not in told[3]
        assert told[:3] == asked["prevResult"]["interfaces"]
    limited.delete(asked)
    assert limited.is_free()
    limited.delete(asked)


def test_a_previous_result_that_has_the_device_already(limited: Limited) -> None:
    asked = limited.config(**BOTH)
    asked["prevResult"] = limited.add(asked)
    limited.delete(asked)
    asked["prevResult"] = limited.add(asked)
    assert [one["name"] for one in asked["prevResult"]["interfaces"]].count(DEVICE) == 1
    limited.check(asked)
    limited.delete(asked)


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_check_in_every_version_that_has_it(version: str, limited: Limited) -> None:
    asked = limited.config(**BOTH, cniVersion=version, prevResult=limited.result(version))
    result = limited.add(asked)
    limited.check({**asked, "prevResult": result})
    limited.delete(asked)


@pytest.mark.parametrize(
    ("direction", "is_port_shaped", "is_redirected"),
    [("ingress", True, False), ("egress", False, True)],
)
def test_one_direction(
    direction: str, is_port_shaped: bool, is_redirected: bool, limited: Limited
) -> None:
    asked = limited.config(**{key: BOTH[key] for key in BOTH if key.startswith(direction)})
    result = limited.add(asked)
    assert ("tbf" in limited.root()) == is_port_shaped
    assert bool(limited.hook()) == bool(limited.devices) == is_redirected
    assert len(result["interfaces"]) == 3 + is_redirected
    limited.check({**asked, "prevResult": result})
    limited.delete(asked)
    assert limited.is_free()


def test_nothing_to_limit(limited: Limited) -> None:
    nothing: list[Document] = [
        {},
        {"ingressRate": 0, "ingressBurst": 0},
        {"runtimeConfig": {"bandwidth": {}}},
        {"unshapedSubnets": ["10.9.0.0/16"]},
    ]
    for keys in nothing:
        asked = limited.config(**keys)
        assert limited.add(asked) == asked["prevResult"]
        assert limited.is_free()
        limited.check(asked)
        limited.delete(asked)


def test_unshaped_subnets(limited: Limited) -> None:
    asked = limited.config(**UNSHAPED)
    result = limited.add(asked)
    for dev, rate, offsets in ((limited.port, "20Mbit", (12, 8)), (DEVICE, "40Mbit", (16, 24))):
        assert "htb 1: root" in limited.root(dev)
        assert "default 0x30" in limited.root(dev)
        classes = limited.tc("class", "show", "dev", dev)
        assert re.search(r"htb 1:30 root leaf [89a-f]\w{3}:", classes)  # the kernel counts up
        assert f"rate {rate} ceil {rate}" in classes
        assert "rate 800Gbit ceil 800Gbit" in classes
        filters = limited.tc("filter", "show", "dev", dev, "parent", "1:")
        assert filters.count("flowid 1:1") == 3
        assert f"match 0a090000/ffff0000 at {offsets[0]}" in filters
        assert f"match fd000009/ffffffff at {offsets[1]}" in filters
        assert "match 00000000/00000000 at 0" in filters
    queues = limited.tc("qdisc", "show", "dev", DEVICE, "invisible")
    assert "bfifo" in queues
    assert re.search(r"pfifo .* parent 1:1 limit 1000p", queues)  # what is not limited
    limited.check({**asked, "prevResult": result})
    limited.delete(asked)
    assert limited.is_free()


def test_shaped_subnets(limited: Limited) -> None:
    asked = limited.config(**SHAPED)
    result = limited.add(asked)
    for dev in (limited.port, DEVICE):
        assert "default 0x1 " in limited.root(dev)
        filters = limited.tc("filter", "show", "dev", dev, "parent", "1:")
        assert filters.count("flowid 1:30") == 2
        # Two words of an address of which 33 bits count.
        assert filters.count("match fd000009/ffffffff") == 1
        assert filters.count("match 00000000/80000000") == 1
    limited.check({**asked, "prevResult": result})
    limited.delete(asked)
    assert limited.is_free()


# What runtimes send for "no burst", what has none, and what is too small for one packet.
BURSTS: list[tuple[Document, int]] = [
    ({"ingressRate": 80 * MBIT, "ingressBurst": 2**31 - 1}, 1_000_000),
    ({"ingressRate": 80 * MBIT, "ingressBurst": 4294967295}, 1_000_000),
    ({"ingressRate": 80 * MBIT, "ingressBurst": 34359738359}, 1_000_000),
    ({"ingressRate": 80 * MBIT, "ingressBurst": 2**64 - 1}, 1_000_000),
    ({"ingressRate": 80 * MBIT}, 1_000_000),
    ({"ingressRate": 80 * MBIT, "ingressBurst": 8_000_000}, 1_000_000),
    ({"ingressRate": 80 * MBIT, "ingressBurst": 80}, 1518),
    ({"ingressRate": 64_000}, 3036),
    ({"ingressRate": 80 * MBIT, "ingressBurst": 2**31 - 8}, 2**28 - 1),
    ({"IngressRate": 80 * MBIT, "IngressBurst": 4294967295}, 1_000_000),
]


@pytest.mark.parametrize(("rates", "burst"), BURSTS)
def test_bursts(rates: Document, burst: int, limited: Limited) -> None:
    asked = limited.config(runtimeConfig={"bandwidth": rates})
    limited.add(asked)
    (found,) = limited.host.run(_bursts, limited.port)
    assert abs(found - burst) <= burst // 1000
    limited.check(asked)
    limited.delete(asked)
    assert limited.is_free()


def _bursts(port: str) -> list[int]:
    from hostnet import link
    from hostnet.netlink import Netlink

    with Netlink() as nl:
        found = tc.qdisc(nl, link.get(nl, port).index)
        return [] if found is None else [found.buffer * tc.TICK_NS * found.rate // 10**9]


@pytest.mark.parametrize("subnets", [[], ["10.9.0.0/16"]])
def test_very_slow(subnets: list[str], limited: Limited) -> None:
    """Bursts that take longer than 32 bits can say."""
    asked = limited.config(ingressRate=8, ingressBurst=2**31 - 8, shapedSubnets=subnets)
    limited.add(asked)
    limited.check(asked)
    limited.delete(asked)
    assert limited.is_free()


def test_very_fast(limited: Limited) -> None:
    """Beyond what 32 bits can say."""
    for keys in ({}, {"unshapedSubnets": ["10.9.0.0/16"]}):
        asked = limited.config(ingressRate=400_000 * MBIT, egressRate=2**63, **keys)
        result = limited.add(asked)
        assert "400Gbit" in limited.root() + limited.tc("class", "show", "dev", limited.port)
        limited.check({**asked, "prevResult": result})
        limited.delete(asked)
    assert limited.is_free()


SOURCES: list[tuple[Document, str]] = [
    ({"runtimeConfig": {"bandwidth": {"ingressRate": 8 * MBIT}}}, "8Mbit"),
    ({"runtimeConfig": {"bandWidth": {"IngressRate": 8 * MBIT}}}, "8Mbit"),
    (
        {"ingressRate": 16 * MBIT, "runtimeConfig": {"bandwidth": {"ingressRate": 8 * MBIT}}},
        "16Mbit",
    ),
    (
        {"egressRate": 16 * MBIT, "runtimeConfig": {"bandwidth": {"ingressRate": 8 * MBIT}}},
        "noqueue",
    ),
]


@pytest.mark.parametrize(("keys", "expected"), SOURCES)
def test_the_config_goes_before_the_runtime(
    keys: Document, expected: str, limited: Limited
) -> None:
    asked = limited.config(**keys)
    limited.add(asked)
    assert expected in limited.root()
    limited.check(asked)
    limited.delete(asked)
    assert limited.is_free()


def test_subnets_of_the_config_with_rates_of_the_runtime(limited: Limited) -> None:
    runtime: Document = {"bandwidth": {"ingressRate": 8 * MBIT}}
    own = limited.config(unshapedSubnets=["10.9.0.0/16"], runtimeConfig=runtime)
    limited.add(own)
    assert "htb" in limited.root()
    limited.check(own)
    limited.delete(own)
    other: Document = {"bandwidth": {**runtime["bandwidth"], "shapedSubnets": ["10.8.0.0/16"]}}
    theirs = limited.config(unshapedSubnets=["10.9.0.0/16"], runtimeConfig=other)
    limited.add(theirs)
    filters = limited.tc("filter", "show", "dev", limited.port, "parent", "1:")
    assert "match 0a080000/ffff0000" in filters
    assert filters.count("match") == 1
    limited.delete(theirs)
    assert limited.is_free()


# ---- check -------------------------------------------------------------------------------------


MUTATIONS = [
    ("tc qdisc delete dev port0 root", "port0 has the queueing discipline noqueue, expected tbf"),
    (
        "tc qdisc replace dev port0 root handle 1: tbf rate 21mbit burst 100000 limit 162500",
        "port0 has the rate 21000000 bit/s, expected 20000000",
    ),
    (
        "tc qdisc replace dev port0 root handle 1: tbf rate 20mbit burst 120000 limit 162500",
        "port0 has a burst of 960000 bits, expected 800000",
    ),
    (
        "tc qdisc replace dev port0 root handle 1: tbf rate 20mbit burst 100000 limit 999",
        "port0 lets 999 bytes wait, expected 162500",
    ),
    (f"tc qdisc delete dev {DEVICE} root", f"{DEVICE} has the queueing discipline"),
    ("tc qdisc delete dev port0 ingress", f"comes in at port0 is not redirected to {DEVICE}"),
    ("tc filter delete dev port0 ingress", f"comes in at port0 is not redirected to {DEVICE}"),
    (f"ip link set {DEVICE} down", f"host interface {DEVICE} is down"),
    (f"ip link set {DEVICE} mtu 1400", f"{DEVICE} has the MTU 1400, expected 1500"),
    (f"ip link delete {DEVICE}", f"host interface {DEVICE} does not exist"),
    ("ip link set port0 name port9", "no interface of the host that is the veth peer of eth0"),
]


@pytest.mark.parametrize(("command", "words"), MUTATIONS, ids=lambda one: one[:60])
def test_check_names_each_mutation(command: str, words: str, limited: Limited) -> None:
    asked = limited.config(**BOTH)
    asked["prevResult"] = limited.add(asked)
    limited.check(asked)
    if " name " in command:
        limited.host.command("ip", "link", "set", "port0", "down")
        limited.port = "port9"
    limited.host.command(*command.split())
    limited.host.command("ip", "link", "set", limited.port, "up")
    with pytest.raises(PluginError) as caught:
        limited.check(asked)
    assert caught.value.code == CHECK_FAILED
    assert words in caught.value.msg
    assert ";" not in caught.value.msg
    asked["prevResult"]["interfaces"][1]["name"] = limited.port
    limited.delete(asked)
    assert limited.is_free()


CLASS_MUTATIONS = [
    ("qdisc replace dev port0 root handle 1: htb default 30", "lacks the class 1:30"),
    ("qdisc change dev port0 root handle 1: htb default 1", "default class 1:1, expected 1:30"),
    ("class change dev port0 classid 1:30 htb rate 21mbit", "rate 21000000 bit/s, expected 20"),
    (
        "class change dev port0 classid 1:30 htb rate 20mbit burst 90000",
        "class 1:30 of interface port0 has a burst of 720000 bits, expected 800000",
    ),
    ("qdisc delete dev port0 parent 1:30", "port0 lets 0 bytes wait, expected 162500"),
    ("qdisc replace dev port0 parent 1:30 bfifo limit 999", "lets 999 bytes wait, expected 162500"),
    ("class change dev port0 classid 1:1 htb rate 1mbit", "lacks the class 1:1 of what is not"),
    ("filter delete dev port0 parent 1: prio 16", "has 1 of the 3 filters for subnets, and 0 oth"),
    (
        "filter add dev port0 parent 1: protocol ip prio 16 u32 match u32 1 1 flowid 1:1",
        "has 3 of the 3 filters for subnets, and 1 others",
    ),
]


@pytest.mark.parametrize(("command", "words"), CLASS_MUTATIONS, ids=lambda one: one[:60])
def test_check_looks_at_classes_and_filters(command: str, words: str, limited: Limited) -> None:
    asked = limited.config(**{key: UNSHAPED[key] for key in UNSHAPED if "egress" not in key})
    limited.add(asked)
    limited.check(asked)
    if "replace dev port0 root" in command:
        limited.host.command("tc", "qdisc", "delete", "dev", "port0", "root")
    if "default 1" in command:  # which cannot be changed on one that is there
        limited.host.command("tc", "qdisc", "delete", "dev", "port0", "root")
        command = command.replace("change", "add")
    limited.host.command("tc", *command.split())
    with pytest.raises(PluginError) as caught:
        limited.check(asked)
    assert caught.value.code == CHECK_FAILED
    assert words in caught.value.msg
    limited.delete(asked)
    assert limited.is_free()


def test_check_and_add_need_the_previous_result(limited: Limited) -> None:
    for verb in ("ADD", "CHECK"):
        with pytest.raises(PluginError, match='key "prevResult"') as caught:
            limited.runtime.call(verb, limited.config(prevResult=None, **BOTH), netns=limited.ns)
        assert caught.value.code == INVALID_CONFIG


# ---- what is in the way, what is gone ----------------------------------------------------------


def test_what_somebody_else_has_put_there_stays(limited: Limited) -> None:
    tbf = ("root", "handle", "7:", "tbf", "rate", "1mbit", "burst", "10kb", "latency", "9ms")
    for words, delete in ((tbf, "root"), (("ingress",), "ingress"), (("clsact",), "clsact")):
        limited.host.command("tc", "qdisc", "add", "dev", "port0", *words)
        with pytest.raises(PluginError, match="port0 has a queueing discipline already") as caught:
            limited.add(limited.config(**BOTH))
        assert caught.value.code == IN_THE_WAY
        assert not limited.devices
        assert limited.root().startswith("qdisc tbf 7:" if delete == "root" else "qdisc noqueue")
        limited.delete(limited.config(**BOTH))
        assert "tbf 7:" in limited.root() or delete != "root"
        limited.host.command("tc", "qdisc", "delete", "dev", "port0", delete)
    assert limited.is_free()


@pytest.mark.parametrize("keys", [BOTH, UNSHAPED], ids=["tbf", "htb"])
def test_whatever_goes_wrong_once(keys: Document, limited: Limited) -> None:
    asked = limited.config(**keys)
    results: list[Document] = []

    def add() -> None:
        results.append(limited.add(asked))

    def delete() -> None:
        limited.delete(asked)

    def finish() -> None:
        limited.check({**asked, "prevResult": results.pop()})
        delete()

    assert sweep.add(add, finish, limited.is_free) > 15
    sweep.delete(add, delete, limited.is_free)
    sweep.killed(lambda: None, add, delete, limited.is_free)
    sweep.killed(add, delete, delete, limited.is_free)


def test_a_second_add_is_refused_and_leaves_the_first(limited: Limited) -> None:
    asked = limited.config(**BOTH)
    egress = limited.config(egressRate=MBIT)
    asked["prevResult"] = limited.add(asked)
    for again in (asked, egress):
        with pytest.raises(PluginError, match="DEL") as caught:
            limited.add(again)
        assert caught.value.code == IN_THE_WAY
        limited.check(asked)
    limited.delete(asked)
    assert limited.is_free()


@pytest.mark.parametrize(
    "interfaces",
    [
        [],
        [{"name": "cni0"}, {"name": "eth0", "sandbox": "here"}],
        [{"name": "port0", "sandbox": "here"}],
        [{"name": "lo"}],
        [{"name": "nowhere"}],
    ],
)
def test_results_without_the_host_end(interfaces: Any, limited: Limited) -> None:
    previous = {**limited.result(), "interfaces": interfaces, "ips": []}
    with pytest.raises(PluginError, match=r'"prevResult.interfaces"') as caught:
        limited.add(limited.config(**BOTH, prevResult=previous))
    assert caught.value.code == INVALID_CONFIG
    assert limited.is_free()


def test_an_interface_that_is_no_pair(limited: Limited) -> None:
    limited.ns.command("ip", "link", "add", "eth5", "type", "bridge")
    for ifname in ("eth5", "eth6"):
        with pytest.raises(PluginError, match=f"veth peer of {ifname}") as caught:
            limited.add(limited.config(**BOTH), ifname=ifname)
        assert caught.value.code == INVALID_CONFIG
    limited.ns.command("ip", "link", "delete", "eth5")


def test_delete_without_a_namespace_and_before_add(limited: Limited) -> None:
    asked = limited.config(**BOTH)
    limited.delete(asked)
    limited.delete(asked, netns="")
    limited.delete({"cniVersion": "1.1.0", "name": "net", "type": "bandwidth"}, netns="")
    limited.add(asked)
    bare: Document = {"cniVersion": "1.1.0", "name": "net", "type": "bandwidth", "ingressRate": "x"}
    limited.delete(bare, netns="")
    assert not limited.devices
    limited.delete(asked)
    assert limited.is_free()


def test_delete_when_the_pair_is_gone(limited: Limited) -> None:
    asked = limited.config(**BOTH)
    limited.add(asked)
    limited.close()
    limited.delete(asked)
    assert not limited.devices
    limited.host.command("ip", "link", "add", "port0", "type", "bridge")


def test_two_interfaces_of_one_container(
    limited: Limited, host: Host, runtime: Runtime, container: Namespace
) -> None:
    second = Limited(host, runtime, container, ifname="eth1", number=1)
    one, two = limited.config(**BOTH), second.config(**BOTH)
    one["prevResult"], two["prevResult"] = limited.add(one), second.add(two)
    assert limited.devices == sorted([DEVICE, names.own("net/c1/eth1")])
    limited.check(one)
    second.check(two)
    limited.delete(one)
    limited.delete(one)
    second.check(two)
    one["prevResult"] = limited.add({**one, "prevResult": limited.result()})
    second.delete(two)
    limited.check(one)
    limited.delete(one)
    assert limited.is_free()
    second.close()


def test_gc_removes_what_is_not_valid(
    limited: Limited, host: Host, runtime: Runtime, container: Namespace
) -> None:
    second = Limited(host, runtime, container, ifname="eth1", number=1)
    host.command("ip", "link", "add", "foreign", "type", "ifb")
    limited.add(limited.config(**BOTH))
    second.add(second.config(**BOTH, name="other"))
    runtime.gc(limited.config(**BOTH), [("c1", "eth0")])
    assert len(limited.devices) == 3
    runtime.gc(limited.config(ingressRate=[]), [("c1", "eth1")])
    assert limited.devices == sorted(["foreign", names.own("other/c1/eth1")])
    runtime.gc(limited.config(name="other"), [])
    assert limited.devices == ["foreign"]
    host.command("ip", "link", "delete", "foreign")
    second.close()


def test_status(runtime: Runtime, limited: Limited) -> None:
    runtime.status(limited.config(**BOTH))
    runtime.status(limited.config())
    with pytest.raises(PluginError, match="ingressRate") as caught:
        runtime.status(limited.config(ingressRate="x"))
    assert caught.value.code == NOT_AVAILABLE


# ---- with the reference ------------------------------------------------------------------------


def test_what_the_reference_has_added(limited: Limited) -> None:
    asked = limited.config(**BOTH)
    told = limited.reference("ADD", asked)
    assert told
    device = told["interfaces"][3]["name"]
    assert limited.devices == [device]
    limited.check({**asked, "prevResult": told})
    limited.delete({**asked, "prevResult": told})
    assert limited.is_free()
    limited.reference("ADD", asked)
    limited.delete(asked, netns="")
    assert not limited.devices


def test_the_references_device_of_another_interface_stays(
    limited: Limited, host: Host, runtime: Runtime, container: Namespace
) -> None:
    second = Limited(host, runtime, container, ifname="eth1", number=1)
    limited.reference("ADD", limited.config(**BOTH))
    two = second.config(**BOTH)
    two["prevResult"] = second.add(two)
    second.check(two)
    second.delete(two)
    second.delete(two)
    assert limited.hook() in limited.devices
    limited.delete(limited.config(**BOTH))
    assert limited.is_free()
    second.close()


def test_the_reference_deletes_ours(limited: Limited) -> None:
    asked = limited.config(**BOTH)
    limited.add(asked)
    limited.reference("CHECK", asked)
    limited.reference("DEL", asked)
    assert not limited.devices


def test_through_bridge(host: Host, runtime: Runtime, container: Namespace) -> None:
    host.share_bridge("cni0")
    bridge: Document = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "isGateway": True,
        "ipam": {"type": "static", "addresses": [{"address": "10.9.0.2/24"}]},
    }
    shaping: Document = {"cniVersion": "1.1.0", "name": "net", "type": "bandwidth", **BOTH}
    first = runtime.add(bridge, netns=container)
    second = runtime.add({**shaping, "prevResult": first}, netns=container)
    runtime.check(bridge, second, netns=container)
    runtime.check(shaping, second, netns=container)
    assert DEVICE in host.links()
    runtime.delete(shaping)
    runtime.delete(bridge)
    assert host.links().keys() == {"lo", "cni0"}
    host.command("ip", "link", "delete", "cni0")
