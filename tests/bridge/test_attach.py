"""ADD and DEL of the bridge on a real kernel."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from cni.errors import (
    DELEGATE_FAILED,
    DUPLICATE,
    IN_THE_WAY,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    NOT_AVAILABLE,
    TRY_AGAIN_LATER,
    UNSUPPORTED_FIELD,
)
from hostnet import route
from hostnet.netlink import Netlink
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from tests.kit.versions import each_version, versions_since
from wiring.veth import host_veth

VETH = host_veth("net/c1/eth0")


def network(ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    document = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", **keys}
    return document if ipam is None else {**document, "ipam": ipam}


@each_version
def test_the_result_in_every_version(
    version: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    ipam = fake.section("10.1.0.2/16 10.1.0.1", "2001:db8::2/64 2001:db8::1")
    config = network(ipam, isDefaultGateway=True, cniVersion=version)
    result = runtime.add(config, netns=container)
    assert result["cniVersion"] == version
    if version in ("0.1.0", "0.2.0"):
        assert result == {
            "cniVersion": version,
            "ip4": {
                "ip": "10.1.0.2/16",
                "gateway": "10.1.0.1",
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
            },
            "ip6": {
                "ip": "2001:db8::2/64",
                "gateway": "2001:db8::1",
                "routes": [{"dst": "::/0", "gw": "2001:db8::1"}],
            },
            "dns": {},
        }
    else:
        family = [] if version in versions_since("1.0.0") else [("version", "4"), ("version", "6")]
        links, inner = host.links(), container.links()["eth0"]
        mtu = {"mtu": 1500} if version in versions_since("1.0.0") else {}
        assert result["interfaces"] == [
            {"name": "cni0", "mac": links["cni0"]["address"], **mtu},
            {"name": VETH, "mac": links[VETH]["address"], **mtu},
            {"name": "eth0", "mac": inner["address"], **mtu, "sandbox": str(container)},
        ]
        assert result["ips"] == [
            {**dict(family[:1]), "interface": 2, "address": "10.1.0.2/16", "gateway": "10.1.0.1"},
            {
                **dict(family[1:]),
                "interface": 2,
                "address": "2001:db8::2/64",
                "gateway": "2001:db8::1",
            },
        ]
        assert result["routes"] == [
            {"dst": "0.0.0.0/0", "gw": "10.1.0.1"},
            {"dst": "::/0", "gw": "2001:db8::1"},
        ]
    runtime.delete(config, netns=container)
    assert fake.calls == ["ADD c1", "DEL c1"]


def test_two_containers_talk_to_each_other_and_to_the_host(
    runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    one, two = host.container(), host.container()
    for number, ns in ((2, one), (3, two)):
        ipam = fake.section(f"10.1.0.{number}/16 10.1.0.1", f"2001:db8::{number}/64 2001:db8::1")
        runtime.add(network(ipam, isDefaultGateway=True), container=f"c{number}", netns=ns)
    for address in ("10.1.0.3", "10.1.0.1", "2001:db8::3", "2001:db8::1"):
        assert ping(one, address) is not None, address
    assert ping(host, "10.1.0.2") is not None
    for number, ns in ((2, one), (3, two)):
        runtime.delete(
            network(fake.section(), isDefaultGateway=True), container=f"c{number}", netns=ns
        )


def test_forwarded_ipv6_passes_at_once(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """A new bridge has a link-local address of its own to look over for duplicates."""
    outside = host.container("outside")
    host.command(
        "ip", "link", "add", "uplink", "type", "veth", "peer", "name", "e", "netns", str(outside)
    )
    for ns, dev, address in (
        (host, "uplink", "2001:db8:9::1/64"),
        (outside, "e", "2001:db8:9::2/64"),
    ):
        ns.command("ip", "address", "add", address, "dev", dev, "nodad")
        ns.command("ip", "link", "set", dev, "up")
    outside.command("ip", "-6", "route", "add", "default", "via", "2001:db8:9::1")
    for ns, dev in ((host, "uplink"), (outside, "e")):
        ns.wait_ready(dev)
    assert ping(host, "2001:db8:9::2") is not None
    config = network(fake.section("2001:db8::2/64 2001:db8::1"), isDefaultGateway=True)
    runtime.add(config, netns=container)
    milliseconds = ping(outside, "2001:db8::2", 3)
    assert milliseconds is not None
    assert milliseconds < 500
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "uplink")


def test_the_gateway_answers_at_once(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """The kernel gives an IPv6 address its local route in a work queue, when it comes round to."""
    config = network(fake.section("2001:db8::2/64 2001:db8::1"), isGateway=True)
    for _ in range(10):
        runtime.add(config, netns=container)
        with Netlink() as nl:
            assert route.lookup(nl, ip_address("2001:db8::1")).kind == route.RTN_LOCAL
        runtime.delete(config, netns=container)
        host.command("ip", "link", "delete", "cni0")  # it has it then


def test_a_reused_address_answers_at_once(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    """The neighbours know the address with the last container's MAC."""
    peer, first, second = (host.container() for _ in range(3))
    addresses = ("10.1.0.2/16 10.1.0.1", "2001:db8::2/64 2001:db8::1")
    runtime.add(network(fake.section("10.1.0.9/16", "2001:db8::9/64")), container="p", netns=peer)
    config = network(fake.section(*addresses))
    runtime.add(config, container="c1", netns=first)
    for address in ("10.1.0.2", "2001:db8::2"):
        assert ping(peer, address) is not None
    runtime.delete(config, container="c1", netns=first)
    runtime.add(config, container="c2", netns=second)
    for address in ("10.1.0.2", "2001:db8::2"):
        milliseconds = ping(peer, address)
        assert milliseconds is not None, address
        assert milliseconds < 100
    runtime.delete(config, container="c2", netns=second)
    runtime.delete(config, container="p", netns=peer)


def test_layer_2(runtime: Runtime, container: Namespace) -> None:
    config = network()
    result = runtime.add(config, netns=container)
    assert [one["name"] for one in result["interfaces"]] == ["cni0", VETH, "eth0"]
    assert "ips" not in result
    assert "UP" in container.links()["eth0"]["flags"]
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_disabled_container_interface(runtime: Runtime, container: Namespace) -> None:
    config = network(disableContainerInterface=True)
    result = runtime.add(config, netns=container)
    assert "UP" not in container.links()["eth0"]["flags"]
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_port_and_link_settings(runtime: Runtime, host: Host, container: Namespace) -> None:
    config = network(
        mtu=1400,
        hairpinMode=True,
        portIsolation=True,
        runtimeConfig={"mac": "02:00:5E:10:00:01"},
    )
    runtime.add(config, netns=container)
    port, inner = host.links()[VETH], container.links()["eth0"]
    assert port["mtu"] == inner["mtu"] == host.links()["cni0"]["mtu"] == 1400
    assert inner["address"] == "02:00:5e:10:00:01"
    assert port["linkinfo"]["info_slave_data"]["hairpin"] is True
    assert port["linkinfo"]["info_slave_data"]["isolated"] is True
    assert port["ifalias"] == "net/c1/eth0"
    runtime.delete(config, netns=container)


def test_promiscuous_bridge(runtime: Runtime, host: Host, container: Namespace) -> None:
    config = network(promiscMode=True)
    runtime.add(config, netns=container)
    assert "PROMISC" in host.links()["cni0"]["flags"]
    runtime.delete(config, netns=container)


def test_routes_with_attributes(runtime: Runtime, fake: FakeIpam, container: Namespace) -> None:
    routes = [
        {"dst": "10.5.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 50},
        {"dst": "10.6.0.0/16", "scope": 253},
        {"dst": "10.7.0.0/16", "gw": "10.1.0.77", "table": 300},
        {"dst": "fd00::/8", "gw": "2001:db8::77"},
    ]
    ipam = fake.section("10.1.0.2/16 10.1.0.1", "2001:db8::2/64 2001:db8::1", routes=routes)
    config = network(ipam)
    result = runtime.add(config, netns=container)
    assert result["routes"] == routes
    first, second = container.ip("route", "show", "10.5.0.0/16") + container.ip(
        "route", "show", "10.6.0.0/16"
    )
    assert (first["gateway"], first["metric"]) == ("10.1.0.1", 50)
    assert first["metrics"] == [{"mtu": 1300, "advmss": 1200}]
    assert second["scope"] == "link"
    assert "gateway" not in second
    assert container.ip("route", "show", "table", "300")[0]["gateway"] == "10.1.0.77"
    assert container.ip("-6", "route", "show", "fd00::/8")[0]["gateway"] == "2001:db8::77"
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_several_networks_in_one_container(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.share_bridge("cni1")
    networks = [
        {
            **network(fake.section(f"10.{one}.0.2/16", f"2001:db8:{one}::2/64")),
            "name": f"net{one}",
            "bridge": f"cni{one}",
            "isDefaultGateway": True,
        }
        for one in (0, 1)
    ]
    results = [
        runtime.add(config, netns=container, ifname=f"eth{one}")
        for one, config in enumerate(networks)
    ]
    assert [one["dev"] for one in container.ip("route", "show", "default")] == ["eth1", "eth0"]
    for one, (config, result) in enumerate(zip(networks, results, strict=True)):
        runtime.check(config, result, netns=container, ifname=f"eth{one}")
    runtime.delete(networks[1], netns=container, ifname="eth1")
    for family in ("-4", "-6"):
        (left,) = container.ip(family, "route", "show", "default")
        assert left["dev"] == "eth0"
    runtime.check(networks[0], results[0], netns=container, ifname="eth0")
    runtime.delete(networks[0], netns=container, ifname="eth0")


def test_ipv6_where_it_was_disabled(runtime: Runtime, fake: FakeIpam, container: Namespace) -> None:
    container.command("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    config = network(fake.section("2001:db8::2/64 2001:db8::1"), isGateway=True)
    runtime.add(config, netns=container)
    assert ping(container, "2001:db8::1") is not None
    runtime.delete(config, netns=container)


def test_ipv6_addresses_outlast_a_link_that_goes_down(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = network(fake.section("2001:db8::2/64 2001:db8::1"), isGateway=True)
    result = runtime.add(config, netns=container)
    for state in ("down", "up"):
        container.command("ip", "link", "set", "eth0", state)
    assert container.addresses("eth0") == ["2001:db8::2/64"]
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_duplicate_detection_is_off_unless_asked_for(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    ipam = fake.section("2001:db8::2/64 2001:db8::1")
    runtime.add(network(ipam), container="first", netns=host.container())
    runtime.add(network(ipam), netns=container)
    runtime.delete(network(ipam), netns=container)
    with pytest.raises(PluginError, match="has the address 2001:db8::2/64") as caught:
        runtime.add(network(ipam, enabledad=True), netns=container)
    assert caught.value.code == DUPLICATE
    assert set(container.links()) == {"lo"}
    runtime.delete(network(ipam), container="first")
    config = network(ipam, enabledad=True)
    result = runtime.add(config, netns=container)
    shown = container.command("ip", "address", "show", "eth0", "scope", "global").stdout
    assert "tentative" not in shown
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_forwarding_is_switched_on_by_a_gateway_only(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    host.run(switch.write_text, "0")
    config = network(fake.section("10.1.0.2/16"))
    runtime.add(config, netns=container)
    assert host.run(switch.read_text) == "0\n"
    runtime.delete(config, netns=container)
    runtime.add({**config, "isGateway": True}, netns=container)
    assert host.run(switch.read_text) == "1\n"
    runtime.delete(config, netns=container)


def test_the_bridges_mac_never_changes(runtime: Runtime, host: Host) -> None:
    """Neither one that we created, nor one that was there and had no MAC of its own yet."""
    host.share_bridge("br-found")
    host.command("ip", "link", "add", "br-found", "type", "bridge")
    for name in ("cni0", "br-found"):
        macs = set()
        for number in range(8):
            ns = host.container()
            runtime.add(network(bridge=name), container=f"c{number}", netns=ns)
            macs.add(host.links()[name]["address"])
        for number, ns in enumerate(host.containers[-8:]):
            runtime.delete(network(bridge=name), container=f"c{number}", netns=ns)
            macs.add(host.links()[name]["address"])
        assert len(macs) == 1, name


@pytest.mark.parametrize("pinned", [False, True])
def test_a_bridge_that_has_lost_its_last_port(
    pinned: bool, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """Its address is zeros then, unless somebody has given it one; pinned, zeros would stay."""
    host.share_bridge("cni0")
    host.command("ip", "link", "add", "cni0", "type", "bridge")
    host.command("ip", "link", "add", "port", "master", "cni0", "type", "veth", "peer", "other")
    host.command("ip", "link", "delete", "port")
    assert host.links()["cni0"]["address"] == "00:00:00:00:00:00"
    if pinned:
        host.command("ip", "link", "set", "cni0", "address", "00:00:00:00:00:00")
    config = network(fake.section("10.1.0.2/16"), isGateway=True)
    result = runtime.add(config, netns=container)
    mac = host.links()["cni0"]["address"]
    assert mac != "00:00:00:00:00:00"
    assert result["interfaces"][0]["mac"] == mac
    container.command("ping", "-c1", "-W1", "10.1.0.1")
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    assert host.links()["cni0"]["address"] == mac


@pytest.mark.parametrize("how", ["unset", "deleted", "a plain file"])
def test_delete_without_a_namespace(how: str, runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    container = host.container()
    config = network(fake.section("10.1.0.2/16"), isGateway=True, ipMasq=True, macspoofchk=True)
    runtime.add(config, netns=container)
    netns = str(container)
    if how == "unset":
        netns = ""
    else:
        container.close()
        if how == "a plain file":
            container.path.touch()
    runtime.delete(config, netns=netns)
    assert fake.calls[-1] == "DEL c1"
    assert VETH not in host.links()
    if how == "a plain file":
        container.path.unlink()


def test_delete_twice_and_of_nothing(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16"))
    runtime.delete(config, netns=container)
    runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    runtime.delete(config, netns=container)
    assert fake.calls == ["DEL c1", "ADD c1", "DEL c1", "DEL c1"]


def test_delete_cleans_up_and_reports_when_ipam_fails(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16", fail=["DEL"]), isGateway=True, ipMasq=True)
    runtime.add(config, netns=container)
    with pytest.raises(PluginError, match="told to fail") as caught:
        runtime.delete(config, netns=container)
    assert caught.value.code == TRY_AGAIN_LATER
    assert VETH not in host.links()


def test_a_failing_ipam_leaves_nothing(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16", fail=["ADD"]), isGateway=True)
    with pytest.raises(PluginError, match=r'bridge on network "net": .*told to fail'):
        runtime.add(config, netns=container)
    assert "cni0" not in host.links()
    assert fake.calls == ["ADD c1", "DEL c1"]  # SPEC.md, section 4


def test_a_failure_half_way_undoes_all(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    unreachable = [{"dst": "10.5.0.0/16", "gw": "172.16.0.1"}]
    ipam = fake.section("10.1.0.2/16", routes=unreachable)
    config = network(ipam, isGateway=True, ipMasq=True)
    with pytest.raises(PluginError, match=r"10\.5\.0\.0/16 via 172\.16\.0\.1"):
        runtime.add(config, netns=container)
    assert "cni0" not in host.links()
    assert fake.calls == ["ADD c1", "DEL c1"]


def test_a_failure_leaves_what_others_use(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    one, two = host.container(), host.container()
    good = network(fake.section("10.1.0.2/16"), isGateway=True)
    runtime.add(good, container="c1", netns=one)
    bad = network(fake.section("10.1.0.3/16", routes=[{"dst": "1.0.0.0/8", "gw": "9.9.9.9"}]))
    with pytest.raises(PluginError):
        runtime.add({**bad, "isGateway": True}, container="c2", netns=two)
    assert "10.1.0.1/16" in host.addresses("cni0")
    assert ping(one, "10.1.0.1") is not None
    runtime.delete(good, container="c1", netns=one)


def test_what_is_in_the_way(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "add", "taken", "type", "veth", "peer", "name", "taken2")
    with pytest.raises(PluginError, match="interface taken is veth") as caught:
        runtime.add(network(bridge="taken"), netns=container)
    assert caught.value.code == IN_THE_WAY
    host.command("ip", "link", "delete", "taken")

    with pytest.raises(PluginError, match="lo already exists in") as caught:
        runtime.add(network(), netns=container, ifname="lo")
    assert caught.value.code == IN_THE_WAY

    config = network(fake.section("10.1.0.2/16"))
    runtime.add(config, netns=container)
    calls = fake.calls
    with pytest.raises(PluginError, match="eth0 already exists in"):
        runtime.add(config, netns=container)
    with pytest.raises(PluginError, match=f"{VETH} of this attachment exists already"):
        runtime.add(network(), netns=host.container())
    assert fake.calls == calls
    runtime.delete(config, netns=container)


def test_another_address_on_the_bridge(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "add", "cni0", "type", "bridge")
    host.command("ip", "address", "add", "172.16.0.1/24", "dev", "cni0")
    config = network(fake.section("10.1.0.2/16"), isGateway=True)
    with pytest.raises(
        PluginError, match=r"different from 10\.1\.0\.1/16: 172\.16\.0\.1/24"
    ) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    assert "forceAddress" in caught.value.msg
    assert host.addresses("cni0") == ["172.16.0.1/24"]
    forced = {**config, "forceAddress": True}
    runtime.add(forced, netns=container)
    assert "10.1.0.1/16" in host.addresses("cni0")
    assert "172.16.0.1/24" not in host.addresses("cni0")
    runtime.delete(forced, netns=container)


def test_a_forced_address_comes_back_when_add_fails(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "add", "cni0", "type", "bridge")
    host.command("ip", "address", "add", "172.16.0.1/24", "dev", "cni0")
    ipam = fake.section("10.1.0.2/16", routes=[{"dst": "1.0.0.0/8", "gw": "9.9.9.9"}])
    with pytest.raises(PluginError):
        runtime.add(network(ipam, isGateway=True, forceAddress=True), netns=container)
    assert [one for one in host.addresses("cni0") if ":" not in one] == ["172.16.0.1/24"]


def test_ipv6_gateways_of_several_subnets_stand_beside_each_other(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "add", "cni0", "type", "bridge")
    host.command("ip", "address", "add", "2001:db8:1::1/64", "dev", "cni0")
    config = network(fake.section("2001:db8:2::2/64"), isGateway=True)
    runtime.add(config, netns=container)
    assert {"2001:db8:1::1/64", "2001:db8:2::1/64"} <= set(host.addresses("cni0"))
    runtime.delete(config, netns=container)
    overlapping = network(fake.section("2001:db8:1::2/48"), isGateway=True)
    with pytest.raises(PluginError, match="different from 2001:db8:1::1/48"):
        runtime.add({**overlapping}, netns=container)


def test_vlans_on_a_kernel_that_has_none(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    """Where the kernel filters VLANs, their own tests (in User-Mode-Linux) see them work."""
    probe = ("ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1")
    config = network(vlan=100)
    if host.command(*probe, check=False).returncode == 0:
        host.command("ip", "link", "delete", "probe")
        runtime.add(config, netns=container)
        runtime.delete(config, netns=container)
        return
    with pytest.raises(PluginError, match="CONFIG_BRIDGE_VLAN_FILTERING") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == UNSUPPORTED_FIELD
    assert '"vlan": 100' in caught.value.msg
    assert "cni0" not in host.links()
    host.command("ip", "link", "add", "cni0", "type", "bridge")
    with pytest.raises(
        PluginError, match="ip link set cni0 type bridge vlan_filtering 1"
    ) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY


def test_an_ipam_without_addresses(runtime: Runtime, fake: FakeIpam, container: Namespace) -> None:
    with pytest.raises(PluginError, match="missing IP config") as caught:
        runtime.add(network(fake.section()), netns=container)
    assert caught.value.code == DELEGATE_FAILED
    assert fake.calls == ["ADD c1", "DEL c1"]


def test_a_missing_ipam_plugin(runtime: Runtime, host: Host, container: Namespace) -> None:
    with pytest.raises(PluginError, match='failed to find plugin "nowhere"') as caught:
        runtime.add(network({"type": "nowhere"}), netns=container)
    assert caught.value.code == INVALID_ENVIRONMENT
    with pytest.raises(PluginError, match=r"plugin type '../x'") as caught:
        runtime.add(network({"type": "../x"}), netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert "cni0" not in host.links()


@pytest.mark.parametrize("plugin", ["bridge", "ptp"])
def test_an_interface_plugin_is_no_ipam_plugin(
    plugin: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    """It reads the same `ipam.type`, and would ask itself for ever."""
    config = network({"type": plugin})
    for verb in ("ADD", "DEL", "GC", "STATUS"):
        more: Document = {"cni.dev/valid-attachments": []} if verb == "GC" else {}
        with pytest.raises(PluginError, match=f'key "ipam.type": found "{plugin}"') as caught:
            runtime.call(verb, {**config, **more}, netns=container)
        assert caught.value.code == (NOT_AVAILABLE if verb == "STATUS" else INVALID_CONFIG)
    assert "cni0" not in host.links()


def test_wrong_config_touches_nothing(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    with pytest.raises(PluginError, match='key "mtu": found "banana"'):
        runtime.add(network(fake.section("10.1.0.2/16"), mtu="banana"), netns=container)
    assert fake.calls == []
    assert "cni0" not in host.links()


def test_gc_removes_only_this_networks_strangers(
    runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    kept, gone, other = host.container(), host.container(), host.container()
    config = network(fake.section("10.1.0.2/16"), ipMasq=True, macspoofchk=True)
    for name, ns in (("kept", kept), ("gone", gone)):
        runtime.add(config, container=name, netns=ns)
    elsewhere = {**config, "name": "other"}
    runtime.add(elsewhere, container="gone", netns=other)
    runtime.gc(config, [("kept", "eth0")])
    assert "eth0" in kept.links()
    assert "eth0" not in gone.links()
    assert "eth0" in other.links()
    assert fake.calls[-1].startswith("GC")
    runtime.gc(config, [])
    assert "eth0" not in kept.links()
    runtime.delete(elsewhere, container="gone", netns=other)


def test_status(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    config = network(fake.section("10.1.0.2/16"), ipMasq=True)
    runtime.status(config)
    for broken in (
        {**config, "mtu": "x"},
        {**config, "bridge": "lo"},
        {**config, "ipam": fake.section(fail=["STATUS"])},
    ):
        with pytest.raises(PluginError) as caught:
            runtime.status(broken)
        assert caught.value.code in (50, TRY_AGAIN_LATER)
