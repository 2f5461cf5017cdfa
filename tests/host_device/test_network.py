"""`useInterfaceNetwork`: what the host has set on the device goes along into the container."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from cni.call import read_call
from cni.errors import CHECK_FAILED, INVALID_CONFIG
from cni_host_device.main import PLUGIN
from tests.host_device.conftest import assert_as_it_was, network
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import UnderFaults
from tests.kit.faults import Fault, with_fault
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

pytestmark = pytest.mark.usefixtures("peer")

# A cloud's: a subnet, a default by DHCP, and a table for what is sent from the second address.
CLOUD = """\
address add 10.1.0.2/16 dev dev0
address add 10.2.0.2/24 dev dev0 valid_lft 3600 preferred_lft 3600
-6 address add 2001:db8::2/64 dev dev0 nodad
-6 address add 2001:db8:9::2/64 dev dev0 nodad valid_lft 3600 preferred_lft 3600
route add 172.16.0.1 dev dev0
route add default via 172.16.0.1 src 10.1.0.2 metric 100 proto dhcp mtu 1400
route add 10.9.0.0/16 via 192.0.2.77 dev dev0 onlink
route add default via 10.2.0.1 table 1000
-6 route add default via 2001:db8::9 metric 5
-6 route add 2001:db8:5::/64 via fe80::9 dev dev0
-6 route add 2001:db8:6::/64 dev dev0
-6 route add fe80:7::/64 dev dev0
-6 route add 2001:db8:7::/64 via 2001:db8::9 proto ra
rule add from 10.2.0.2 lookup 1000 priority 500
rule add from 10.2.0.0/24 to 192.0.2.0/24 lookup 1000 priority 501
rule add from 10.3.0.2 lookup 1000 priority 502
rule add from 10.2.0.2 lookup 77 priority 503
rule add fwmark 7 lookup 1000 priority 504
"""
ADDRESSES = ["10.1.0.2/16", "10.2.0.2/24", "2001:db8::2/64"]
ROUTES: list[dict[str, Any]] = [
    {"dst": "172.16.0.1/32", "scope": 253},
    {"dst": "0.0.0.0/0", "gw": "172.16.0.1", "priority": 100, "mtu": 1400},
    {"dst": "10.9.0.0/16", "gw": "192.0.2.77"},
    {"dst": "0.0.0.0/0", "gw": "10.2.0.1", "table": 1000},
    {"dst": "::/0", "gw": "2001:db8::9", "priority": 5},
    {"dst": "2001:db8:5::/64", "gw": "fe80::9", "priority": 1024},
    {"dst": "2001:db8:6::/64", "priority": 1024, "scope": 253},
]
RULES = {"500: from 10.2.0.2", "501: from 10.2.0.0/24 to 192.0.2.0/24"}


def set_all(ns: Namespace | Host, commands: str) -> None:
    for line in commands.splitlines():
        ns.command("ip", *line.split())


def rules(ns: Namespace | Host) -> set[str]:
    """Those that lead into table 1000."""
    lines = ns.command("ip", "rule", "show", "table", "1000").stdout.splitlines()
    return {line.replace("\t", " ").partition(" lookup")[0] for line in lines}


def ordered(routes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(routes, key=json.dumps)


@pytest.fixture
def cloud(host: Host, peer: Namespace) -> Iterator[None]:
    """Has set all that on `dev0`."""
    set_all(host, CLOUD)
    yield
    for priority in range(500, 505):
        host.command("ip", "rule", "delete", "priority", str(priority), check=False)


@pytest.fixture
def config(cloud: None) -> dict[str, Any]:
    """A network of `dev0`, on which a cloud has set all that."""
    return network(useInterfaceNetwork=True)


class TestWithNetwork(UnderFaults):
    """Without anything set on the device, and the IPAM plugin's besides: as ever."""

    plugin = "host-device"
    keys: ClassVar = {"device": "dev0", "useInterfaceNetwork": True}


def test_there_and_back(
    config: dict[str, Any], runtime: Runtime, host: Host, container: Namespace
) -> None:
    result = runtime.add(config, netns=container)
    assert [one["address"] for one in result["ips"]] == ADDRESSES
    assert {one["interface"] for one in result["ips"]} == {0}
    assert ordered(result["routes"]) == ordered(ROUTES)
    assert container.addresses("eth0") == ADDRESSES
    (default,) = container.ip("route", "show", "default")
    assert (default["prefsrc"], default["metric"], default["protocol"]) == ("10.1.0.2", 100, "dhcp")
    assert default["metrics"] == [{"mtu": 1400}]
    (onlink,) = container.ip("route", "show", "10.9.0.0/16")
    assert "onlink" in onlink["flags"]
    assert rules(container) == RULES
    assert ping(container, "10.1.0.9", 3) is not None
    assert ping(container, "2001:db8::9", 3) is not None
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    assert rules(container) == set()
    assert_as_it_was(host)
    assert host.addresses("dev0") == [], "whoever set them there sees the device arrive"
    assert len(rules(host)) == 4


def test_besides_the_ipam_plugin(
    config: dict[str, Any], runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    """Of which an address and a route are there already."""
    ipam = fake.section(
        "10.1.0.77/16 10.1.0.1",
        "10.2.0.2/24",
        "2001:db8::77/64 2001:db8::1",
        routes=[{"dst": "10.5.0.0/16"}, {"dst": "10.9.0.0/16", "gw": "10.1.0.9"}],
        dns={"nameservers": ["192.0.2.1"]},
    )
    both = {**config, "ipam": ipam}
    result = runtime.add(both, netns=container)
    found = [one["address"] for one in result["ips"]]
    assert found == [
        *("10.1.0.77/16", "10.2.0.2/24", "2001:db8::77/64"),
        *("10.1.0.2/16", "2001:db8::2/64"),
    ]
    assert result["routes"][0] == {"dst": "10.5.0.0/16"}
    assert result["dns"] == {"nameservers": ["192.0.2.1"]}
    assert sorted(container.addresses("eth0")) == sorted(found)
    runtime.check(both, result, netns=container)
    runtime.delete(both, netns=container)
    assert rules(container) == set()
    assert fake.calls[-1] == "DEL c1"


def test_a_failed_add_gives_all_of_it_back(
    config: dict[str, Any], runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """A lease too, which its client would renew much later; the rules never left."""
    routes = _set_routes(host)
    failing = fake.section("10.1.0.77/16", routes=[{"dst": "10.6.0.0/16", "gw": "198.51.100.1"}])
    with pytest.raises(PluginError):
        runtime.add({**config, "ipam": failing}, netns=container)
    assert_as_it_was(host)
    assert rules(container) == set()
    assert set(host.addresses("dev0")) == set(ADDRESSES)
    assert _set_routes(host) == routes
    assert len(rules(host)) == 4


def _set_routes(host: Host) -> list[dict[str, Any]]:
    """Those of `dev0` that neither the kernel nor a router has set."""
    shown = [
        one
        for family in ("-4", "-6")
        for one in host.ip(family, "-N", "route", "show", "table", "all", "dev", "dev0")
        if one.get("protocol", "3") not in ("2", "9") and one.get("type", "1") == "1"
    ]
    return ordered(shown)


def test_a_route_that_cannot_go_along(
    config: dict[str, Any], runtime: Runtime, host: Host, container: Namespace
) -> None:
    """Half of them would be worse: its source is an address that expires, and so stays."""
    host.command(
        *("ip", "-6", "route", "add", "2001:db8:a::/64", "via", "2001:db8::9"),
        *("src", "2001:db8:9::2"),
    )
    with pytest.raises(PluginError, match="2001:db8:a::/64"):
        runtime.add(config, netns=container)
    assert set(container.links()) == {"lo"}
    assert rules(container) == set()
    assert_as_it_was(host)


@pytest.mark.parametrize(
    ("mutation", "words"),
    [
        ("address delete 10.2.0.2/24 dev eth0", "eth0 lacks its address 10.2.0.2/24"),
        ("route delete default table 1000", "lacks the route to 0.0.0.0/0 via 10.2.0.1"),
        ("-6 route delete 2001:db8:6::/64", "lacks the route to 2001:db8:6::/64"),
        ("route change default via 172.16.0.1 metric 100", "with the MTU 0, expected 1400"),
        ("rule delete priority 500", "has 1 rules for what is sent from the addresses of eth0"),
    ],
)
def test_each_mutation_is_named(
    mutation: str, words: str, config: dict[str, Any], runtime: Runtime, container: Namespace
) -> None:
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    container.command("ip", *mutation.split())
    with pytest.raises(PluginError) as caught:
        runtime.check(config, result, netns=container)
    assert caught.value.code == CHECK_FAILED
    assert words in caught.value.msg
    runtime.delete(config, netns=container)


def test_del_goes_by_the_device(
    config: dict[str, Any], runtime: Runtime, host: Host, container: Namespace
) -> None:
    """The rules that came with it go, whatever the config says by now; others' stay."""
    set_all(
        container,
        """\
link add other type bridge
link set other up
address add 10.2.0.3/24 dev other
rule add from 10.2.0.3 lookup 1000 priority 600
""",
    )
    runtime.add(config, netns=container)
    container.command("ip", "route", "add", "10.2.9.0/24", "dev", "other", "table", "1000")
    runtime.delete(network(), netns=container)
    assert_as_it_was(host)
    # That of 10.2.0.0/24 is also for the other's address, and the table has a route of the other.
    assert rules(container) == {
        "600: from 10.2.0.3",
        "501: from 10.2.0.0/24 to 192.0.2.0/24",
    }
    container.command("ip", "link", "delete", "other")
    for priority in ("501", "600"):
        container.command("ip", "rule", "delete", "priority", priority)


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_killed_anywhere_then_del(
    verb: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    """No rule stays, nor does the device."""
    config = network(useInterfaceNetwork=True)
    host.command("ip", "rule", "add", "from", "10.2.0.2", "lookup", "1000", "priority", "500")
    for at in range(1, 1000):
        host.command("ip", "address", "replace", "10.2.0.2/24", "dev", "dev0")
        host.command("ip", "route", "replace", "default", "via", "10.2.0.1", "table", "1000")
        if verb == "delete":
            runtime.add(config, netns=container)
        child = os.fork()
        if child == 0:
            with_fault(
                Fault("_send", at, lambda: os._exit(9)),
                lambda: getattr(runtime, verb)(config, netns=container),
            )
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        runtime.delete(config, netns=container)
        assert set(container.links()) == {"lo"}, f"left by one that was killed at {at}"
        assert rules(container) == set(), f"left by one that was killed at {at}"
        assert_as_it_was(host)
        if not killed:
            break
    assert at > 10
    host.command("ip", "rule", "delete", "priority", "500")


@pytest.mark.usefixtures("cloud")
def test_nothing_goes_along_unasked(runtime: Runtime, container: Namespace) -> None:
    for value in ({}, {"useInterfaceNetwork": False}, {"useInterfaceNetwork": None}):
        result = runtime.add(network(**value), netns=container)
        assert "ips" not in result
        assert "routes" not in result
        assert container.addresses("eth0") == []
        assert rules(container) == set()
        runtime.delete(network(), netns=container)


def test_explain(config: dict[str, Any], runtime: Runtime, container: Namespace) -> None:
    environ = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    environ |= {"CNI_NETNS": str(container), "CNI_PATH": "/nowhere"}
    assert PLUGIN.explain is not None
    told = PLUGIN.explain(read_call(environ, json.dumps(config).encode()))
    result = runtime.add(config, netns=container)
    assert [str(one.address) for one in told.result.ips] == ADDRESSES
    assert [str(one.dst) for one in told.result.routes] == [one["dst"] for one in result["routes"]]
    text = "\n".join(map(str, told.steps))
    for one in (*ADDRESSES, "172.16.0.1", "from 10.2.0.2/32", "table 1000"):
        assert one in text
    runtime.delete(config, netns=container)


@pytest.mark.parametrize("type_", ["sbr", "tuning"])
def test_in_a_chain(
    type_: str, config: dict[str, Any], runtime: Runtime, host: Host, container: Namespace
) -> None:
    """Of plugins that change what the result tells."""
    second: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": type_}
    if type_ == "tuning":
        second |= {"mtu": 1300, "dataDir": str(host.state / "tuning")}
    else:  # sbr takes no address that has rules already
        for priority in ("500", "501"):
            host.command("ip", "rule", "delete", "priority", priority)
    first = runtime.add(config, netns=container)
    result = runtime.add({**second, "prevResult": first}, netns=container)
    for one in (config, second):
        runtime.check(one, result, netns=container)
    for one in (second, config):
        runtime.delete({**one, "prevResult": result}, netns=container)
    assert rules(container) == set()
    assert set(container.links()) == {"lo"}
    assert_as_it_was(host)
    shutil.rmtree(host.state / "tuning", ignore_errors=True)


def test_with_several_ways(runtime: Runtime, host: Host, container: Namespace) -> None:
    """Of a route that two links share, this one's way goes along."""
    host.command("ip", "link", "add", "other", "type", "bridge")
    set_all(
        host,
        """\
link set other up
address add 10.1.0.2/16 dev dev0
address add 10.4.0.2/16 dev other
route add 10.8.0.0/16 nexthop via 10.1.0.9 dev dev0 nexthop via 10.4.0.9 dev other
""",
    )
    config = network(useInterfaceNetwork=True)
    result = runtime.add(config, netns=container)
    assert result["routes"] == [{"dst": "10.8.0.0/16", "gw": "10.1.0.9"}]
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "other")


def test_a_wrong_value(runtime: Runtime, container: Namespace) -> None:
    with pytest.raises(PluginError, match='key "useInterfaceNetwork": found "yes"') as caught:
        runtime.add(network(useInterfaceNetwork="yes"), netns=container)
    assert caught.value.code == INVALID_CONFIG
