"""An IPv6 address that somebody else on the network has: found by ADD, and by CHECK afterwards."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, DUPLICATE, TRY_AGAIN_LATER
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from wiring import duplicates

pytestmark = pytest.mark.usefixtures("segment")

TAKEN = "2001:db8::9/64"  # by the segment's machine
FREE = "2001:db8::2/64"
SWITCHES = (
    "net.ipv6.conf.{}.accept_dad",
    "net.ipv6.conf.{}.router_solicitation_delay",
    "net.ipv6.neigh.{}.retrans_time_ms",
)

UNTOUCHED = ["1", "1", "1000"]


def network(ipam: dict[str, Any], **keys: Any) -> dict[str, Any]:
    document = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "up0", **keys}
    return {**document, "ipam": ipam}


def switches(ns: Namespace, dev: str) -> list[str]:
    """What the kernel has for its looking."""
    names = [one.format(dev) for one in SWITCHES]
    return ns.command("sysctl", "-n", *names).stdout.split()


@pytest.mark.parametrize("keys", [{}, {"enabledad": True}])
def test_add_refuses_it(
    keys: dict[str, Any], runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = network(fake.section("10.1.0.2/16", FREE, TAKEN), **keys)
    with pytest.raises(PluginError, match=f"somebody else .* has the address {TAKEN}") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == DUPLICATE
    assert fake.calls == ["ADD c1", "DEL c1"]
    assert set(container.links()) == {"lo"}


def test_the_kernel_gets_its_switches_back(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    """And looks for duplicates of the addresses that it forms by itself, in its own time."""
    config = network(fake.section(FREE))
    begun = time.monotonic()
    runtime.add(config, netns=container)
    assert time.monotonic() - begun < 0.8
    assert switches(container, "eth0") == UNTOUCHED
    (found,) = container.ip("-6", "address", "show", "dev", "eth0")
    (given,) = (one for one in found["addr_info"] if one["local"] == "2001:db8::2")
    assert not given.keys() & {"tentative", "nodad"}
    runtime.delete(config, netns=container)


def test_all_the_time_that_the_kernel_takes(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = network(fake.section(FREE), enabledad=True)
    begun = time.monotonic()
    result = runtime.add(config, netns=container)
    assert time.monotonic() - begun >= 1
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_nobody_looks(runtime: Runtime, fake: FakeIpam, container: Namespace) -> None:
    config = network(fake.section(TAKEN), enabledad=False)
    result = runtime.add(config, netns=container)
    assert switches(container, "eth0") == UNTOUCHED
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_a_kernel_that_takes_too_long(
    runtime: Runtime, fake: FakeIpam, container: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_SECONDS", 0.1)
    config = network(fake.section(FREE), enabledad=True)
    with pytest.raises(PluginError, match="dad_transmits") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == TRY_AGAIN_LATER
    assert set(container.links()) == {"lo"}


def test_one_that_is_seen_when_the_master_gets_its_carrier(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.command("ip", "link", "set", "up0", "down")
    config = network(fake.section(TAKEN))
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    host.command("ip", "link", "set", "up0", "up")
    deadline = time.monotonic() + 5
    while "dadfailed" not in container.command("ip", "-6", "address", "show", "eth0").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(PluginError, match=f"cannot use its address {TAKEN}") as caught:
        runtime.check(config, result, netns=container)
    assert caught.value.code == CHECK_FAILED
    runtime.delete(config, netns=container)
