"""What ADD refuses on a host: the code, the key, what was found, the remedy, and nothing left."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cni.errors import (
    DECODE_FAILURE,
    IN_THE_WAY,
    INVALID_CONFIG,
    NO_ADDRESS,
    NOT_AVAILABLE,
    TRY_AGAIN_LATER,
)
from cni_vxlan import identity
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.vxlan.conftest import document, l2, l3, nodes, remove_overlay

ENGINES = ("l3", "static", "multicast", "evpn")


def a_config(engine: str, host: Host, **keys: Any) -> dict[str, Any]:
    return l3(host, **keys) if engine == "l3" else l2(host, engine, **keys)


@pytest.fixture
def nothing_left(underlay: Host) -> Iterator[None]:
    """No link of the overlay, nor a guard; all else the host's own leak check sees."""
    yield
    assert set(underlay.links()) <= {"lo", "eth0", "other"}
    assert "0x2a" not in underlay.command("nft", "list", "ruleset").stdout


def refused(
    runtime: Runtime, config: dict[str, Any], container: Namespace, code: int, *words: str
) -> str:
    """The message of a refused ADD. STATUS says the same before it is tried."""
    with pytest.raises(PluginError) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == code, caught.value.msg
    for word in words:
        assert word in caught.value.msg
    return caught.value.msg


def unavailable(runtime: Runtime, config: dict[str, Any], *words: str) -> None:
    with pytest.raises(PluginError) as caught:
        runtime.status(config)
    assert caught.value.code == NOT_AVAILABLE
    for word in words:
        assert word in caught.value.msg


# ---- the underlay ------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", ENGINES)
def test_an_underlay_that_is_not_there(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    keys = {"underlay": "eth7"}
    if engine == "evpn":
        keys["local"] = "192.0.2.1"
    config = a_config(engine, underlay, **keys)
    words = ('key "underlay"', '"eth7"', "eth0", "lo")
    refused(runtime, config, container, INVALID_CONFIG, *words)
    unavailable(runtime, config, *words)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", ENGINES)
def test_an_underlay_that_is_down(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = a_config(engine, underlay, underlay="eth0")
    underlay.command("ip", "link", "set", "eth0", "down")
    words = ('key "underlay"', "eth0 is down", "ip link set eth0 up")
    refused(runtime, config, container, TRY_AGAIN_LATER, *words)
    unavailable(runtime, config, *words)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("family", ["4", "6"])
def test_no_default_route_says_the_underlay(
    family: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", f"-{family}", "route", "del", "default")
    config = l2(underlay, "multicast", int(family))
    words = ('key "underlay"', "it is missing", f"no default IPv{family} route", "name it")
    refused(runtime, config, container, INVALID_CONFIG, *words)
    unavailable(runtime, config, *words)


@pytest.mark.usefixtures("nothing_left")
def test_an_underlay_without_an_address(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "-4", "address", "flush", "dev", "eth0")
    config = l2(underlay, underlay="eth0")
    words = ('key "underlay"', "eth0 has no global IPv4 address", "give it one")
    refused(runtime, config, container, TRY_AGAIN_LATER, *words)
    unavailable(runtime, config, *words)


def test_ipv6_serves_where_there_is_no_ipv4(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "-4", "address", "flush", "dev", "eth0")
    config = l2(underlay, "evpn", local=None)
    runtime.add(config, netns=container)
    assert underlay.links()["vxlan42"]["linkinfo"]["info_data"]["local6"] == "2001:db8::1"
    runtime.delete(config, netns=container)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("keys", [{}, {"underlay": "eth0"}])
def test_a_local_that_is_not_of_this_host(
    keys: dict[str, Any], runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l2(underlay, local="192.0.2.77", **keys)
    words = ('key "local"', "192.0.2.77", "expected an address of")
    refused(runtime, config, container, INVALID_CONFIG, *words)


@pytest.mark.usefixtures("nothing_left")
def test_a_list_of_hosts_without_this_one(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay, peers={"type": "static", "nodes": nodes()[1:]})
    words = ('key "peers.nodes"', "192.0.2.2, 192.0.2.3", "this one too")
    refused(runtime, config, container, INVALID_CONFIG, *words)
    unavailable(runtime, config, *words)


@pytest.mark.usefixtures("nothing_left")
def test_a_list_of_hosts_with_this_one_twice(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "address", "add", "192.0.2.3/24", "dev", "eth0")
    words = ('key "peers.nodes"', "2 nodes", "192.0.2.1, 192.0.2.3", '"local"')
    refused(runtime, l3(underlay), container, INVALID_CONFIG, *words)


def test_local_says_which_host_this_is(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "address", "add", "192.0.2.3/24", "dev", "eth0")
    config = l3(underlay, local="192.0.2.3")
    result = runtime.add(config, netns=container)
    assert result["ips"][0]["address"] == "10.244.3.2/24"
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


# ---- MTU ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("family", [4, 6])
def test_an_mtu_that_is_too_large(
    family: int, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """The kernel would take it, and without a word give less."""
    overhead = 50 if family == 4 else 70
    room = 1500 - overhead
    config = l3(underlay, family, mtu=room + 1)
    words = ('key "mtu"', f"found {room + 1}", f"at most {room}", "eth0 has 1500", f"{overhead}")
    refused(runtime, config, container, INVALID_CONFIG, *words)
    unavailable(runtime, config, *words)


def test_an_mtu_that_fits(runtime: Runtime, underlay: Host, container: Namespace) -> None:
    config = l3(underlay, mtu=1400)
    runtime.add(config, netns=container)
    assert underlay.links()["vxlan42"]["mtu"] == 1400
    assert container.links()["eth0"]["mtu"] == 1400
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


@pytest.mark.usefixtures("nothing_left")
def test_an_underlay_too_narrow_for_ipv6(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "link", "set", "eth0", "mtu", "1320")
    words = ('key "network"', "1270", "expected 1280", "enlarge")
    refused(runtime, l3(underlay), container, INVALID_CONFIG, *words)


def test_a_narrower_underlay_narrows_the_overlay(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    runtime.add(l3(underlay), netns=container)
    underlay.command("ip", "link", "set", "eth0", "mtu", "1400")
    other = underlay.container()
    runtime.add(l3(underlay), container="c2", netns=other)
    assert underlay.links()["vxlan42"]["mtu"] == 1350
    assert other.links()["eth0"]["mtu"] == 1350
    for name, ns in (("c1", container), ("c2", other)):
        runtime.delete(l3(underlay), container=name, netns=ns)
    remove_overlay(underlay)


# ---- names and numbers that are taken ----------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_port_that_a_process_has(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = a_config(engine, underlay)
    with underlay.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 4789))
        words = ('key "port"', "4789", "process", "choose another port")
        refused(runtime, config, container, IN_THE_WAY, *words)
        unavailable(runtime, config, *words)


@pytest.mark.usefixtures("nothing_left")
def test_a_port_that_another_tunnel_has(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """One whose VNI comes with each packet takes the whole port; only setting up shows it."""
    device = "other type vxlan dstport 4789 external"
    underlay.command("ip", "link", "add", *device.split())
    underlay.command("ip", "link", "set", "other", "up")
    words = ('key "port"', "4789", "the VXLAN device other", "choose another port")
    for engine in ENGINES:
        refused(runtime, a_config(engine, underlay), container, IN_THE_WAY, *words)
        assert "vxlan42" not in underlay.links()
    underlay.command("ip", "link", "delete", "other")


@pytest.mark.parametrize("engine", ENGINES)
def test_two_networks_with_one_vni(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    first = a_config(engine, underlay)
    runtime.add(first, netns=container)
    other = underlay.container()
    second = a_config(engine, underlay, name="other", bridge="br1")
    words = ('key "vni"', "found 42", '"other"', '"net"', "a VNI of its own")
    refused(runtime, second, other, IN_THE_WAY, *words)
    unavailable(runtime, second, *words)
    assert "br1" not in underlay.links()
    runtime.delete(second, netns=other)
    assert "0x2a" in underlay.command("nft", "list", "ruleset").stdout
    runtime.delete(first, netns=container)
    remove_overlay(underlay)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_networks_with_one_bridge(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    first = a_config(engine, underlay)
    runtime.add(first, netns=container)
    other = underlay.container()
    second = a_config(engine, underlay, name="other", vni=43, bridge="vxbr42")
    words = ('key "bridge"', '"vxbr42"', '"net"', '"other"', "of its own")
    refused(runtime, second, other, IN_THE_WAY, *words)
    unavailable(runtime, second, *words)
    assert "vxlan43" not in underlay.links()
    runtime.delete(second, netns=other)
    runtime.delete(first, netns=container)
    remove_overlay(underlay)


def test_two_segments_on_a_bridge_of_somebody_else(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Which would make one segment of both, on all hosts."""
    underlay.command("ip", "link", "add", "br0", "type", "bridge")
    first = l2(underlay, bridge="br0")
    runtime.add(first, netns=container)
    other = underlay.container()
    second = l2(underlay, name="other", vni=43, bridge="br0")
    words = ('key "bridge"', '"br0"', '"net"', "vxlan42", "one segment")
    refused(runtime, second, other, IN_THE_WAY, *words)
    assert "vxlan43" not in underlay.links()
    runtime.delete(first, netns=container)
    underlay.command("ip", "link", "delete", "br0")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bridge", "vxlan42, bridge, is not of this plugin"),
        ("vxlan id 42 dstport 4789 dev eth0", "vxlan42, vxlan, is not of this plugin"),
    ],
)
def test_a_device_of_somebody_else(
    kind: str, words: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "link", "add", "vxlan42", "type", *kind.split())
    for engine in ENGINES:
        config = a_config(engine, underlay)
        said = ('key "vni"', "found 42", words, "ip link delete vxlan42")
        refused(runtime, config, container, IN_THE_WAY, *said)
        unavailable(runtime, config, *said)
        runtime.delete(config, netns=container)
        runtime.gc(config, [])
    assert "vxlan42" in underlay.links()
    underlay.command("ip", "link", "delete", "vxlan42")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_that_an_add_did_not_finish(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Killed before its mark was there, it is known by its MAC, and replaced."""
    mac = identity.vtep_mac("192.0.2.1", 42, 4)
    device = f"link add vxlan42 address {mac} type vxlan id 42 dstport 4789 local 192.0.2.1"
    underlay.command("ip", *device.split(), "dev", "eth0")
    config = a_config(engine, underlay)
    runtime.status(config)
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    if engine == "l3":
        remove_overlay(underlay)


@pytest.mark.usefixtures("nothing_left")
def test_a_vni_that_a_device_of_another_name_has(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    device = "link add other type vxlan id 42 dstport 4789 dev eth0 local 192.0.2.1"
    underlay.command("ip", *device.split())
    words = ('key "vni"', "found 42", "device other", "UDP port 4789", "ip link delete other")
    for engine in ENGINES:
        refused(runtime, a_config(engine, underlay), container, IN_THE_WAY, *words)
        unavailable(runtime, a_config(engine, underlay), *words)
    underlay.command("ip", "link", "delete", "other")


@pytest.mark.usefixtures("nothing_left")
def test_a_bridge_that_is_none(runtime: Runtime, underlay: Host, container: Namespace) -> None:
    for engine in ENGINES:
        config = a_config(engine, underlay, bridge="lo")
        words = ("interface lo", "expected a bridge", '"bridge"')
        refused(runtime, config, container, IN_THE_WAY, *words)


@pytest.mark.usefixtures("nothing_left")
def test_a_route_of_somebody_else_to_a_peer(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "route", "add", "10.244.2.0/24", "via", "192.0.2.254")
    words = ("not all peers of vxlan42", "10.244.2.0/24", "somebody else's", "stays")
    refused(runtime, l3(underlay), container, IN_THE_WAY, *words)
    there = underlay.ip("route", "show", "10.244.2.0/24")
    assert [one["gateway"] for one in there] == ["192.0.2.254"]


# ---- a config that changes under containers ----------------------------------------------------

OTHERS = (
    ({"port": 4790}, "the UDP port 4789, expected 4790"),
    (
        {"peers": {"type": "static", "nodes": [{**nodes()[0], "subnets": ["10.244.9.0/24"]}]}},
        "stands for",
    ),
)


@pytest.mark.parametrize(("keys", "words"), OTHERS)
def test_a_device_is_never_made_anew_under_containers(
    keys: dict[str, Any], words: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    runtime.add(l3(underlay), netns=container)
    index = underlay.links()["vxlan42"]["ifindex"]
    other = underlay.container()
    config = l3(underlay, **keys)
    refused(runtime, config, other, IN_THE_WAY, words, "not made anew under containers", "veth")
    assert underlay.links()["vxlan42"]["ifindex"] == index
    runtime.delete(l3(underlay), netns=container)
    # Nobody is left on it: now it is.
    runtime.add(config, netns=container)
    assert underlay.links()["vxlan42"]["ifindex"] != index
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_the_mode_does_not_change_under_containers(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    runtime.add(l3(underlay), netns=container)
    other = underlay.container()
    refused(runtime, l2(underlay, "static"), other, IN_THE_WAY, "learning", "no subnet (mode l2)")
    runtime.delete(l3(underlay), netns=container)
    remove_overlay(underlay)
    runtime.add(l2(underlay, "static"), netns=container)
    refused(runtime, l3(underlay), other, IN_THE_WAY, "stands for no subnet (mode l2)")
    runtime.delete(l2(underlay, "static"), netns=container)


def test_the_group_does_not_change_under_containers(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    runtime.add(l2(underlay), netns=container)
    other = underlay.container()
    config = l2(underlay, peers={"type": "multicast", "group": "239.1.1.2"})
    refused(runtime, config, other, IN_THE_WAY, "the group 239.1.1.1, expected 239.1.1.2")
    runtime.delete(l2(underlay), netns=container)


class Renamed(NamedTuple):
    """Other keys, the words that refuse them under containers, and the links they stand for."""

    keys: dict[str, Any]
    words: tuple[str, ...]
    names: set[str]


RENAMED = (
    Renamed({"vni": 43}, ('"vni": found 43', "has device vxlan42"), {"vxlan43", "vxbr43"}),
    Renamed({"bridge": "br1"}, ('found "br1"', "has bridge vxbr42"), {"vxlan42", "br1"}),
    Renamed({"vni": 43, "bridge": "vxbr42"}, ("has device vxlan42",), {"vxlan43", "vxbr42"}),
)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("renamed", RENAMED, ids=["vni", "bridge", "vni on its bridge"])
def test_names_do_not_change_under_containers(
    engine: str, renamed: Renamed, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """Two devices or bridges of one network would have the same addresses and routes."""
    keys, words, names = renamed
    before = a_config(engine, underlay)
    runtime.add(before, netns=container)
    there = set(underlay.links())
    config, other = a_config(engine, underlay, **keys), underlay.container()
    refused(runtime, config, other, IN_THE_WAY, *words, "veth", "take the config back")
    unavailable(runtime, config, *words)
    assert set(underlay.links()) == there
    runtime.delete(config, container="c2", netns=other)
    runtime.delete(config, netns=container)  # of the new one only knows what was there
    runtime.add(config, netns=container)
    assert {name for name in underlay.links() if not name.startswith("veth")} - names == {
        "lo",
        "eth0",
    }
    guarded = underlay.command("nft", "list", "set", "inet", "pycni_vxlan", "guarded").stdout
    assert ("0x2a" in guarded, "0x2b" in guarded) == ("vni" not in keys, "vni" in keys)
    runtime.delete(config, netns=container)
    if engine == "l3":
        for name in names:
            underlay.command("ip", "link", "delete", name)
        runtime.gc(config, [])
    assert set(underlay.links()) == {"lo", "eth0"}


def test_a_segment_is_not_taken_from_somebody_elses_bridge(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    underlay.command("ip", "link", "add", "br0", "type", "bridge")
    runtime.add(l2(underlay, bridge="br0"), netns=container)
    other = underlay.container()
    refused(runtime, l2(underlay), other, IN_THE_WAY, '"bridge": found "vxbr42"', "has bridge br0")
    runtime.delete(l2(underlay, bridge="br0"), netns=container)
    underlay.command("ip", "link", "delete", "br0")


# ---- IPAM and flannel --------------------------------------------------------------------------


def test_flannels_subnet_does_not_change_under_containers(
    runtime: Runtime, underlay: Host, container: Namespace, tmp_path: Path
) -> None:
    """A new lease: flanneld leads nothing to the old subnet any more."""
    path = tmp_path / "subnet.env"
    config = document(underlay, vni=1, peers={"type": "flannel", "subnetFile": str(path)})

    def lease(number: int) -> None:
        path.write_text(
            f"FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.{number}.1/24\n"
            "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
        )

    lease(1)
    runtime.add(config, netns=container)
    lease(2)
    other = underlay.container()
    words = ("vxbr1 has 10.244.1.1/24", "subnets are 10.244.2.0/24", "veth", "remove them first")
    refused(runtime, config, other, IN_THE_WAY, *words)
    unavailable(runtime, config, *words)
    runtime.delete(config, netns=container)
    result = runtime.add(config, netns=container)
    assert result["ips"][0]["address"] == "10.244.2.2/24"
    runtime.delete(config, netns=container)
    remove_overlay(underlay, vni=1)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("engine", ENGINES)
def test_an_ipam_plugin_that_fails(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = a_config(engine, underlay, args={"cni": {"ips": ["10.99.0.1"]}})
    refused(runtime, config, container, INVALID_CONFIG, "10.99.0.1")


def test_addresses_run_out(runtime: Runtime, underlay: Host, container: Namespace) -> None:
    mine = {**nodes()[0], "subnets": ["10.244.1.0/30"]}
    config = l3(underlay, peers={"type": "static", "nodes": [mine]})
    runtime.add(config, netns=container)
    other = underlay.container()
    with pytest.raises(PluginError) as caught:
        runtime.add(config, container="c2", netns=other)
    assert caught.value.code == NO_ADDRESS
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_flannel_is_not_there_yet(
    runtime: Runtime, underlay: Host, container: Namespace, tmp_path: Path
) -> None:
    path = tmp_path / "subnet.env"
    config = document(underlay, peers={"type": "flannel", "subnetFile": str(path)})
    refused(runtime, config, container, TRY_AGAIN_LATER, str(path), "start flanneld")
    unavailable(runtime, config, str(path))
    path.write_text("FLANNEL_SUBNET=10.244.1.1/24\n")
    refused(runtime, config, container, DECODE_FAILURE, str(path), "FLANNEL_NETWORK")


def test_flannel_has_less_room_than_the_config_wants(
    runtime: Runtime, underlay: Host, container: Namespace, tmp_path: Path
) -> None:
    path = tmp_path / "subnet.env"
    path.write_text(
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"
        "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )
    config = document(underlay, mtu=1451, peers={"type": "flannel", "subnetFile": str(path)})
    refused(runtime, config, container, INVALID_CONFIG, 'key "mtu"', "1451", "at most 1450")
