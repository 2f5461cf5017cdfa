"""`ptp` on a real kernel: both ends, the ways between them, and what leaves the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, DELEGATE_FAILED, IN_THE_WAY
from tests.kit import iptables
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import UnderFaults, WithReference
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping
from wiring.veth import host_veth

VETH = host_veth("net/c1/eth0")

# What is done on the host, and the words that must name it.
HOST_MUTATIONS = {
    f"ip link set {VETH} down": f"host interface {VETH} is down",
    f"ip link set {VETH} mtu 1300": f"{VETH} has the MTU 1300, expected 1500",
    f"ip link set {VETH} address 02:00:00:00:00:98": f"{VETH} has the MAC 02:00:00:00:00:98",
    f"ip address delete 10.1.0.1/32 dev {VETH}": "lacks the gateway address 10.1.0.1/32",
    f"ip address delete 2001:db8::1/128 dev {VETH}": "lacks the gateway address 2001:db8::1/128",
    "ip route delete 10.1.0.2/32": "the host lacks the route to 10.1.0.2/32",
    "ip -6 route delete 2001:db8::2/128": "the host lacks the route to 2001:db8::2/128",
    "sysctl -qw net.ipv4.ip_forward=0": "net.ipv4.ip_forward is not 1",
    "sysctl -qw net.ipv6.conf.all.forwarding=0": "net.ipv6.conf.all.forwarding is not 1",
    "nft flush ruleset": "pycni_masquerade is missing",
    f"ip link delete {VETH}": "the host end of eth0 does not exist",
}
INNER_MUTATIONS = {
    "ip route delete 10.1.0.1/32": "lacks the route to 10.1.0.1/32",
    "ip route delete 10.1.0.0/16": "lacks the route to 10.1.0.0/16 via 10.1.0.1",
    "ip -6 route delete 2001:db8::/64": "lacks the route to 2001:db8::/64 via 2001:db8::1",
}


class TestPtp(WithReference, UnderFaults):
    plugin = "ptp"
    outer = 1

    @pytest.mark.parametrize("command", [*HOST_MUTATIONS, *INNER_MUTATIONS])
    def test_each_mutation_of_the_ways_is_named(
        self, command: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
    ) -> None:
        config = self.usual(fake, ipMasq=True)
        result = runtime.add(config, netns=container)
        runtime.check(config, result, netns=container)
        where = host if command in HOST_MUTATIONS else container
        where.command(*command.split())
        words = {**HOST_MUTATIONS, **INNER_MUTATIONS}[command]
        self.refused(runtime, config, result, container, words)
        runtime.delete(config, netns=container)


def network(ipam: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", "name": "net", "type": "ptp", "ipam": ipam, **keys}


def ways(ns: Namespace, dev: str) -> dict[str, str]:
    """Destination and gateway of each route by a link, except what the kernel makes itself."""
    return {
        one["dst"]: one.get("gateway", "")
        for family in ("-4", "-6")
        for one in ns.ip(family, "route", "show", "dev", dev)
        if not one["dst"].startswith(("fe80:", "ff00:"))
    }


def test_both_ends(runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace) -> None:
    ipam = fake.section("10.1.0.2/16 10.1.0.1", "2001:db8::2/64 2001:db8::1")
    config = network(ipam, mtu=1400, runtimeConfig={"mac": "02:00:5e:10:00:01"})
    result = runtime.add(config, netns=container)
    outer, inner = host.links()[VETH], container.links()["eth0"]
    assert result["interfaces"] == [
        {"name": VETH, "mac": outer["address"], "mtu": 1400},
        {"name": "eth0", "mac": inner["address"], "mtu": 1400, "sandbox": str(container)},
    ]
    assert inner["address"] == "02:00:5e:10:00:01"
    assert outer["ifalias"] == "net/c1/eth0"
    assert ways(container, "eth0") == {
        "10.1.0.1": "",
        "10.1.0.0/16": "10.1.0.1",
        "2001:db8::1": "",
        "2001:db8::/64": "2001:db8::1",
    }
    assert host.addresses(VETH) == ["10.1.0.1/32", "2001:db8::1/128"]
    assert ways(host, VETH) == {"10.1.0.2": "", "2001:db8::1": "", "2001:db8::2": ""}
    accept_ra = Path(f"/proc/sys/net/ipv6/conf/{VETH}/accept_ra")
    assert host.run(accept_ra.read_text) == "0\n"
    runtime.delete(config, netns=container)


def test_each_gateway_is_called_from_its_own_subnet(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    """The host's packet filter may let a subnet's addresses in, and no others."""
    ipam = fake.section(
        "10.1.0.2/16 10.1.0.1",
        "10.2.0.2/16 10.2.0.1",
        "2001:db8:1::2/64 2001:db8:1::1",
        "2001:db8:2::2/64 2001:db8:2::1",
    )
    config = network(ipam)
    runtime.add(config, netns=container)
    for subnet in ("10.1.0.", "10.2.0.", "2001:db8:1::", "2001:db8:2::"):
        for other in ("1", "9"):
            [way] = container.ip("route", "get", f"{subnet}{other}")
            assert way["prefsrc"] == f"{subnet}2", way
    runtime.delete(config, netns=container)


def test_containers_reach_each_other_and_the_host_at_once(
    runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    one, two = host.container(), host.container()
    configs = [
        network(fake.section(f"10.1.0.{number}/16 10.1.0.1", f"2001:db8::{number}/64 2001:db8::1"))
        for number in (2, 3)
    ]
    runtime.add(configs[0], container="c2", netns=one)
    for address in ("10.1.0.2", "2001:db8::2"):
        milliseconds = ping(host, address)
        assert milliseconds is not None
        assert milliseconds < 100
    runtime.add(configs[1], container="c3", netns=two)
    for address in ("10.1.0.1", "2001:db8::1", "10.1.0.3", "2001:db8::3"):
        assert ping(one, address) is not None, address
    runtime.delete(configs[1], container="c3", netns=two)
    assert ping(one, "10.1.0.1") is not None, "the gateway's address is still there"
    runtime.delete(configs[0], container="c2", netns=one)


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_masquerade(backend: str, runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    """Beyond its subnet the container is seen as the host, and what says so goes with it."""
    if backend == "iptables":
        iptables.share(host)
    container, beyond = host.container(), host.container("beyond")
    host.command(
        "ip", "link", "add", "uplink", "type", "veth", "peer", "name", "e", "netns", str(beyond)
    )
    for ns, dev, number in ((host, "uplink", 1), (beyond, "e", 2)):
        ns.command("ip", "address", "add", f"192.0.2.{number}/24", "dev", dev)
        ns.command("ip", "link", "set", dev, "up")
    ipam = fake.section("10.1.0.2/16 10.1.0.1", routes=[{"dst": "0.0.0.0/0"}])
    for masquerade, seen in ((True, "192.0.2.1"), (False, "10.1.0.2")):
        config = network(ipam, ipMasq=masquerade, ipMasqBackend=backend)
        if not masquerade:
            beyond.command("ip", "route", "add", "10.1.0.0/16", "via", "192.0.2.1")
        result = runtime.add(config, netns=container)
        runtime.check(config, result, netns=container)
        with EchoServer(beyond, "192.0.2.2") as server:
            assert ask(container, "192.0.2.2", server.port).client == seen
        runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "uplink")


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_nothing_stays_of_a_container_whose_namespace_is_gone(
    verb: str, runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    gone, stays = host.container(), host.container()
    configs = [
        network(fake.section(f"10.1.0.{number}/16 10.1.0.1"), ipMasq=True) for number in (2, 3)
    ]
    runtime.add(configs[0], container="gone", netns=gone)
    result = runtime.add(configs[1], container="stays", netns=stays)
    gone.close()
    if verb == "DEL":
        runtime.delete(configs[0], container="gone")
    else:
        runtime.gc(configs[0], [("stays", "eth0")])
    runtime.check(configs[1], result, container="stays", netns=stays)
    runtime.delete(configs[1], container="stays", netns=stays)


def test_gc_removes_strangers_of_this_network_only(
    runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    gone, other = host.container(), host.container()
    config = network(fake.section("10.1.0.2/16 10.1.0.1"), ipMasq=True)
    elsewhere = {**network(fake.section("10.1.0.3/16 10.1.0.1")), "name": "other"}
    runtime.add(config, netns=gone)
    result = runtime.add(elsewhere, netns=other)
    runtime.gc(config, [])
    assert "eth0" not in gone.links()
    runtime.check(elsewhere, result, netns=other)
    runtime.delete(elsewhere, netns=other)


def test_names_too_long_for_a_label(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    container = host.container()
    config = {**network(fake.section("10.1.0.2/16 10.1.0.1"), ipMasq=True), "name": "n" * 200}
    for remove in (runtime.delete, lambda config, **_: runtime.gc(config, [])):
        runtime.add(config, container="c" * 100, netns=container)
        remove(config, container="c" * 100, netns=container)
        assert set(container.links()) == {"lo"}


def test_several_addresses_and_a_gateway_beyond_the_subnet(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    ipam = fake.section(
        "10.1.0.2/16 10.1.0.1",
        "10.1.0.3/16 10.1.0.1",
        "10.2.0.2/32 169.254.1.1",
        routes=[{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}],
    )
    config = network(ipam)
    result = runtime.add(config, netns=container)
    assert ways(container, "eth0") == {
        "10.1.0.1": "",
        "169.254.1.1": "",
        "10.1.0.0/16": "10.1.0.1",
        "default": "169.254.1.1",
    }
    for address in ("10.1.0.2", "10.1.0.3", "10.2.0.2"):
        assert ping(host, address) is not None, address
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_forwarding_of_the_container_s_families_only(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    four = Path("/proc/sys/net/ipv4/ip_forward")
    six = Path("/proc/sys/net/ipv6/conf/all/forwarding")
    for switch in (four, six):
        host.run(switch.write_text, "0")
    config = network(fake.section("10.1.0.2/16 10.1.0.1"))
    runtime.add(config, netns=container)
    assert [host.run(switch.read_text) for switch in (four, six)] == ["1\n", "0\n"]
    runtime.delete(config, netns=container)


@pytest.mark.parametrize("address", ["10.1.0.2/16", "10.1.0.2/16 10.1.0.2"])
def test_an_address_without_a_gateway_of_its_own(
    address: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    with pytest.raises(PluginError, match="another address for the host's end") as caught:
        runtime.add(network(fake.section(address)), netns=container)
    assert caught.value.code == DELEGATE_FAILED
    assert fake.calls == ["ADD c1", "DEL c1"]


def test_a_route_that_the_host_has(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    other = host.container()
    config = network(fake.section("10.1.0.2/16 10.1.0.1"))
    runtime.add(config, container="first", netns=other)
    with pytest.raises(PluginError, match=r"route to 10\.1\.0\.2/32 already, by veth") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    assert VETH not in host.links()
    runtime.delete(config, container="first", netns=other)


def test_check_of_what_is_masqueraded(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16 10.1.0.1"), ipMasq=True)
    result = runtime.add(config, netns=container)
    host.command("nft", "flush", "set", "inet", "pycni_masquerade", "sources4")
    with pytest.raises(PluginError, match=r"10\.1\.0\.2") as caught:
        runtime.check(config, result, netns=container)
    assert caught.value.code == CHECK_FAILED
    rules = json.loads(host.command("nft", "-j", "list", "ruleset").stdout)["nftables"]
    assert rules
    runtime.delete(config, netns=container)


def test_check_of_what_sbr_has_moved(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """ptp's own routes are in the tables of the addresses then, as the result tells."""
    host.share_locks()
    for keys in ({}, {"addSourceHints": True}, {"table": 77}):
        config = network(fake.section("10.1.0.2/24 10.1.0.1", "2001:db8::2/64 2001:db8::1"))
        sbr = {"cniVersion": "1.1.0", "name": "net", "type": "sbr", **keys}
        first = runtime.add(config, netns=container)
        result = runtime.add({**sbr, "prevResult": first}, netns=container)
        runtime.check(sbr, result, netns=container)
        runtime.check(config, result, netns=container)
        if not keys:
            for table, words in (
                (100, "lacks the route to 10.1.0.0/24 via 10.1.0.1"),
                (101, "lacks the route to 2001:db8::/64 via 2001:db8::1"),
            ):
                subnet, via = words.split()[-3], words.split()[-1]
                way = (subnet, "via", via, "dev", "eth0", "table", str(table))
                container.command("ip", "route", "delete", *way)
                with pytest.raises(PluginError, match=words):
                    runtime.check(config, result, netns=container)
                container.command("ip", "route", "add", *way)
        runtime.delete({**sbr, "prevResult": result}, netns=container)
        runtime.delete(config, netns=container)
