"""`macvlan` on a real kernel: modes, masters on either side, and who hears of a reused address."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from cni.errors import IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import UnderFaults, WithReference
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from wiring.single.label import temporary_name

pytestmark = pytest.mark.usefixtures("segment")


class TestMacvlan(WithReference, UnderFaults):
    plugin = "macvlan"
    strict = True
    keys: ClassVar = {"master": "up0"}


def network(ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    document = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "up0", **keys}
    return document if ipam is None else {**document, "ipam": ipam}


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru"])
def test_modes(
    mode: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16", "2001:db8::2/64"), mode=mode)
    result = runtime.add(config, netns=container)
    assert container.links()["eth0"]["linkinfo"]["info_data"]["mode"] == mode
    assert ping(container, "10.1.0.9") is not None
    assert ping(container, "2001:db8::9") is not None
    runtime.check(config, result, netns=container)
    other = "vepa" if mode == "private" else "private"
    if mode != "passthru":
        container.command("ip", "link", "set", "eth0", "type", "macvlan", "mode", other)
        with pytest.raises(PluginError, match=f'is in mode "{other}", expected "{mode}"'):
            runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_settings(runtime: Runtime, container: Namespace) -> None:
    config = network(mtu=1400, bcqueuelen=2000, mac="02:00:5e:10:00:01")
    result = runtime.add(config, netns=container)
    assert "ips" not in result
    inner = container.links()["eth0"]
    assert (inner["mtu"], inner["address"]) == (1400, "02:00:5e:10:00:01")
    assert inner["ifalias"] == "net/c1/eth0"
    assert inner["linkinfo"]["info_data"]["bcqueuelen"] == 2000
    assert result["interfaces"] == [
        {"name": "eth0", "mac": "02:00:5e:10:00:01", "mtu": 1400, "sandbox": str(container)}
    ]
    runtime.check(config, result, netns=container)
    container.command("ip", "link", "set", "eth0", "type", "macvlan", "bcqueuelen", "500")
    with pytest.raises(PluginError, match="has the bcqueuelen 500, expected 2000"):
        runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_where_the_mac_comes_from(runtime: Runtime, container: Namespace) -> None:
    config = network(mac="02:00:5e:10:00:01")
    more = {"runtimeConfig": {"mac": "02:00:5e:10:00:03"}}
    for keys, args, mac in (
        ({}, "", "02:00:5e:10:00:01"),
        ({}, "MAC=02:00:5e:10:00:02", "02:00:5e:10:00:02"),
        (more, "MAC=02:00:5e:10:00:02", "02:00:5e:10:00:03"),
    ):
        result = runtime.add({**config, **keys}, netns=container, args=args)
        assert result["interfaces"][0]["mac"] == mac
        runtime.delete({**config, **keys}, netns=container, args=args)


def test_the_master_is_that_of_the_default_route(
    runtime: Runtime, host: Host, container: Namespace
) -> None:
    config = {key: value for key, value in network().items() if key != "master"}
    with pytest.raises(PluginError, match='key "master": it is missing') as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == INVALID_CONFIG
    host.command("ip", "-6", "route", "add", "unreachable", "default", "metric", "10")
    with pytest.raises(PluginError, match="no default route on this host") as caught:
        runtime.status(config)
    assert caught.value.code == NOT_AVAILABLE
    host.command("ip", "-6", "route", "delete", "unreachable", "default", "metric", "10")
    host.command("ip", "link", "add", "wrong0", "type", "bridge")
    host.command("ip", "link", "set", "wrong0", "up")
    host.command("ip", "route", "add", "default", "dev", "wrong0", "metric", "200")
    host.command("ip", "route", "add", "default", "dev", "up0", "metric", "100")
    result = runtime.add(config, netns=container)
    assert container.links()["eth0"]["link_index"] == host.links()["up0"]["ifindex"]
    host.command("ip", "route", "delete", "default", "dev", "up0")
    runtime.check(config, result, netns=container)
    runtime.status(config)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "wrong0")


def test_a_master_in_the_container(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    container.command("ip", "link", "add", "in0", "type", "veth", "peer", "name", "in1")
    container.command("ip", "link", "set", "in0", "up")
    config = network(fake.section("10.2.0.2/16"), master="in0", linkInContainer=True)
    runtime.status(config)
    result = runtime.add(config, netns=container)
    inner = container.links()["eth0"]
    assert inner["link"] == "in0"
    runtime.check(config, result, netns=container)
    elsewhere = {**config, "master": "up0", "linkInContainer": False}
    with pytest.raises(PluginError, match="interface eth0 sits on one of its own"):
        runtime.check(elsewhere, result, netns=container)
    with pytest.raises(PluginError, match="interface eth0 does not sit on in1"):
        runtime.check({**config, "master": "in1"}, result, netns=container)
    runtime.delete(config, netns=container)
    with pytest.raises(PluginError, match=r'"up0", expected an interface in .*: in0, in1, lo'):
        runtime.add({**config, "master": "up0"}, netns=container)
    assert fake.calls[-1] == "DEL c1", "the last ADD was refused before"
    container.command("ip", "link", "delete", "in0")


def test_check_of_the_master(runtime: Runtime, host: Host, container: Namespace) -> None:
    config = network()
    result = runtime.add(config, netns=container)
    host.command("ip", "link", "set", "up0", "down")
    host.command("ip", "link", "set", "up0", "name", "up9")
    with pytest.raises(PluginError, match="interface up0, the master of eth0, does not exist"):
        runtime.check(config, result, netns=container)
    host.command("ip", "link", "set", "up9", "name", "up0")
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_containers_reach_each_other(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    one, two = host.container(), host.container()
    for number, ns in ((2, one), (3, two)):
        runtime.add(network(fake.section(f"10.1.0.{number}/16")), container=f"c{number}", netns=ns)
    assert ping(one, "10.1.0.3") is not None
    for number, ns in ((2, one), (3, two)):
        runtime.delete(network(fake.section()), container=f"c{number}", netns=ns)


def test_a_reused_address_answers_at_once(
    runtime: Runtime, fake: FakeIpam, host: Host, segment: Namespace
) -> None:
    """The segment knows the address with the last container's MAC."""
    config = network(fake.section("10.1.0.2/16", "2001:db8::2/64"))
    for name in ("c1", "c2"):
        ns = host.container()
        runtime.add(config, container=name, netns=ns)
        for address in ("10.1.0.2", "2001:db8::2"):
            milliseconds = ping(segment, address)
            assert milliseconds is not None, address
            assert milliseconds < 100
        runtime.delete(config, container=name, netns=ns)


def test_a_master_without_a_carrier(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """Nobody is waited for, and the link works as soon as the master does."""
    host.command("ip", "link", "set", "up0", "down")
    config = network(fake.section("10.1.0.2/16"))
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    host.command("ip", "link", "set", "up0", "up")
    assert ping(container, "10.1.0.9", 3) is not None
    runtime.delete(config, netns=container)


@pytest.mark.parametrize("what", ["a bridge port", "another in passthru", "to be in passthru"])
def test_a_master_that_takes_none(
    what: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16"))
    other = host.container()
    if what == "a bridge port":
        host.command("ip", "link", "add", "br0", "type", "bridge")
        host.command("ip", "link", "set", "up0", "master", "br0")
    else:
        first = network(mode="passthru" if what == "another in passthru" else "bridge")
        runtime.add(first, container="other", netns=other)
        config["mode"] = "bridge" if what == "another in passthru" else "passthru"
    with pytest.raises(PluginError, match="up0 takes no macvlan in mode") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    assert fake.calls == ["ADD c1", "DEL c1"]
    assert set(container.links()) == {"lo"}
    if what == "a bridge port":
        host.command("ip", "link", "delete", "br0")
    runtime.delete(network(), container="other", netns=other)


def test_a_name_that_the_host_has(runtime: Runtime, host: Host, container: Namespace) -> None:
    result = runtime.add(network(), netns=container, ifname="up0")
    runtime.check(network(), result, netns=container, ifname="up0")
    runtime.delete(network(), netns=container, ifname="up0")
    assert set(container.links()) == {"lo"}


def test_what_a_killed_add_has_left(runtime: Runtime, host: Host, container: Namespace) -> None:
    name = temporary_name("net/c1/eth0")
    host.command(
        "ip", "link", "add", "link", "up0", "name", name, "netns", str(container), "type", "macvlan"
    )
    with pytest.raises(PluginError, match=f"interface {name} .* DEL it before") as caught:
        runtime.add(network(), netns=container)
    assert caught.value.code == IN_THE_WAY
    runtime.delete(network(), netns=container)
    assert set(container.links()) == {"lo"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"master": "none"}, 'key "master": found "none", expected an interface on this host: lo'),
        ({"mtu": 1501}, 'key "mtu": found 1501, expected at most 1500, which up0 has'),
        ({"mode": "hub"}, 'key "mode": found "hub"'),
    ],
)
def test_what_cannot_be_is_refused_before_ipam_and_by_status(
    keys: dict[str, Any],
    words: str,
    runtime: Runtime,
    fake: FakeIpam,
    container: Namespace,
) -> None:
    config = network(fake.section("10.1.0.2/16"), **keys)
    with pytest.raises(PluginError, match=words) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert fake.calls == []
    with pytest.raises(PluginError, match=words) as caught:
        runtime.status(config)
    assert caught.value.code == NOT_AVAILABLE
