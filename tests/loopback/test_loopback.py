"""The loopback plugin on a real kernel, in every version of the specification."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY, INVALID_ENVIRONMENT
from tests.kit.calls import PluginError, Runtime
from tests.kit.faults import Fault, no_buffers, with_fault
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version

CONFIG: dict[str, Any] = {"cniVersion": "1.1.0", "name": "lo", "type": "loopback"}


@pytest.fixture
def runtime(host: Host) -> Runtime:
    return Runtime(host.state.parent)


@pytest.fixture
def fresh(container: Namespace) -> Namespace:
    """A container as a runtime hands it over: `lo` is down."""
    container.command("ip", "link", "set", "lo", "down")
    return container


@each_version
def test_up_and_down(version: str, runtime: Runtime, fresh: Namespace) -> None:
    config = {**CONFIG, "cniVersion": version}
    result = runtime.add(config, netns=fresh, ifname="anything")
    assert "UP" in fresh.links()["lo"]["flags"]
    if version in ("0.1.0", "0.2.0"):
        assert result["ip4"] == {"ip": "127.0.0.1/8"}
        assert result["ip6"] == {"ip": "::1/128"}
    else:
        assert result["interfaces"] == [
            {"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": str(fresh)}
        ]
        assert [one["address"] for one in result["ips"]] == ["127.0.0.1/8", "::1/128"]
        assert [one["interface"] for one in result["ips"]] == [0, 0]
    runtime.delete(config, netns=fresh)
    assert "UP" not in fresh.links()["lo"]["flags"]
    fresh.command("ip", "link", "set", "lo", "up")


def test_a_previous_result_is_handed_on(runtime: Runtime, fresh: Namespace) -> None:
    previous = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "sandbox": str(fresh)}],
        "ips": [{"interface": 0, "address": "10.1.0.2/16"}],
    }
    result = runtime.add({**CONFIG, "prevResult": previous}, netns=fresh)
    assert result == previous


def test_an_address_that_is_no_loopback_address(runtime: Runtime, fresh: Namespace) -> None:
    fresh.command("ip", "address", "add", "10.1.0.2/32", "dev", "lo")
    with pytest.raises(PluginError, match=r"10\.1\.0\.2/32") as caught:
        runtime.add(CONFIG, netns=fresh)
    assert caught.value.code == IN_THE_WAY
    fresh.command("ip", "address", "delete", "10.1.0.2/32", "dev", "lo")
    fresh.command("ip", "link", "set", "lo", "up")


def test_check_names_each_deviation(runtime: Runtime, fresh: Namespace) -> None:
    result = runtime.add(CONFIG, netns=fresh)
    runtime.check(CONFIG, result, netns=fresh)
    for spoil, repair, words in (
        ("link set lo down", "link set lo up", "lo in .* is down"),
        ("address delete 127.0.0.1/8 dev lo", "address add 127.0.0.1/8 dev lo", "127.0.0.1/8"),
    ):
        fresh.command("ip", *spoil.split())
        with pytest.raises(PluginError, match=words) as caught:
            runtime.check(CONFIG, result, netns=fresh)
        assert caught.value.code == CHECK_FAILED
        fresh.command("ip", *repair.split())
    # A link that went down lost ::1, which comes back with it.
    runtime.check(CONFIG, result, netns=fresh)


def test_delete_without_a_namespace(runtime: Runtime, fresh: Namespace) -> None:
    runtime.delete(CONFIG)
    runtime.delete(CONFIG, netns="/run/netns/nowhere")
    fresh.command("ip", "link", "set", "lo", "up")


def test_gc_and_status_succeed(runtime: Runtime) -> None:
    runtime.gc(CONFIG, [])
    runtime.status(CONFIG)


def test_add_needs_a_namespace(runtime: Runtime, host: Host) -> None:
    for netns in ("", "/run/netns/nowhere", __file__, "/proc/self/ns/pid", "/proc/self/ns/net"):
        with pytest.raises(PluginError, match="CNI_NETNS") as caught:
            runtime.add(CONFIG, netns=netns)
        assert caught.value.code == INVALID_ENVIRONMENT


def test_a_call_that_fails_leaves_lo_as_it_was(runtime: Runtime, fresh: Namespace) -> None:
    def refused() -> None:
        with pytest.raises(PluginError, match="No buffer space available"):
            runtime.add(CONFIG, netns=fresh)

    with_fault(Fault("_send", 3, no_buffers), refused)  # at the list of its addresses
    assert "UP" not in fresh.links()["lo"]["flags"]
    fresh.command("ip", "link", "set", "lo", "up")
    with_fault(Fault("_send", 2, no_buffers), refused)
    assert "UP" in fresh.links()["lo"]["flags"]


def test_args_that_are_for_others(runtime: Runtime, fresh: Namespace) -> None:
    result = runtime.add(CONFIG, netns=fresh, args="FOO=bar")
    runtime.check(CONFIG, result, netns=fresh, args="FOO=bar")
    runtime.delete(CONFIG, netns=fresh, args="FOO=bar")
    fresh.command("ip", "link", "set", "lo", "up")
