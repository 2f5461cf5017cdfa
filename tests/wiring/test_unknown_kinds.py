"""Plugins for links that a kernel may lack: it works, or says why not and leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cni.errors import NOT_AVAILABLE, SYSTEM
from hostnet.netlink import Netlink
from hostnet.sublink import kernel_has
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace

KEYS: dict[str, dict[str, Any]] = {
    "dummy": {},
    "ipvlan": {"master": "up0"},
    "vlan": {"master": "up0", "vlanId": 5},
}


@pytest.fixture(autouse=True)
def _up0(host: Host) -> Iterator[None]:
    host.command("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    host.command("ip", "link", "set", "up0", "up")
    yield
    host.command("ip", "link", "delete", "up0")


@pytest.mark.parametrize("kind", KEYS)
def test_a_kind_of_link(
    kind: str, runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    config = {"cniVersion": "1.1.0", "name": "net", "type": kind, **KEYS[kind]}
    config["ipam"] = fake.section("10.1.0.2/16")
    with Netlink() as nl:
        known = kernel_has(nl, kind)
    if known:
        runtime.status(config)
        runtime.add(config, netns=container)
    else:
        module = "8021q" if kind == "vlan" else kind
        words = f"this kernel has no {kind} interfaces: modprobe {module}"
        with pytest.raises(PluginError, match=words) as caught:
            runtime.add(config, netns=container)
        assert caught.value.code == SYSTEM
        assert fake.calls == ["ADD c1", "DEL c1"]
        with pytest.raises(PluginError, match=words) as caught:
            runtime.status(config)
        assert caught.value.code == NOT_AVAILABLE
    runtime.delete(config, netns=container)
    assert set(container.links()) == {"lo"}
