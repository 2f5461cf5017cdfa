"""`ipvlan`, on a kernel that has it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_interface
from typing import Any, ClassVar

import pytest

from cni.errors import IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE
from hostnet import link
from hostnet.address import add as add_address
from hostnet.netlink import Netlink
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import ADDRESSES, WithReference, keep_all
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from tests.second_kernel.inside.segment import until_free, wire


@pytest.fixture(autouse=True)
def segment(host: Host) -> Iterator[Namespace]:
    with wire(host) as made:
        yield made


class Ipvlan(WithReference):
    plugin = "ipvlan"
    keys: ClassVar = {"master": "up0"}
    impossible = frozenset({"ip link set eth0 address 02:00:00:00:00:97"})

    def wait_gone(self) -> None:
        """All ipvlans of a master share its addresses, and nobody tells when one is free."""
        with Netlink() as nl:
            made = link.create(nl, "try0", "ipvlan", below=link.get(nl, "up0").index)
            try:
                for text in ADDRESSES:
                    wanted = ip_interface(text.split()[0])
                    until_free(partial(add_address, nl, made.index, wanted), errno.EADDRINUSE)
            finally:
                link.delete(nl, made.index)


def test_the_promises(runtime: Runtime, host: Host) -> None:
    keep_all(Ipvlan(), runtime, host)


def network(ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    document = {"cniVersion": "1.1.0", "name": "net", "type": "ipvlan", "master": "up0", **keys}
    return document if ipam is None else {**document, "ipam": ipam}


def test_modes(runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace) -> None:
    for mode, other in (("l2", "l3"), ("l3", "l2"), ("l3s", "l3")):
        config = network(fake.section("10.1.0.2/16"), mode=mode, mtu=1400)
        result = runtime.add(config, netns=container)
        inner = container.links()["eth0"]
        assert inner["linkinfo"]["info_data"]["mode"] == mode
        assert (inner["mtu"], inner["address"]) == (1400, host.links()["up0"]["address"])
        assert inner["ifalias"] == "net/c1/eth0"
        if mode == "l2":
            assert ping(container, "10.1.0.9") is not None
        runtime.check(config, result, netns=container)
        container.command("ip", "link", "set", "eth0", "type", "ipvlan", "mode", other)
        with pytest.raises(PluginError, match=f'is in mode "{other}", expected "{mode}"'):
            runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)


def test_a_reused_address_answers_at_once(
    runtime: Runtime, fake: FakeIpam, segment: Namespace, container: Namespace
) -> None:
    """The segment knows it with a MAC of another host, where the last container was."""
    for address in ("10.1.0.2", "2001:db8::2"):
        segment.command(
            *("ip", "neighbour", "add", address, "dev", "e"),
            *("lladdr", "02:00:00:00:00:99", "nud", "stale"),
        )
    config = network(fake.section("10.1.0.2/16", "2001:db8::2/64"))
    runtime.add(config, netns=container)
    for address in ("10.1.0.2", "2001:db8::2"):
        milliseconds = ping(segment, address)
        assert milliseconds is not None, address
        assert milliseconds < 100
    runtime.delete(config, netns=container)


def test_after_another_plugin(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """Master and addresses are what the plugin before has told."""
    before = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "up0"}],
        "ips": [{"address": "10.1.0.2/16", "gateway": "10.1.0.9"}],
        "routes": [{"dst": "10.5.0.0/16"}],
        "dns": {"nameservers": ["192.0.2.1"]},
    }
    config = {"cniVersion": "1.1.0", "name": "net", "type": "ipvlan"}
    result = runtime.add({**config, "prevResult": before}, netns=container)
    assert [one["name"] for one in result["interfaces"]] == ["eth0"]
    assert result["ips"] == [{"interface": 0, "address": "10.1.0.2/16", "gateway": "10.1.0.9"}]
    assert result["dns"] == before["dns"]
    assert container.ip("route", "show", "10.5.0.0/16")[0]["gateway"] == "10.1.0.9"
    assert ping(container, "10.1.0.9") is not None
    runtime.check(config, result, netns=container)
    runtime.delete({**config, "prevResult": result}, netns=container)
    assert set(container.links()) == {"lo"}
    more: list[dict[str, str]]
    for more in ([], [{"name": "up0"}, {"name": "lo"}]):
        with pytest.raises(PluginError, match="expected exactly one to sit on") as caught:
            runtime.add({**config, "prevResult": {**before, "interfaces": more}}, netns=container)
        assert caught.value.code == INVALID_CONFIG


def test_an_ipam_plugin_goes_before_what_another_plugin_told(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    before = {"cniVersion": "1.1.0", "interfaces": [{"name": "up0"}], "ips": []}
    config = network(fake.section("10.1.0.7/16"), master=None)
    result = runtime.add({**config, "prevResult": before}, netns=container)
    assert result["ips"][0]["address"] == "10.1.0.7/16"
    runtime.delete(config, netns=container)


def test_layer_2(runtime: Runtime, container: Namespace) -> None:
    result = runtime.add(network(), netns=container)
    assert "ips" not in result
    assert "UP" in container.links()["eth0"]["flags"]
    runtime.check(network(), result, netns=container)
    runtime.delete(network(), netns=container)


def test_a_master_in_the_container(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    container.command("ip", "link", "add", "in0", "type", "veth", "peer", "name", "in1")
    container.command("ip", "link", "set", "in0", "up")
    config = network(fake.section("10.2.0.2/16"), master="in0", linkInContainer=True)
    result = runtime.add(config, netns=container)
    assert container.links()["eth0"]["link"] == "in0"
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    container.command("ip", "link", "delete", "in0")


def test_a_master_that_takes_none(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "add", "link", "up0", "name", "m0", "type", "macvlan")
    with pytest.raises(PluginError, match="up0 takes no ipvlan") as caught:
        runtime.add(network(fake.section("10.1.0.2/16")), netns=container)
    assert caught.value.code == IN_THE_WAY
    assert fake.calls == ["ADD c1", "DEL c1"]
    host.command("ip", "link", "delete", "m0")


def test_what_cannot_be_is_refused_before_ipam_and_by_status(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    for keys, words in (
        ({"master": "none"}, 'key "master": found "none", expected an interface on this host: lo'),
        ({"mtu": 1501}, 'key "mtu": found 1501, expected at most 1500, which up0 has'),
    ):
        config = network(fake.section("10.1.0.2/16"), **keys)
        for call, code in (
            (lambda: runtime.add(config, netns=container), INVALID_CONFIG),  # noqa: B023
            (lambda: runtime.status(config), NOT_AVAILABLE),  # noqa: B023
        ):
            with pytest.raises(PluginError, match=words) as caught:
                call()
            assert caught.value.code == code
        assert fake.calls == []
