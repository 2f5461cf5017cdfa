"""`sbr` on a real kernel: rules and tables, what comes of routes, and what CHECK finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE, SYSTEM
from tests.kit import sweep
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version, versions_since
from tests.sbr.conftest import Sourced

FOUR = [
    "default via 10.1.0.1",
    "10.1.0.0/24 proto kernel scope link src 10.1.0.2",
]
SIX = [
    "fd00:1::/64 proto kernel metric 256 pref medium",
    "default via fd00:1::1 metric 1024 pref medium",
]


@each_version
def test_add_and_delete(version: str, sourced: Sourced) -> None:
    previous = sourced.result(version=version)
    if version in ("0.1.0", "0.2.0"):
        previous = {
            "ip4": {"ip": "10.1.0.2/24", "gateway": "10.1.0.1"},
            "ip6": {"ip": "fd00:1::2/64", "gateway": "fd00:1::1"},
            "dns": {},
        }
    asked = sourced.config(cniVersion=version, prevResult=previous)
    result = sourced.add(asked)
    assert sourced.rules() == {"10.1.0.2": "100", "fd00:1::2": "101"}
    assert sourced.routes("100") == FOUR
    assert sourced.routes("101") == SIX
    assert sourced.routes() == []
    assert sourced.leaves_by("192.0.2.1", "10.1.0.2") == "net1 via 10.1.0.1"
    assert sourced.leaves_by("192.0.2.1") == "eth0 via 10.0.0.1"
    assert sourced.leaves_by("2001:db8::1", "fd00:1::2") == "net1 via fd00:1::1"
    assert sourced.leaves_by("2001:db8::1") == "eth0 via fd00::1"
    if version in ("0.1.0", "0.2.0"):
        assert result == {"cniVersion": version, **previous}
    else:
        assert [one["address"] for one in result["ips"]] == ["10.1.0.2/24", "fd00:1::2/64"]
        told = [(one["dst"], one.get("gw"), one["table"]) for one in result["routes"]]
        assert sorted(told) == [
            ("0.0.0.0/0", "10.1.0.1", 100),
            ("10.1.0.0/24", None, 100),
            ("::/0", "fd00:1::1", 101),
            ("fd00:1::/64", None, 101),
        ]
    sourced.delete(asked)
    assert sourced.rules() == {}
    sourced.delete(asked)


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_check_in_every_version_that_has_it(version: str, sourced: Sourced) -> None:
    asked = sourced.config(cniVersion=version, prevResult=sourced.result(version=version))
    asked["prevResult"] = sourced.add(asked)
    sourced.check(asked)
    sourced.delete(asked)


def test_tables_that_are_used_are_passed_over(sourced: Sourced) -> None:
    sourced.ns.command("ip", "rule", "add", "from", "10.9.9.9", "table", "100")
    sourced.ns.command("ip", "-6", "rule", "add", "from", "fd00:9::9", "table", "102")
    sourced.ns.command("ip", "route", "add", "10.9.0.0/16", "dev", "eth0", "table", "101")
    asked = sourced.config()
    sourced.add(asked)
    sources = {"10.9.9.9": "100", "fd00:9::9": "102"}
    assert sourced.rules() == {**sources, "10.1.0.2": "103", "fd00:1::2": "104"}
    sourced.delete(asked)
    assert sourced.rules() == sources
    sourced.ns.command("ip", "rule", "delete", "from", "10.9.9.9")
    sourced.ns.command("ip", "-6", "rule", "delete", "from", "fd00:9::9")


def test_routes_go_where_their_gateway_is(sourced: Sourced) -> None:
    ns = sourced.ns
    ns.command("ip", "address", "add", "10.1.9.2/24", "dev", "net1")
    for words in (
        "default via 10.1.9.1 dev net1 metric 7 mtu 1400",
        "10.5.0.0/16 via 10.1.9.5 dev net1",
        "10.6.0.0/16 via 10.1.0.6 dev net1",
        "10.7.0.0/16 dev net1 scope link",
        "10.8.0.0/16 via 10.99.0.1 dev net1 onlink",
    ):
        ns.command("ip", "route", "add", *words.split())
    ns.command("ip", "-6", "route", "add", "fd00:5::/64", "via", "fe80::1", "dev", "net1")
    asked = sourced.config(
        prevResult=sourced.result(
            "10.1.0.2/24 10.1.0.1",
            "10.1.9.2/24 10.1.9.1",
            "fd00:1::2/64",
            routes=[{"dst": "10.5.0.0/16", "gw": "10.1.9.5"}, {"dst": "10.7.0.0/16", "scope": 253}],
        )
    )
    result = sourced.add(asked)
    assert sourced.rules() == {"10.1.0.2": "100", "10.1.9.2": "101", "fd00:1::2": "102"}
    assert sourced.routes("100") == [
        "default via 10.1.0.1",
        "10.1.0.0/24 proto kernel scope link src 10.1.0.2",
        "10.6.0.0/16 via 10.1.0.6",
        "10.7.0.0/16 scope link",
        "10.8.0.0/16 via 10.99.0.1 onlink",
    ]
    assert sourced.routes("101") == [
        "default via 10.1.9.1 metric 7 mtu 1400",
        "10.1.9.0/24 proto kernel scope link src 10.1.9.2",
        "10.5.0.0/16 via 10.1.9.5",
        "10.7.0.0/16 scope link",
        "10.8.0.0/16 via 10.99.0.1 onlink",
    ]
    assert sourced.routes("102") == [
        "fd00:1::/64 proto kernel metric 256 pref medium",
        "fd00:5::/64 via fe80::1 metric 1024 pref medium",
    ]
    assert sourced.routes() == []
    assert {one["table"] for one in result["routes"] if one["dst"] == "10.7.0.0/16"} == {100, 101}
    assert {one["table"] for one in result["routes"]} == {100, 101, 102}
    sourced.check({**asked, "prevResult": result})
    sourced.delete(asked)


def test_link_local_destinations_stay_too(sourced: Sourced) -> None:
    sourced.ns.command("ip", "-6", "address", "add", "fe80::2/64", "dev", "net1", "nodad")
    asked = sourced.config()
    result = sourced.add(asked)
    fe80 = "fe80::/64 proto kernel metric 256 pref medium"
    assert sourced.routes() == [fe80]
    assert fe80 in sourced.routes("101")
    assert "fe80::/64" not in {one["dst"] for one in result["routes"]}
    sourced.check({**asked, "prevResult": result})
    sourced.delete(asked)


def test_a_default_route_that_two_interfaces_share(sourced: Sourced) -> None:
    words = "default via fd00:1::9 dev net1 metric 1024"
    sourced.ns.command("ip", "-6", "route", "append", *words.split())
    asked = sourced.config()
    sourced.add(asked)
    assert sourced.leaves_by("2001:db8::1") == "eth0 via fd00::1"
    assert sourced.routes("101")[1] == "default via fd00:1::9 metric 1024 pref medium"
    sourced.delete(asked)


def test_two_interfaces_each_by_its_source(sourced: Sourced) -> None:
    first, second = sourced.config(), sourced.config()
    second["prevResult"] = {
        **sourced.result("10.0.0.2/24 10.0.0.1"),
        "interfaces": [{"name": "port0"}, {"name": "eth0", "sandbox": str(sourced.ns)}],
    }
    first["prevResult"] = sourced.add(first)
    second["prevResult"] = sourced.add(second, ifname="eth0")
    assert sourced.rules() == {"10.1.0.2": "100", "fd00:1::2": "101", "10.0.0.2": "102"}
    sourced.check(first)
    sourced.check(second, ifname="eth0")
    sourced.delete(first)
    assert sourced.rules() == {"10.0.0.2": "102"}
    sourced.delete(second, ifname="eth0")


# ---- keys --------------------------------------------------------------------------------------


def test_a_table_of_the_config(sourced: Sourced) -> None:
    asked = sourced.config(table=70_000, prevResult=sourced.result(routes=[{"dst": "10.5.0.0/16"}]))
    assert sourced.add(asked) == asked["prevResult"]
    assert sourced.rules() == {"10.1.0.2": "70000", "fd00:1::2": "70000"}
    assert sourced.routes() == sourced.before
    sourced.check(asked)
    sourced.ns.command("ip", "rule", "add", "from", "10.1.0.2", "table", "5")
    sourced.delete(asked)
    assert sourced.rules() == {"10.1.0.2": "5"}
    sourced.delete(sourced.config())
    assert sourced.is_as_before()


def test_gateways_of_the_config(sourced: Sourced) -> None:
    sourced.ns.command("ip", "route", "add", "default", "via", "10.1.0.1", "metric", "5")
    asked = sourced.config(gateways=["10.1.0.77", "fd00:1::77"])
    asked["prevResult"] = sourced.add(asked)
    assert sourced.routes("100")[0] == "default via 10.1.0.77"
    assert len(sourced.routes("100")) == 2
    assert sourced.routes("101")[1] == "default via fd00:1::77 metric 1024 pref medium"
    sourced.check(asked)
    sourced.delete(asked)


def test_addresses_without_a_gateway(sourced: Sourced) -> None:
    asked = sourced.config(prevResult=sourced.result("10.1.0.2/24", "fd00:1::2/64"))
    sourced.add(asked)
    assert sourced.routes("100") == FOUR[1:]
    assert sourced.routes("101") == SIX[:1]
    sourced.delete(asked)


def test_source_hints(sourced: Sourced) -> None:
    ns = sourced.ns
    ns.command("ip", "address", "add", "10.1.0.3/24", "dev", "net1")
    ns.command("ip", "route", "add", "10.5.0.0/16", "via", "10.1.0.5")
    ns.command("ip", "route", "add", "10.6.0.0/16", "dev", "net1")
    asked = sourced.config(
        addSourceHints=True,
        prevResult=sourced.result(
            "10.1.0.2/24 10.1.0.1",
            "10.1.0.3/24 10.1.0.1",
            "fd00:1::2/64 fd00:1::1",
            routes=[{"dst": "10.6.0.0/16", "scope": 253}, {"dst": "10.5.0.0/16"}],
        ),
    )
    asked["prevResult"] = sourced.add(asked)
    assert sourced.routes() == [
        "10.1.0.0/24 proto kernel scope link src 10.1.0.2",
        "10.6.0.0/16 scope link",
        "fd00:1::/64 src fd00:1::2 metric 256 pref medium",
    ]
    assert sourced.routes("100")[0] == "default via 10.1.0.1"
    told = [one for one in asked["prevResult"]["routes"] if one.get("table", 254) == 254]
    assert told == [{"dst": "10.6.0.0/16", "scope": 253}]
    sourced.check(asked)
    ns.command("ip", "route", "add", "10.5.0.0/16", "via", "10.1.0.5")
    with pytest.raises(PluginError, match=r"main table has a route to 10\.5\.0\.0/16 out of net1"):
        sourced.check(asked)
    ns.command("ip", "route", "delete", "10.5.0.0/16")
    ns.command("ip", "-6", "route", "delete", "fd00:1::/64", "dev", "net1")
    with pytest.raises(PluginError, match="lacks the route to fd00:1::/64 with the source fd00:1"):
        sourced.check(asked)
    sourced.delete(asked)


NO_TABLE: list[Any] = ["100", True, 1.5, -1, 0, 2**32, [], {}]
NO_SWITCH: list[Any] = [0, 1, "true", [], {}]
NO_LIST: list[Any] = [5, True, "10.1.0.1", {}]
NO_GATEWAY: list[Any] = [5, None, "", "x", "10.1.0.2", "10.1.0.1/24", "fe80::1%eth0", []]
WRONG: list[tuple[str, Any, str]] = [
    *(("table", value, "table") for value in NO_TABLE),
    *(("addSourceHints", value, "addSourceHints") for value in NO_SWITCH),
    *(("gateways", value, "gateways") for value in NO_LIST),
    *(("gateways", ["10.1.0.1", value], "gateways[1]") for value in NO_GATEWAY),
]


@pytest.mark.parametrize(("key", "value", "place"), WRONG)
def test_wrong_values_are_named(key: str, value: Any, place: str, tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    asked: Document = {"cniVersion": "1.1.0", "name": "net", "type": "sbr", key: value}
    here = {"netns": "/proc/thread-self/ns/net", "environ": {"CNI_NETNS_OVERRIDE": "1"}}
    with pytest.raises(PluginError) as caught:
        runtime.add(asked, **here)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "{place}"' in caught.value.msg
    assert "expected" in caught.value.msg
    with pytest.raises(PluginError) as caught:
        runtime.status(asked)
    assert caught.value.code == NOT_AVAILABLE
    runtime.delete(asked)
    runtime.gc(asked, [])


def test_previous_results_it_can_do_nothing_with(sourced: Sourced) -> None:
    other = {**sourced.result(), "interfaces": [{"name": "a"}, {"name": "b"}]}
    for previous, words in (
        (None, 'key "prevResult"'),
        ({"cniVersion": "1.1.0"}, "no IP addresses supplied on interface net1"),
        (other, "no IP addresses supplied on interface net1"),
    ):
        for verb in ("ADD", "CHECK"):
            with pytest.raises(PluginError, match=words) as caught:
                sourced.runtime.call(
                    verb, sourced.config(prevResult=previous), netns=sourced.ns, ifname="net1"
                )
            assert caught.value.code == INVALID_CONFIG
    assert sourced.is_as_before()


def test_an_interface_that_is_not_there(sourced: Sourced) -> None:
    previous = {**sourced.result(), "interfaces": [{"name": "x"}, {"name": "net7"}]}
    with pytest.raises(PluginError, match="net7") as caught:
        sourced.add(sourced.config(prevResult=previous), ifname="net7")
    assert caught.value.code == SYSTEM
    assert sourced.is_as_before()


def test_status(runtime: Runtime) -> None:
    asked: Document = {"cniVersion": "1.1.0", "name": "net", "type": "sbr"}
    for keys in ({}, {"table": 100}, {"gateways": ["10.1.0.1", "::1"], "addSourceHints": True}):
        runtime.status({**asked, **keys})


# ---- failures, and what is gone ----------------------------------------------------------------


def test_a_failed_add_leaves_nothing(sourced: Sourced) -> None:
    ns = sourced.ns
    ns.command("ip", "route", "add", "10.5.0.0/16", "via", "10.1.0.5")
    sourced.before = sourced.routes()
    # The gateway of the last address is on no link.
    for gateway in ("10.77.0.1", "fd00:77::1"):
        last = "10.1.0.2/24" if "." in gateway else "fd00:1::2/64"
        first = "fd00:1::2/64 fd00:1::1" if "." in gateway else "10.1.0.2/24 10.1.0.1"
        asked = sourced.config(prevResult=sourced.result(first, f"{last} {gateway}"))
        ns.command("ip", "route", "delete", "default")
        ns.command("ip", "-6", "route", "delete", "default")
        with pytest.raises(PluginError, match=f"via {gateway}") as caught:
            sourced.add(asked)
        assert caught.value.code == SYSTEM
        assert sourced.is_as_before()
        for family, via in (("-4", "10.0.0.1"), ("-6", "fd00:0::1")):
            ns.command("ip", family, "route", "add", "default", "via", via)


def test_a_failure_after_the_routes_were_moved(sourced: Sourced) -> None:
    """The second address is one that the interface does not have, and cannot be a source."""
    asked = sourced.config(
        addSourceHints=True,
        prevResult=sourced.result("10.1.0.2/24 10.1.0.1", "fd00:8::2/64 fd00:1::1"),
    )
    with pytest.raises(PluginError, match="fd00:8::/64"):
        sourced.add(asked)
    assert sourced.is_as_before()


@pytest.mark.parametrize("keys", [{}, {"addSourceHints": True}, {"table": 500}], ids=str)
def test_whatever_goes_wrong_once(keys: Document, sourced: Sourced) -> None:
    sourced.ns.command("ip", "route", "add", "10.5.0.0/16", "via", "10.1.0.5")
    sourced.ns.command("ip", "rule", "add", "from", "10.1.0.2", "table", "9")
    asked = sourced.config(**keys)
    results: list[Document] = []

    def add() -> None:
        results.append(sourced.add(asked))

    def finish() -> None:
        sourced.check({**asked, "prevResult": results.pop()})
        sourced.delete(asked)
        sourced.put_back()
        sourced.ns.command("ip", "route", "add", "10.5.0.0/16", "via", "10.1.0.5")
        assert sourced.rules() == {}
        sourced.ns.command("ip", "rule", "add", "from", "10.1.0.2", "table", "9")

    assert sweep.add(add, finish, sourced.state) > 6
    sourced.ns.command("ip", "rule", "delete", "from", "10.1.0.2")


def test_a_killed_call_is_cleaned_up(sourced: Sourced) -> None:
    asked = sourced.config()
    rules = sourced.rules
    sweep.killed(
        sourced.put_back,
        lambda: sourced.add(asked),
        lambda: sourced.delete(asked),
        rules,
    )

    def add() -> None:
        sourced.put_back()
        sourced.add(asked)

    sweep.killed(add, lambda: sourced.delete(asked), lambda: sourced.delete(asked), rules)
    sweep.delete(add, lambda: sourced.delete(asked), rules)


def test_a_second_add_is_refused(sourced: Sourced) -> None:
    asked = sourced.config()
    asked["prevResult"] = sourced.add(asked)
    for again in (asked, sourced.config(table=100)):
        with pytest.raises(PluginError, match=r"10\.1\.0\.2/32 have a rule") as caught:
            sourced.add(again)
        assert caught.value.code == IN_THE_WAY
        sourced.check(asked)
    sourced.delete(asked)


def test_rules_that_a_former_interface_has_left(sourced: Sourced) -> None:
    sourced.ns.command("ip", "rule", "add", "from", "10.1.0.2", "table", "500")
    asked = sourced.config()
    sourced.add(asked)
    assert sourced.rules()["10.1.0.2"] == "100"
    sourced.delete(asked)
    assert sourced.rules() == {}


def test_delete_without_a_namespace_before_add_and_without_the_interface(sourced: Sourced) -> None:
    asked = sourced.config()
    sourced.delete(asked)
    sourced.delete(asked, netns="")
    sourced.delete(asked, netns="/run/netns/nowhere")
    sourced.add(asked)
    sourced.delete({"cniVersion": "1.1.0", "name": "net", "type": "sbr", "table": "x"})
    assert sourced.rules() == {}
    sourced.ns.command("ip", "rule", "add", "from", "10.1.0.2", "table", "100")
    sourced.delete(asked, ifname="gone")
    assert sourced.rules() == {"10.1.0.2": "100"}  # of another interface, for all it knows
    for words in (("down",), ("name", "net2")):
        sourced.ns.command("ip", "link", "set", "net1", *words)
    sourced.delete(asked)
    assert sourced.rules() == {}
    sourced.delete(asked)


MUTATIONS = [
    ("-4 rule delete from 10.1.0.2", "lacks the rule that leads from 10.1.0.2/32 to a table"),
    ("-6 rule delete from fd00:1::2", "lacks the rule that leads from fd00:1::2/128"),
    ("-4 route delete default table 100", "lacks the route to 0.0.0.0/0 via 10.1.0.1"),
    ("-4 route replace default via 10.1.0.9 table 100", "0.0.0.0/0 via 10.1.0.1, found one via"),
    ("-6 route delete default table 101", "lacks the route to ::/0 via fd00:1::1"),
    ("-4 route delete 10.1.0.0/24 table 100", "lacks the route to 10.1.0.0/24"),
    ("-4 route add 10.1.0.0/24 dev net1", "main table has a route to 10.1.0.0/24 out of net1"),
    ("-6 route add fd00:7::/64 dev net1", "main table has a route to fd00:7::/64 out of net1"),
    ("link set net1 name net2", "interface net1 does not exist"),
]


@pytest.mark.parametrize(("command", "words"), MUTATIONS, ids=lambda one: one[:50])
def test_check_names_each_mutation(command: str, words: str, sourced: Sourced) -> None:
    asked = sourced.config()
    asked["prevResult"] = sourced.add(asked)
    sourced.check(asked)
    if "net2" in command:
        sourced.ns.command("ip", "link", "set", "net1", "down")
    sourced.ns.command("ip", *command.split())
    with pytest.raises(PluginError) as caught:
        sourced.check(asked)
    assert caught.value.code == CHECK_FAILED
    assert words in caught.value.msg
    if "rule" not in command:
        assert ";" not in caught.value.msg
    sourced.delete(asked)
    assert sourced.rules() == {}


def test_check_of_a_rule_that_leads_elsewhere(sourced: Sourced) -> None:
    asked = sourced.config(table=500)
    sourced.add(asked)
    with pytest.raises(PluginError, match=r"10\.1\.0\.2/32 leads to table 500, expected table 501"):
        sourced.check({**asked, "table": 501})
    sourced.delete(asked)


# ---- with the reference, and behind other plugins ----------------------------------------------


def test_each_deletes_what_the_other_has_added(sourced: Sourced) -> None:
    asked = sourced.config(cniVersion="1.0.0", prevResult=sourced.result(version="1.0.0"))
    sourced.reference("ADD", asked)
    assert sourced.rules() == {"10.1.0.2": "100", "fd00:1::2": "101"}
    assert {*FOUR, *SIX} == {*sourced.routes("100"), *sourced.routes("101")}
    sourced.delete(asked)
    assert sourced.rules() == {}


def test_the_reference_deletes_ours(sourced: Sourced) -> None:
    asked = sourced.config(cniVersion="1.0.0", prevResult=sourced.result(version="1.0.0"))
    sourced.add(asked)
    sourced.reference("DEL", asked)
    assert sourced.rules() == {}


def test_through_bridge(host: Host, runtime: Runtime, container: Namespace) -> None:
    host.share_bridge("cni0")
    bridge: Document = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "isDefaultGateway": True,
        "ipMasqBackend": "nftables",
        "ipam": {
            "type": "static",
            "addresses": [
                {"address": "10.9.0.2/24", "gateway": "10.9.0.1"},
                {"address": "fd00:9::2/64", "gateway": "fd00:9::1"},
            ],
            "routes": [{"dst": "10.5.0.0/16"}],
        },
    }
    sbr: Document = {"cniVersion": "1.1.0", "name": "net", "type": "sbr"}
    first = runtime.add(bridge, netns=container)
    second = runtime.add({**sbr, "prevResult": first}, netns=container)
    runtime.check(bridge, second, netns=container)
    runtime.check(sbr, second, netns=container)
    runtime.delete({**sbr, "prevResult": second}, netns=container)
    runtime.delete({**bridge, "prevResult": second}, netns=container)
    assert container.links().keys() == {"lo"}
    host.command("ip", "link", "delete", "cni0")
