"""CHECK and STATUS: every deviation of the overlay on this host is named, the others' are not."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG
from cni_vxlan import identity
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.vxlan.conftest import l2, l3, nodes, remove_overlay

MAC = identity.vtep_mac("192.0.2.1", 42, 4)


def failed(runtime: Runtime, config: dict[str, Any], result: Any, container: Namespace) -> str:
    with pytest.raises(PluginError) as caught:
        runtime.check(config, result, netns=container)
    assert caught.value.code == CHECK_FAILED, caught.value.msg
    return caught.value.msg


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("ip link set vxlan42 down", "device vxlan42 is down"),
        ("ip link set vxlan42 mtu 1400", "device vxlan42 has the MTU 1400, expected 1450"),
        (
            "ip link set vxlan42 address 02:00:00:00:00:01",
            f"device vxlan42 has the MAC 02:00:00:00:00:01, expected {MAC}",
        ),
        ("ip address del 10.244.1.0/32 dev vxlan42", "lacks its address 10.244.1.0/32"),
        ("ip address del fd00:1:0:1::/128 dev vxlan42", "lacks its address fd00:1:0:1::/128"),
        ("nft flush set inet pycni_vxlan guarded", "VNI 42 on UDP port 4789 is open to everybody"),
        ("nft flush set inet pycni_vxlan peers4", "lacks 192.0.2.2, 192.0.2.3 for VNI 42"),
        ("ip address del 10.244.1.1/24 dev vxbr42", "lacks the gateway address 10.244.1.1/24"),
        ("ip link set vxlan42 type vxlan learning", "device vxlan42 has learning True"),
        (
            "ip link set vxlan42 type vxlan local 192.0.2.99",
            "device vxlan42 sends from 192.0.2.99, expected 192.0.2.1",
        ),
        ("ip link set vxbr42 down", "bridge vxbr42 is down"),
    ],
)
def test_what_is_wrong_with_a_routed_overlay(
    damage: str, words: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay)
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    underlay.command(*damage.split())
    assert words in failed(runtime, config, result, container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


@pytest.mark.parametrize(
    ("engine", "damage", "words"),
    [
        ("multicast", "ip link set vxlan42 nomaster", "vxlan42 is not a port of bridge vxbr42"),
        (
            "multicast",
            "bridge link set dev vxlan42 learning off",
            "vxlan42 has learning off as a bridge port",
        ),
        (
            "evpn",
            "bridge link set dev vxlan42 neigh_suppress off",
            "vxlan42 has neigh_suppress off as a bridge port",
        ),
        ("evpn", "bridge link set dev vxlan42 learning on", "vxlan42 has learning on"),
        ("evpn", "ip neigh flush dev vxbr42 nud permanent", "no neighbour entry for 10.42.0.2 at"),
        ("evpn", "ip neigh del fd42::2 dev vxbr42", "no neighbour entry for fd42::2 at"),
        ("static", "ip link set vxlan42 mtu 1300", "MTU 1300, expected 1450"),
        (
            "multicast",
            "nft flush set inet pycni_vxlan open",
            "open of the nftables table inet pycni_vxlan lacks eth0",
        ),
    ],
)
def test_what_is_wrong_with_a_segment(
    engine: str, damage: str, words: str, request: pytest.FixtureRequest
) -> None:
    runtime: Runtime = request.getfixturevalue("runtime")
    underlay: Host = request.getfixturevalue("underlay")
    container = underlay.container()
    config = l2(underlay, engine)
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    underlay.command(*damage.split())
    assert words in failed(runtime, config, result, container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


@pytest.mark.parametrize("mode", ["l2", "l3"])
def test_a_container_whose_packets_do_not_fit_any_more(
    mode: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """The underlay shrank. In mode l3 the host tells the container, packet by packet."""
    config = l3(underlay) if mode == "l3" else l2(underlay)
    result = runtime.add(config, netns=container)
    underlay.command("ip", "link", "set", "eth0", "mtu", "1400")
    other = underlay.container()
    later = runtime.add(config, container="c2", netns=other)
    runtime.check(config, later, container="c2", netns=other)
    if mode == "l3":
        runtime.check(config, result, netns=container)
    else:
        words = "eth0 has the MTU 1450, and vxlan42 1350: larger packets are lost"
        assert words in failed(runtime, config, result, container)
    for name, ns in (("c1", container), ("c2", other)):
        runtime.delete(config, container=name, netns=ns)
    remove_overlay(underlay)


def test_a_static_entry_that_is_gone(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l2(underlay, "evpn")
    result = runtime.add(config, netns=container)
    mac, port = result["interfaces"][2]["mac"], result["interfaces"][1]["name"]
    underlay.command("bridge", "fdb", "del", mac, "dev", port, "master")
    assert f"no static entry for {mac}" in failed(runtime, config, result, container)
    runtime.delete(config, netns=container)


@pytest.mark.parametrize("engine", ["l3", "multicast"])
def test_no_device(engine: str, runtime: Runtime, underlay: Host, container: Namespace) -> None:
    config = l3(underlay) if engine == "l3" else l2(underlay)
    result = runtime.add(config, netns=container)
    underlay.command("ip", "link", "delete", "vxlan42")
    assert "device vxlan42 does not exist" in failed(runtime, config, result, container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_what_is_wrong_with_the_container(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay)
    result = runtime.add(config, netns=container)
    container.command("ip", "route", "del", "10.244.0.0/16")
    container.command("ip", "link", "set", "eth0", "mtu", "1500")
    said = failed(runtime, config, result, container)
    assert "lacks the route to 10.244.0.0/16" in said
    assert "interface eth0 has the MTU 1500, expected 1450" in said
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_all_deviations_are_told_at_once(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay)
    result = runtime.add(config, netns=container)
    underlay.command("ip", "link", "set", "vxlan42", "down")
    underlay.command("ip", "link", "set", "vxbr42", "down")
    container.command("ip", "link", "set", "eth0", "down")
    said = failed(runtime, config, result, container)
    for words in ("vxlan42 is down", "bridge vxbr42 is down", "interface eth0 is down"):
        assert words in said
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_what_leads_to_listed_peers_is_told_of_shortly(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = l3(underlay)
    result = runtime.add(config, netns=container)
    underlay.command("ip", "route", "flush", "proto", "201")
    underlay.command("ip", "neigh", "flush", "dev", "vxlan42", "nud", "permanent")
    with pytest.raises(PluginError, match="lacks 1 more such") as caught:
        runtime.check(config, result, netns=container)
    assert caught.value.code == CHECK_FAILED
    assert caught.value.msg.count("device vxlan42 lacks") == 6
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


def test_no_previous_result(runtime: Runtime, underlay: Host, container: Namespace) -> None:
    config = l3(underlay)
    runtime.add(config, netns=container)
    with pytest.raises(PluginError) as caught:
        runtime.call("CHECK", config, netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert 'key "prevResult"' in caught.value.msg
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


@pytest.mark.parametrize("engine", ["l3", "static", "multicast", "evpn"])
def test_status_changes_nothing(engine: str, runtime: Runtime, underlay: Host) -> None:
    config = l3(underlay) if engine == "l3" else l2(underlay, engine)
    runtime.status(config)
    assert set(underlay.links()) == {"lo", "eth0"}


def test_status_of_a_config_that_does_not_fit_the_device(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """An ADD would fail as long as containers run; STATUS says so."""
    runtime.add(l3(underlay), netns=container)
    mine = [{**nodes()[0], "subnets": ["10.244.9.0/24"]}]
    with pytest.raises(PluginError) as caught:
        runtime.status(l3(underlay, peers={"type": "static", "nodes": mine}))
    assert "stands for 10.244.1.0/24, fd00:1:0:1::/64, expected 10.244.9.0/24" in caught.value.msg
    runtime.delete(l3(underlay), netns=container)
    remove_overlay(underlay)
