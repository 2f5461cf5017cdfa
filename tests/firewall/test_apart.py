"""`ingressPolicy`: who may talk to whom, tried with packets."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, UNSUPPORTED_FIELD
from cni_firewall import nftables
from hostnet import nft
from hostnet.nftable import Chain, Table
from tests.firewall.conftest import TABLE, Guarded, World, answers, elements, listed
from tests.kit.calls import PluginError, Runtime
from tests.kit.namespace import Namespace

YES, NO = (True, True), (False, False)


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("", "", YES),
        ("open", "open", YES),
        ("same-bridge", "same-bridge", NO),
        ("same-bridge", "isolated", NO),
        # As with the reference, a network that is open is open to all.
        ("same-bridge", "open", YES),
        ("open", "isolated", YES),
    ],
)
def test_between_bridges(here: str, there: str, expected: tuple[bool, ...], world: World) -> None:
    one, other = world.on("br0"), world.on("br1")
    one.add(here)
    other.add(there)
    assert one.reaches(other) == expected
    assert other.reaches(one) == expected
    one.delete()
    other.delete()
    assert elements() == ""
    assert one.reaches(other) == other.reaches(one) == YES


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize(
    ("policy", "expected"), [("open", YES), ("same-bridge", YES), ("isolated", NO)]
)
def test_on_one_bridge(policy: str, expected: tuple[bool, ...], shown: bool, world: World) -> None:
    # `shown`: what stays inside the bridge meets the host's filter (br_netfilter).
    world.show_bridged_packets(shown)
    one, other = world.on("br0"), world.on("br0")
    one.add(policy)
    other.add(policy)
    assert one.reaches(other) == other.reaches(one) == expected
    # By way of the host's routes too.
    for asker, to in ((one, other), (other, one)):
        asker.ns.command("ip", "route", "add", to.ips[0], "via", "10.1.0.1")
    assert one.reaches(other)[0] == expected[0]
    one.delete()
    other.delete()
    assert elements() == ""


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_the_world_beyond_is_not_kept_apart(policy: str, world: World) -> None:
    one = world.on("br0")
    one.add(policy)
    for address in one.ips:
        assert answers(world.client, one.ns, address)
    for address in ("10.2.0.9", "fd00:2::9"):
        assert answers(one.ns, world.client, address)
    for address in ("10.1.0.1", "10.2.0.1", "fd00:1::1"):
        assert answers(one.ns, world.host, address)
    one.delete()


def test_a_network_is_apart_until_its_last_container_goes(world: World) -> None:
    one, two, other = world.on("br0"), world.on("br0"), world.on("br1")
    for each in (one, two, other):
        each.add("same-bridge")
    one.delete()
    assert one.reaches(other) == NO  # The bridge is kept apart, and not the container.
    two.delete()
    assert one.reaches(other) == two.reaches(other) == YES
    other.delete()
    assert elements() == ""


def test_a_port_of_the_bridge_that_is_nobodys_container(world: World) -> None:
    one = world.on("br0")
    stranger = world.on("br0")
    one.add("isolated")
    assert stranger.reaches(one) == one.reaches(stranger) == YES
    one.delete()


def test_a_policy_that_changes(world: World) -> None:
    one, two = world.on("br0"), world.on("br0")
    one.add("isolated")
    two.add("isolated")
    assert one.reaches(two) == NO
    one.check(one.add("same-bridge"))
    two.check(two.add("open"))
    for each in (one, two):
        each.forget_neighbours()
    assert one.reaches(two) == YES
    one.delete()
    two.delete()
    assert elements() == ""


def test_a_network_without_addresses(world: World) -> None:
    one = world.on("br0")
    result = {key: value for key, value in one.result().items() if key != "ips"}
    one.check(one.add("isolated", prevResult=result))
    assert '"port2"' in listed()
    one.delete()
    assert elements() == ""
    # Open, there is nothing to do.
    one.check(one.add(prevResult=result))
    assert elements() == ""


@pytest.mark.parametrize(
    ("interfaces", "problem"),
    [
        ([], "it has none"),
        ([{"name": "eth0", "sandbox": "/x"}], "in a container"),
        ([{"name": "a/b"}], "the name of an interface"),
        ([{"name": "br0"}, {"name": "an-interface-name"}], "the name of an interface"),
    ],
)
@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_no_bridge(
    policy: str,
    interfaces: list[dict[str, Any]],
    problem: str,
    runtime: Runtime,
    container: Namespace,
) -> None:
    result = {"cniVersion": "1.1.0", "interfaces": interfaces, "ips": [{"address": "10.1.0.2/24"}]}
    config = {"cniVersion": "1.1.0", "name": "net", "type": "firewall", "ingressPolicy": policy}
    with pytest.raises(PluginError, match=problem) as error:
        runtime.add({**config, "prevResult": result}, netns=container)
    assert error.value.code == INVALID_CONFIG
    assert nft.run("list ruleset") == ""


def test_a_kernel_without_nftables_for_bridges(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one: Guarded = world.on("br0")
    one.add("same-bridge")
    # This kernel has them, but no NAT in them: what it says is what one without says to any chain.
    table = Table(TABLE, (), (Chain("nat", (("x", "accept"),), "nat", "forward"),), "bridge")
    with monkeypatch.context() as patch:
        patch.setattr(nftables, "BRIDGED", table)
        with pytest.raises(PluginError, match='"ingressPolicy": found "isolated"') as error:
            one.add("isolated")
        assert error.value.code == UNSUPPORTED_FIELD
    one.delete()
    assert elements() == ""
