"""A bridge that goes with its last container, and what keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INVALID_CONFIG
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from wiring.bridged import PRUNED


def network(**keys: Any) -> dict[str, Any]:
    named = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "prune0"}
    return {**named, "pruneBridge": True, **keys}


def test_it_goes_with_the_last_container(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    config = network(ipam=fake.section("10.1.0.2/16 10.1.0.1"), isGateway=True, ipMasq=True)
    first, last = host.container(), host.container()
    runtime.add(config, container="c1", netns=first)
    assert host.links()["prune0"]["ifalias"] == PRUNED
    runtime.add(config, container="c2", netns=last)
    runtime.delete(config, container="c1", netns=first)
    assert "prune0" in host.links()
    runtime.delete(config, container="c2", netns=last)
    assert "prune0" not in host.links()
    runtime.delete(config, container="c2", netns=last)  # once more is no error
    runtime.add(config, container="c1", netns=first)
    runtime.delete(config, container="c1", netns=first)
    assert "prune0" not in host.links()


def test_without_the_namespace_too(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = network(ipam=fake.section("10.1.0.2/16"))
    runtime.add(config, netns=container)
    container.close()
    runtime.delete(config, netns="")
    assert "prune0" not in host.links()


def test_it_goes_with_gc(runtime: Runtime, host: Host, container: Namespace) -> None:
    runtime.add(network(), netns=container)
    runtime.gc(network(), [("c1", "eth0")])
    assert "prune0" in host.links()
    runtime.gc(network(), [])
    assert "prune0" not in host.links()


def test_another_networks_container_keeps_it(runtime: Runtime, host: Host) -> None:
    here, there = host.container(), host.container()
    other = {**network(), "name": "other"}
    runtime.add(network(), container="c1", netns=here)
    runtime.add(other, container="c2", netns=there)
    runtime.delete(network(), container="c1", netns=here)
    assert "prune0" in host.links()
    runtime.delete(other, container="c2", netns=there)
    assert "prune0" not in host.links()


@pytest.mark.parametrize(
    "command",
    [
        "ip link add link prune0 name user0 type macvlan",
        "ip link add user0 master prune0 type veth",
        # Like the gateway of a VLAN, which would be called prune0.7.
        "ip link add user0 master prune0 type veth peer name 7",
    ],
    ids=["above", "port", "port of a number"],
)
def test_what_others_have_on_it_keeps_it(
    command: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    runtime.add(network(), netns=container)
    host.command(*command.split())
    runtime.delete(network(), netns=container)
    assert "prune0" in host.links()
    host.command("ip", "link", "delete", "user0")
    runtime.delete(network(), netns=container)
    assert "prune0" not in host.links()


@pytest.mark.parametrize("made_by", ["ip", "ADD"])
def test_one_made_by_others_stays(
    made_by: str, runtime: Runtime, host: Host, container: Namespace
) -> None:
    """By hand, or by an ADD that was not told that it should go."""
    host.share_bridge("prune0")
    if made_by == "ip":
        host.command("ip", "link", "add", "prune0", "type", "bridge")
    else:
        runtime.add(network(pruneBridge=False), netns=container)
        runtime.delete(network(pruneBridge=False), netns=container)
    runtime.add(network(), netns=container)
    runtime.delete(network(), netns=container)
    assert "prune0" in host.links()
    # An alias alone makes no bridge of something else.
    host.command("ip", "link", "delete", "prune0")
    host.command("ip", "link", "add", "prune0", "type", "veth")
    host.command("ip", "link", "set", "prune0", "alias", PRUNED)
    runtime.delete(network(), netns=container)
    assert "prune0" in host.links()
    host.command("ip", "link", "delete", "prune0")


def test_a_config_that_says_neither(runtime: Runtime, host: Host, container: Namespace) -> None:
    """ADD refuses it; DEL cleans up as far as it can be read."""
    host.share_bridge("prune0")
    runtime.add(network(), netns=container)
    broken = network(pruneBridge="perhaps")
    with pytest.raises(PluginError, match='key "pruneBridge": found "perhaps"') as caught:
        runtime.add(broken, container="c2", netns=container)
    assert caught.value.code == INVALID_CONFIG
    runtime.delete(broken, netns=container)
    assert "eth0" not in container.links()
    assert "prune0" in host.links()
