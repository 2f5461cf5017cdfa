"""ADD and DEL on one host: what is made, for whom, in which shape; what goes and what stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyroute2.ethtool import Ethtool

from cni.errors import IN_THE_WAY
from cni_vxlan import identity
from hostnet.monitor import RTNLGRP_LINK, Monitor
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from tests.kit.versions import each_version, versions_since
from tests.vxlan.conftest import FOUR, SIX, document, l2, l3, nodes, remove_overlay
from wiring.veth import host_veth

VETH = host_veth("net/c1/eth0")
SEGMENTS = ("static", "multicast", "evpn")


def vxlan(host: Host, name: str = "vxlan42") -> Any:
    """The device's own settings, as `ip` sees them."""
    return host.links()[name]["linkinfo"]["info_data"]


def neighbours(host: Host, device: str) -> set[tuple[str, str, str]]:
    """(address, MAC, state) of a device's neighbours that bear our mark."""
    found = host.ip("-details", "neighbour", "show", "dev", device) or []
    return {
        (one["dst"], one["lladdr"], *one["state"]) for one in found if one.get("protocol") == "201"
    }


def entries(host: Host, device: str = "vxlan42") -> set[tuple[str, str]]:
    """(MAC, destination) of the device's own forwarding entries."""
    text = host.command("bridge", "-json", "fdb", "show", "dev", device).stdout
    return {(one["mac"], one["dst"]) for one in json.loads(text) if "dst" in one}


def guard(host: Host) -> str:
    return host.command("nft", "list", "table", "inet", "pycni_vxlan").stdout


# ---- the result --------------------------------------------------------------------------------


@each_version
def test_the_result_in_every_version(
    version: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay, cniVersion=version, isDefaultGateway=True)
    result = runtime.add(config, netns=container)
    assert result["cniVersion"] == version
    four, six = ("10.244.1.2/24", "10.244.1.1"), ("fd00:1:0:1::2/64", "fd00:1:0:1::1")
    if version in ("0.1.0", "0.2.0"):
        assert (result["ip4"]["ip"], result["ip4"]["gateway"]) == four
        assert (result["ip6"]["ip"], result["ip6"]["gateway"]) == six
        assert {"dst": "10.244.0.0/16"} in result["ip4"]["routes"]
        assert {"dst": "0.0.0.0/0", "gw": "10.244.1.1"} in result["ip4"]["routes"]
    else:
        links, inner = underlay.links(), container.links()["eth0"]
        mtu = {"mtu": 1450} if version in versions_since("1.0.0") else {}
        shown = [
            {"name": name, "mac": links[name]["address"], **mtu}
            for name in ("vxbr42", VETH, "vxlan42")
        ]
        inside = {"name": "eth0", "mac": inner["address"], **mtu, "sandbox": str(container)}
        assert result["interfaces"] == [*shown[:2], inside, shown[2]]
        assert [(one["address"], one["gateway"]) for one in result["ips"]] == [four, six]
        assert {one["interface"] for one in result["ips"]} == {2}
    if version in versions_since("0.4.0"):
        runtime.check(config, result, netns=container)
    if version in versions_since("1.1.0"):
        runtime.status(config)
        runtime.gc(config, [("c1", "eth0")])
    runtime.delete(config, netns=container)
    assert VETH not in underlay.links()
    remove_overlay(underlay)


@pytest.mark.parametrize("engine", SEGMENTS)
@each_version
def test_a_segment_in_every_version(
    version: str, engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l2(underlay, engine, cniVersion=version)
    result = runtime.add(config, netns=container)
    if version in versions_since("0.3.0"):
        names = [one["name"] for one in result["interfaces"]]
        assert names == ["vxbr42", VETH, "eth0", "vxlan42"]
        assert result.get("routes", []) == []
    if version in versions_since("0.4.0"):
        runtime.check(config, result, netns=container)
    if version in versions_since("1.1.0"):
        runtime.status(config)
        runtime.gc(config, [("c1", "eth0")])
        assert VETH in underlay.links()
    runtime.delete(config, netns=container)


# ---- mode l3 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_a_routed_overlay(
    family: int, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    local, mtu = (FOUR, 1450) if family == 4 else (SIX, 1430)
    config = l3(underlay, family)
    runtime.add(config, netns=container)
    device = underlay.links()["vxlan42"]
    assert device["ifalias"] == "pycni vxlan net 10.244.1.0/24 fd00:1:0:1::/64"
    assert device["address"] == identity.vtep_mac(local, 42, family)
    assert "UP" in device["flags"]
    assert "master" not in device
    settings = vxlan(underlay)
    assert (settings["id"], settings["port"], settings["link"]) == (42, 4789, "eth0")
    assert settings["local" if family == 4 else "local6"] == local
    assert not settings["learning"]
    assert set(underlay.addresses("vxlan42")) == {"10.244.1.0/32", "fd00:1:0:1::/128"}
    assert set(underlay.addresses("vxbr42")) == {"10.244.1.1/24", "fd00:1:0:1::1/64"}
    for name in ("vxlan42", "vxbr42", VETH):
        assert underlay.links()[name]["mtu"] == mtu
    assert container.links()["eth0"]["mtu"] == mtu
    peers = [one["address"] for one in nodes(family)[1:]]
    macs = [identity.vtep_mac(one, 42, family) for one in peers]
    assert entries(underlay) == set(zip(macs, peers, strict=True))
    assert neighbours(underlay, "vxlan42") == {
        (base, mac, "PERMANENT")
        for number, mac in zip((2, 3), macs, strict=True)
        for base in (f"10.244.{number}.0", f"fd00:1:0:{number}::")
    }
    for version, text in (("-4", "10.244.{}.0"), ("-6", "fd00:1:0:{}::")):
        there = {
            (one["dst"].partition("/")[0], one["gateway"], tuple(one["flags"]))
            for one in underlay.ip(version, "route", "show", "dev", "vxlan42", "proto", "201")
        }
        assert there == {(text.format(n), text.format(n), ("onlink",)) for n in (2, 3)}
        routes = container.ip(version, "route", "show")
        assert {one["dst"] for one in routes} >= {
            "10.244.0.0/16" if version == "-4" else "fd00:1::/48"
        }
        assert "default" not in {one["dst"] for one in routes}
    for peer in peers:
        assert peer in guard(underlay)
    for address in ("10.244.1.1", "fd00:1:0:1::1", "10.244.1.0"):
        assert ping(container, address) is not None
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_the_device_of_a_routed_overlay_outlives_its_containers(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Other hosts have routes to it, and the next container comes soon."""
    config = l3(underlay)
    runtime.add(config, netns=container)
    index = underlay.links()["vxlan42"]["ifindex"]
    before = guard(underlay)
    runtime.delete(config, netns=container)
    runtime.gc(config, [])
    runtime.add(config, netns=container)
    assert underlay.links()["vxlan42"]["ifindex"] == index
    assert guard(underlay) == before
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_gc_ends_the_guard_of_a_device_that_was_removed(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """As an administrator removes what stays of mode l3. Another network's VNI stays guarded."""
    runtime.add(l3(underlay), netns=container)
    others = l2(underlay, name="other", vni=43)
    runtime.add(others, container="c2", netns=underlay.container())
    runtime.delete(l3(underlay), netns=container)
    underlay.command("ip", "link", "delete", "vxlan42")
    underlay.command("ip", "link", "delete", "vxbr42")
    assert "0x2a" in guard(underlay)
    runtime.gc(l3(underlay), [])
    assert "0x2a" not in guard(underlay)
    assert "0x2b" in guard(underlay)
    runtime.gc(others, [])


def test_containers_of_a_host_talk_and_are_told_apart(runtime: Runtime, underlay: Host) -> None:
    one, two = underlay.container(), underlay.container()
    config = l3(underlay)
    for number, ns in enumerate((one, two)):
        runtime.add(config, container=f"c{number}", netns=ns)
    for address in ("10.244.1.3", "fd00:1:0:1::3"):
        assert ping(one, address) is not None
    runtime.delete(config, container="c0", netns=one)
    assert ping(underlay, "10.244.1.3") is not None
    runtime.delete(config, container="c1", netns=two)
    remove_overlay(underlay)


def test_what_was_lost_is_made_again_by_the_next_add(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay)
    runtime.add(config, netns=container)
    before = (entries(underlay), neighbours(underlay, "vxlan42"), guard(underlay))
    addresses = underlay.addresses("vxlan42")
    for command in (
        "ip link set vxlan42 down",
        "ip address flush dev vxlan42",
        "bridge fdb del 6e:57:83:de:65:28 dev vxlan42 dst 192.0.2.2",
        "nft flush set inet pycni_vxlan guarded",
    ):
        underlay.command(*command.split())
    other = underlay.container()
    runtime.add(config, container="c2", netns=other)
    assert (entries(underlay), neighbours(underlay, "vxlan42"), guard(underlay)) == before
    assert set(underlay.addresses("vxlan42")) == set(addresses)
    runtime.delete(config, container="c2", netns=other)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_a_peer_that_leaves_the_list_leaves_the_kernel(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    runtime.add(l3(underlay), netns=container)
    fewer = l3(underlay, peers={"type": "static", "nodes": nodes(4, 2)})
    other = underlay.container()
    runtime.add(fewer, container="c2", netns=other)
    assert {where for _, where in entries(underlay)} == {"192.0.2.2"}
    assert "192.0.2.3" not in guard(underlay)
    assert "10.244.3.0" not in underlay.command("ip", "route").stdout
    for name, ns in (("c1", container), ("c2", other)):
        runtime.delete(fewer, container=name, netns=ns)
    remove_overlay(underlay)


def test_the_underlay_gets_another_address(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """The same host under another address: the device goes on with it, and so do containers."""
    runtime.add(l3(underlay), netns=container)
    index = underlay.links()["vxlan42"]["ifindex"]
    underlay.command("ip", "address", "del", f"{FOUR}/24", "dev", "eth0")
    underlay.command("ip", "address", "add", "192.0.2.9/24", "dev", "eth0")
    moved = [{**nodes()[0], "address": "192.0.2.9"}, *nodes()[1:]]
    config = l3(underlay, peers={"type": "static", "nodes": moved})
    other = underlay.container()
    runtime.add(config, container="c2", netns=other)
    device = underlay.links()["vxlan42"]
    assert device["ifindex"] == index
    assert vxlan(underlay)["local"] == "192.0.2.9"
    assert device["address"] == identity.vtep_mac("192.0.2.9", 42, 4)
    assert len(neighbours(underlay, "vxlan42")) == 4
    for name, ns in (("c1", container), ("c2", other)):
        runtime.delete(config, container=name, netns=ns)
    remove_overlay(underlay)


@pytest.mark.parametrize("engine", ["l3", *SEGMENTS])
def test_the_address_moves_to_another_device(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """As to a bond or a bridge that the network card becomes a port of."""
    config = l3(underlay) if engine == "l3" else l2(underlay, engine)
    first = runtime.add(config, netns=container)
    before = underlay.links()["vxlan42"]["ifindex"]
    commands = (
        "link add uplink type bridge",
        "link set uplink mtu 1400 up",
        "address flush dev eth0",
        f"address add {FOUR}/24 dev uplink",
        "route add default via 192.0.2.254",
    )
    for one in commands:
        underlay.command("ip", *one.split())
    with pytest.raises(PluginError, match="vxlan42 runs over eth0, expected uplink"):
        runtime.check(config, first, netns=container)
    runtime.status(config)
    other = underlay.container()
    result = runtime.add(config, container="c2", netns=other)
    device = underlay.links()["vxlan42"]
    assert (device["ifindex"], device["mtu"], vxlan(underlay)["link"]) == (before, 1350, "uplink")
    assert "UP" in device["flags"]
    assert '"uplink" . 4789' in guard(underlay)
    assert "eth0" not in guard(underlay)
    groups = [one["family"] for one in _groups(underlay, "uplink") if one["address"] == "239.1.1.1"]
    assert groups == (["inet"] if engine == "multicast" else [])
    runtime.check(config, result, container="c2", netns=other)
    for name, ns in (("c1", container), ("c2", other)):
        runtime.delete(config, container=name, netns=ns)
    if engine == "l3":
        remove_overlay(underlay)
    underlay.command("ip", "link", "delete", "uplink")


def _groups(host: Host, device: str) -> list[dict[str, str]]:
    """The multicast groups a device is in."""
    found = host.ip("maddress", "show", "dev", device)
    return [group for one in found for group in one["maddr"] if "address" in group]


# ---- mode l2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("engine", SEGMENTS)
def test_a_segment(
    engine: str, family: int, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l2(underlay, engine, family)
    runtime.add(config, netns=container)
    device = underlay.links()["vxlan42"]
    settings = vxlan(underlay)
    suffix = "" if family == 4 else "6"
    assert device["ifalias"] == "pycni vxlan net"
    assert device["master"] == "vxbr42"
    assert settings[f"local{suffix}"] == (FOUR if family == 4 else SIX)
    assert settings["learning"] is (engine != "evpn")
    assert underlay.addresses("vxlan42") == []
    port = device["linkinfo"]["info_slave_data"]
    assert port["learning"] is (engine != "evpn")
    assert port["neigh_suppress"] is (engine == "evpn")
    zero = "00:00:00:00:00:00"
    if engine == "multicast":
        assert settings[f"group{suffix}"] == ("239.1.1.1" if family == 4 else "ff05::42")
        assert settings["ttl"] == 64
    if engine == "static":
        assert entries(underlay) == {(zero, one["address"]) for one in nodes(family)[1:]}
        assert '"eth0" . 4789 . 0x2a' in guard(underlay).partition("set near")[2]
    else:
        assert '"eth0" . 4789 . 0x2a' in guard(underlay).partition("set near")[0]
    if engine == "evpn":
        mac = container.links()["eth0"]["address"]
        assert neighbours(underlay, "vxbr42") == {
            ("10.42.0.2", mac, "PERMANENT"),
            ("fd42::2", mac, "PERMANENT"),
        }
    else:
        assert neighbours(underlay, "vxbr42") == set()
    runtime.delete(config, netns=container)


@pytest.mark.parametrize("engine", SEGMENTS)
def test_the_last_container_takes_the_segment_along(
    engine: str, runtime: Runtime, underlay: Host
) -> None:
    one, two = underlay.container(), underlay.container()
    config = l2(underlay, engine)
    for number, ns in enumerate((one, two)):
        runtime.add(config, container=f"c{number}", netns=ns)
    runtime.delete(config, container="c0", netns=one)
    assert {"vxlan42", "vxbr42"} < set(underlay.links())
    assert "0x2a" in guard(underlay)
    assert "10.42.0.2" not in {address for address, _, _ in neighbours(underlay, "vxbr42")}
    for _ in range(2):  # DEL is repeatable
        runtime.delete(config, container="c1", netns=two)
        assert not {"vxlan42", "vxbr42"} & set(underlay.links())
        assert "0x2a" not in guard(underlay)


def test_gc_takes_the_segment_along(runtime: Runtime, underlay: Host) -> None:
    one, two = underlay.container(), underlay.container()
    config = l2(underlay, "evpn")
    for number, ns in enumerate((one, two)):
        runtime.add(config, container=f"c{number}", netns=ns)
    runtime.gc(config, [("c1", "eth0")])
    assert {address for address, _, _ in neighbours(underlay, "vxbr42")} == {"10.42.0.3", "fd42::3"}
    runtime.gc(config, [])
    assert not {"vxlan42", "vxbr42"} & set(underlay.links())


def test_a_container_that_died_without_a_del(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Its namespace takes the port along; DEL finds the rest by what that left."""
    other = underlay.container()
    config = l2(underlay, "evpn")
    runtime.add(config, netns=container)
    runtime.add(config, container="c2", netns=other)
    with Monitor(RTNLGRP_LINK) as announced:
        container.close()
        announced.until(lambda: VETH not in underlay.links() or None, 5, "the end of the port")
    assert len(neighbours(underlay, "vxbr42")) == 4
    runtime.delete(config)
    assert {address for address, _, _ in neighbours(underlay, "vxbr42")} == {"10.42.0.3", "fd42::3"}
    runtime.delete(config, container="c2", netns=other)


def test_a_bridge_of_somebody_else_is_used_and_left(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "link", "add", "br0", "type", "bridge")
    config = l2(underlay, bridge="br0")
    runtime.add(config, netns=container)
    assert underlay.links()["vxlan42"]["master"] == "br0"
    assert "ifalias" not in underlay.links()["br0"]
    runtime.delete(config, netns=container)
    assert "vxlan42" not in underlay.links()
    underlay.command("ip", "link", "delete", "br0")


def test_what_else_hangs_on_the_bridge_keeps_the_segment(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Such as a virtual machine's interface."""
    config = l2(underlay)
    runtime.add(config, netns=container)
    underlay.command("ip", "tuntap", "add", "vm0", "mode", "tap")
    underlay.command("ip", "link", "set", "vm0", "master", "vxbr42")
    runtime.delete(config, netns=container)
    assert {"vxlan42", "vxbr42"} < set(underlay.links())
    underlay.command("ip", "link", "delete", "vm0")
    runtime.delete(config, netns=container)
    assert not {"vxlan42", "vxbr42"} & set(underlay.links())


def test_hosts_with_one_gateway_address_share_its_mac(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Else the others' containers would ask one host and answer to another."""
    macs = []
    for gateway in ("10.42.0.1", "10.42.0.254", "10.42.0.1"):
        ranges = [[{"subnet": "10.42.0.0/24", "gateway": gateway}]]
        config = l2(underlay, isGateway=True, ipam={"ranges": ranges})
        runtime.add(config, netns=container)
        macs.append(underlay.links()["vxbr42"]["address"])
        assert underlay.addresses("vxbr42") == [f"{gateway}/24"]
        runtime.delete(config, netns=container)
    assert macs[0] == macs[2] != macs[1]


def test_a_segment_without_addresses(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l2(underlay, "evpn", ipam={"type": ""})
    result = runtime.add(config, netns=container)
    assert "ips" not in result
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


# ---- beside each other -------------------------------------------------------------------------


def test_several_networks_share_a_port_and_a_host(runtime: Runtime, underlay: Host) -> None:
    configs = [
        l3(underlay, name="one", vni=1),
        l2(underlay, name="two", vni=2),
        l2(underlay, "static", name="three", vni=3),
        l2(underlay, "evpn", name="four", vni=4, port=4790),
    ]
    spaces = [underlay.container() for _ in configs]
    for config, ns in zip(configs, spaces, strict=True):
        runtime.add(config, netns=ns)
    assert {f"vxlan{number}" for number in (1, 2, 3, 4)} < set(underlay.links())
    for config, ns in zip(configs[1:], spaces[1:], strict=True):
        runtime.delete(config, netns=ns)
    assert ping(spaces[0], "10.244.1.1") is not None
    assert "4789 . 0x1 " in guard(underlay)
    runtime.delete(configs[0], netns=spaces[0])
    remove_overlay(underlay, vni=1)


def test_a_second_add_is_refused_and_harms_nothing(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    for config in (l2(underlay, "evpn"), l3(underlay)):
        runtime.add(config, netns=container)
        with pytest.raises(PluginError) as caught:
            runtime.add(config, netns=container)
        assert caught.value.code == IN_THE_WAY
        assert VETH in underlay.links()
        assert "vxlan42" in underlay.links()
        runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_masquerade_spares_the_overlay_and_the_outer_packets(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay, ipMasq=True)
    runtime.add(config, netns=container)
    rules = underlay.command("nft", "list", "table", "inet", "pycni_masquerade").stdout
    assert "10.244.1.2 . 10.244.0.0" in rules
    assert "fd00:1:0:1::2 . fd00:1::" in rules
    assert FOUR not in rules
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_checksum_offload_can_be_turned_off(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay, txChecksumOffload=False)
    result = runtime.add(config, netns=container)
    with Ethtool() as ethtool:
        features = ethtool.get_features("vxlan42").features
    assert not features["tx-checksum-ip-generic"].enable
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


# ---- flannel -----------------------------------------------------------------------------------


def flannel(host: Host, path: Any, **keys: Any) -> dict[str, Any]:
    path.write_text(
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"
        "FLANNEL_IPV6_NETWORK=fd00:1::/48\nFLANNEL_IPV6_SUBNET=fd00:1:0:1::1/64\n"
        "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    )
    peers = {"type": "flannel", "subnetFile": str(path)}
    return document(host, **{"peers": peers, "vni": 1, **keys})


def test_flannel_makes_the_device(
    runtime: Runtime, underlay: Host, container: Namespace, tmp_path: Any
) -> None:
    config = flannel(underlay, tmp_path / "subnet.env")
    result = runtime.add(config, netns=container)
    assert [one["name"] for one in result["interfaces"]] == ["vxbr1", VETH, "eth0"]
    assert [one["address"] for one in result["ips"]] == ["10.244.1.2/24", "fd00:1:0:1::2/64"]
    assert container.links()["eth0"]["mtu"] == 1450
    routes = container.ip("route", "show")
    assert {"10.244.0.0/16"} < {one["dst"] for one in routes}
    # flanneld does not masquerade here, so the plugin does, but not within flannel's network.
    rules = underlay.command("nft", "list", "table", "inet", "pycni_masquerade").stdout
    assert "10.244.1.2 . 10.244.0.0" in rules
    runtime.check(config, result, netns=container)
    runtime.status(config)
    (tmp_path / "subnet.env").unlink()  # a DEL needs it not
    runtime.delete(config, netns=container)
    remove_overlay(underlay, vni=1)


def test_flannel_takes_too_little_off_for_ipv6(
    runtime: Runtime, underlay: Host, container: Namespace, tmp_path: Any
) -> None:
    """flannel#1781: the file says 1450 on an underlay of IPv6, and the device has 1430."""
    device = "flannel.1 type vxlan id 1 dstport 8472 dev eth0 local 2001:db8::1"
    underlay.command("ip", "link", "add", *device.split())
    config = flannel(underlay, tmp_path / "subnet.env", ipMasq=False)
    runtime.add(config, netns=container)
    assert container.links()["eth0"]["mtu"] == 1430
    rules = underlay.command("nft", "list", "tables").stdout
    assert "pycni_masquerade" not in rules
    runtime.delete(config, netns=container)
    underlay.command("ip", "link", "delete", "flannel.1")
    remove_overlay(underlay, vni=1)


# ---- the underlay ------------------------------------------------------------------------------


def test_a_default_route_that_leads_nowhere_names_no_underlay(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "-6", "route", "add", "unreachable", "default", "metric", "1")
    config = l2(underlay, "multicast", 6)
    runtime.add(config, netns=container)
    assert vxlan(underlay)["link"] == "eth0"
    runtime.delete(config, netns=container)
    underlay.command("ip", "-6", "route", "del", "unreachable", "default", "metric", "1")


def test_the_best_default_route_names_the_underlay(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "link", "add", "other", "type", "veth", "peer", "name", "end")
    underlay.command("ip", "link", "set", "other", "up")
    underlay.command("ip", "address", "add", "198.51.100.1/24", "dev", "other")
    underlay.command("ip", "route", "flush", "default")
    for metric, device in ((50, "other"), (200, "eth0")):
        for dev, via, cost in (("eth0", "192.0.2.254", 100), ("other", "198.51.100.254", metric)):
            route = f"default via {via} dev {dev} metric {cost}"
            underlay.command("ip", "route", "add", *route.split())
        runtime.add(l2(underlay), netns=container)
        assert vxlan(underlay)["link"] == device
        runtime.delete(l2(underlay), netns=container)
        underlay.command("ip", "route", "flush", "default")
    underlay.command("ip", "link", "delete", "other")
