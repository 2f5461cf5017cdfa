"""GC and STATUS."""

from __future__ import annotations

import errno
import sys
from typing import Any

import pytest

from cni.errors import NOT_AVAILABLE
from hostnet import nft
from hostnet.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink, NetlinkError
from tests.firewall.conftest import TABLE, World, elements, listed
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host

NO_CLIENT = True
CONFIG: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net-br0", "type": "firewall"}


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_only_strangers_of_this_network_go(policy: str, world: World) -> None:
    one, two, other = world.on("br0"), world.on("br0"), world.on("br1")
    for each in (one, two, other):
        each.add(policy)
    world.runtime.gc(CONFIG, [("c1", "eth0"), ("c2", "eth1"), ("gone", "eth0")])
    text = listed()
    assert '"net-br0/c1/eth0"' in text
    assert '"net-br0/c2/eth0"' not in text
    assert '"net-br1/c3/eth0"' in text
    one.check(one.config(policy))
    world.runtime.gc(CONFIG, [])
    assert "net-br0/" not in listed()
    other.check(other.config(policy))
    world.runtime.gc({**CONFIG, "name": "net-br1"}, [])
    assert elements() == ""


def test_where_nothing_is_gc_does_nothing(runtime: Runtime, host: Host) -> None:
    runtime.gc(CONFIG, [])
    runtime.gc(CONFIG, [("c1", "eth0")])
    assert nft.run("list ruleset") == ""


def test_status_on_a_fresh_host_and_on_one_in_use(world: World) -> None:
    one = world.on("br0")
    world.runtime.status(CONFIG)
    one.add("isolated")
    world.runtime.status(CONFIG)
    one.delete()


def test_status_without_libnftables(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world.on("br0")
    config = {**CONFIG, "backend": "nftables"}
    with monkeypatch.context() as patch:
        patch.setattr(nft, "_LIBRARY", "libnothing.so.1")
        with pytest.raises(PluginError, match="libnftables cannot be loaded") as error:
            world.runtime.status(config)
        assert error.value.code == NOT_AVAILABLE
    one.add()
    with monkeypatch.context() as patch:
        patch.setattr(nft, "_LIBRARY", "libnothing.so.1")
        patch.setitem(sys.modules, "nftables", None)
        # Where the rules are laid down, nothing needs it.
        world.runtime.status(config)
        one.delete()
        one.add()
        one.delete()


def test_a_kernel_without_netfilter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world.on("br0")
    original = Netlink.__init__

    def without_netfilter(nl: Netlink, protocol: int = NETLINK_ROUTE) -> None:
        if protocol == NETLINK_NETFILTER:
            raise NetlinkError(errno.EPROTONOSUPPORT, "open a netlink socket")
        original(nl, protocol)

    monkeypatch.setattr(Netlink, "__init__", without_netfilter)
    one.delete()
    world.runtime.gc(CONFIG, [])
    config = one.config(backend="nftables")
    for verb in ("ADD", "CHECK"):
        with pytest.raises(PluginError, match="Protocol not supported"):
            world.runtime.call(verb, config, container="c1", netns=one.ns)
    with pytest.raises(PluginError, match="Protocol not supported") as error:
        world.runtime.status({**CONFIG, "backend": "nftables"})
    assert error.value.code == NOT_AVAILABLE


def test_the_tables_outlive_the_last_container(world: World) -> None:
    one = world.on("br0")
    one.add("isolated")
    one.delete()
    assert nft.run("list tables").count(TABLE) == 2
