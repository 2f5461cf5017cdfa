"""`vlan`, on a kernel that has it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import pytest

from cni.errors import IN_THE_WAY, INVALID_CONFIG, NOT_AVAILABLE, TRY_AGAIN_LATER
from hostnet import link, sublink
from hostnet.netlink import Netlink
from tests.kit.calls import PluginError, Runtime
from tests.kit.contract import WithReference, keep_all
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from tests.second_kernel.inside.segment import until_free, wire


@pytest.fixture(autouse=True)
def segment(host: Host) -> Iterator[Namespace]:
    with wire(host, 5) as made:
        yield made


class Vlan(WithReference):
    plugin = "vlan"
    keys: ClassVar = {"master": "up0", "vlanId": 5}

    def wait_gone(self) -> None:
        """The VLAN is taken until then, and nobody tells when it is free."""
        with Netlink() as nl:
            up, data = link.get(nl, "up0").index, sublink.vlan(5)
            make = partial(link.create, nl, "up0.5", "vlan", data=data, below=up)
            link.delete(nl, until_free(make, errno.EEXIST).index)


def test_the_promises(runtime: Runtime, host: Host) -> None:
    keep_all(Vlan(), runtime, host)


def network(ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    usual = {"type": "vlan", "master": "up0", "vlanId": 5}
    document = {"cniVersion": "1.1.0", "name": "net", **usual, **keys}
    return document if ipam is None else {**document, "ipam": ipam}


def test_it_is_in_its_vlan_and_in_no_other(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    for number in (5, 6, 0, 4094):
        config = network(fake.section("10.1.0.2/16", "2001:db8::2/64"), vlanId=number, mtu=1400)
        result = runtime.add(config, netns=container)
        inner = container.links()["eth0"]
        assert inner["linkinfo"]["info_data"]["id"] == number
        assert (inner["mtu"], inner["address"]) == (1400, host.links()["up0"]["address"])
        for address in ("10.1.0.9", "2001:db8::9"):
            assert (ping(container, address, 1 if number == 5 else 0.1) is not None) == (
                number == 5
            )
        runtime.check(config, result, netns=container)
        runtime.delete(config, netns=container)


def test_check_of_the_number(runtime: Runtime, host: Host, container: Namespace) -> None:
    result = runtime.add(network(), netns=container)
    with pytest.raises(PluginError, match="interface eth0 is VLAN 5, expected 6"):
        runtime.check(network(vlanId=6), result, netns=container)
    host.command("ip", "link", "add", "up1", "type", "veth", "peer", "name", "up2")
    with pytest.raises(PluginError, match="interface eth0 does not sit on up1"):
        runtime.check(network(master="up1"), result, netns=container)
    host.command("ip", "link", "delete", "up1")
    runtime.delete(network(), netns=container)


def test_a_reused_address_answers_at_once(
    runtime: Runtime, fake: FakeIpam, segment: Namespace, container: Namespace
) -> None:
    """The segment knows it with a MAC of another host, where the last container was."""
    for address in ("10.1.0.2", "2001:db8::2"):
        segment.command(
            *("ip", "neighbour", "add", address, "dev", "e.5"),
            *("lladdr", "02:00:00:00:00:99", "nud", "stale"),
        )
    config = network(fake.section("10.1.0.2/16", "2001:db8::2/64"))
    runtime.add(config, netns=container)
    for address in ("10.1.0.2", "2001:db8::2"):
        milliseconds = ping(segment, address)
        assert milliseconds is not None, address
        assert milliseconds < 100
    runtime.delete(config, netns=container)


def test_a_vlan_that_is_taken(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    other = host.container()
    config = network(fake.section("10.1.0.2/16"))
    runtime.add(config, container="first", netns=other)
    with pytest.raises(PluginError, match="VLAN 5 of up0 is another interface already") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    assert fake.calls == ["ADD first", "ADD c1", "DEL c1"]
    runtime.delete(config, container="first", netns=other)


def test_a_master_that_is_down(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "set", "up0", "down")
    with pytest.raises(PluginError, match="up0 is down, expected up") as caught:
        runtime.add(network(fake.section("10.1.0.2/16")), netns=container)
    assert caught.value.code == TRY_AGAIN_LATER
    assert fake.calls == []


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
