"""A call that the kernel fails once, or that is killed, at any message; calls at the same time."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from tests.kit.calls import PluginError, Runtime
from tests.kit.faults import Fault, no_buffers, with_fault
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.vxlan.conftest import l2, l3, remove_overlay

BARE = {"lo", "eth0"}
ENGINES = ["l3", "evpn"]


def a_config(engine: str, host: Host) -> dict[str, Any]:
    return l3(host, ipMasq=True) if engine == "l3" else l2(host, engine, isGateway=True)


def guards(host: Host) -> str:
    """The elements of our tables; empty where nothing is guarded, masqueraded or owned."""
    text = host.command("nft", "list", "ruleset").stdout
    return "".join(line for line in text.splitlines() if "elements" in line)


@pytest.mark.parametrize("engine", ENGINES)
def test_add_is_complete_or_undone(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = a_config(engine, underlay)
    failed = 0
    results: list[Any] = []

    def add() -> None:
        results.append(runtime.add(config, netns=container))

    for at in range(1, 500):
        fault = Fault("_send", at, no_buffers)
        results.clear()
        try:
            with_fault(fault, add)
        except PluginError:
            failed += 1
            assert set(underlay.links()) == BARE, f"left after the fault at {at}"
            assert guards(underlay) == "", f"left after the fault at {at}"
        else:
            runtime.check(config, results[0], netns=container)
            runtime.delete(config, netns=container)
            remove_overlay(underlay)
            underlay.command("nft", "flush", "ruleset")
        if not fault.struck():
            break
    assert failed > 20


@pytest.mark.parametrize("engine", ENGINES)
def test_del_again_is_clean(
    engine: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    config = a_config(engine, underlay)
    failed = 0
    stays = BARE | {"vxlan42", "vxbr42"} if engine == "l3" else BARE
    for at in range(1, 500):
        runtime.add(config, netns=container)
        fault = Fault("_send", at, no_buffers)
        try:
            with_fault(fault, lambda: runtime.delete(config, netns=container))
        except PluginError:
            failed += 1
        runtime.delete(config, netns=container)
        assert set(underlay.links()) == stays, f"left after the fault at {at}"
        if engine != "l3":
            assert guards(underlay) == "", f"left after the fault at {at}"
        if not fault.struck():
            break
    assert failed > 5
    remove_overlay(underlay)


@pytest.mark.parametrize("verb", ["add", "delete"])
@pytest.mark.parametrize("engine", ["l3", "evpn"])
def test_killed_anywhere_then_del(
    engine: str, verb: str, runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """What the network shares, the next ADD makes complete; the container's own is gone.

    So is a segment, but for a link that was made and did not get its mark, the next message. Such a
    bridge stays, such a device is replaced.
    """
    config = a_config(engine, underlay)

    def act() -> None:
        if verb == "add":
            runtime.add(config, netns=container)
        else:
            runtime.delete(config, netns=container)

    def kill() -> None:
        os._exit(9)

    end = at = -1
    unmarked: list[str] = []
    for at in range(1, 500):
        if verb == "delete":
            runtime.add(config, netns=container)
        child = os.fork()
        if child == 0:
            with_fault(Fault("_send", at, kill), act)
            os._exit(0)
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        runtime.delete(config, netns=container)
        left = set(underlay.links()) - BARE
        if engine == "evpn" and left:
            assert left in ({"vxbr42"}, {"vxlan42"})
            unmarked.append(left.pop())
            if unmarked[-1] == "vxbr42":
                underlay.command("ip", "link", "delete", "vxbr42")
        assert left <= {"vxbr42", "vxlan42"}
        if end == 0:
            break
    assert end == 0
    assert at > 10
    assert unmarked.count("vxbr42") <= 1
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    remove_overlay(underlay)


@pytest.mark.parametrize("engine", ["l3", "static", "evpn"])
def test_many_come_and_go_at_once(engine: str, runtime: Runtime, underlay: Host) -> None:
    """First ones that make the network and last ones that take it away meet all the time."""
    config = a_config(engine, underlay)
    errors: list[BaseException] = []

    def live(number: int, ns: Namespace) -> None:
        try:
            underlay.enter()
            for _ in range(6):
                name = f"c{number}"
                result = runtime.add(config, container=name, netns=ns)
                runtime.check(config, result, container=name, netns=ns)
                runtime.delete(config, container=name, netns=ns)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    threads = [
        threading.Thread(target=live, args=(number, underlay.container())) for number in range(6)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert errors == []
    if engine != "l3":
        assert set(underlay.links()) == BARE
        assert "0x2a" not in guards(underlay)
    remove_overlay(underlay)


def test_a_device_that_is_down_is_quieted_before_it_comes_up(
    runtime: Runtime, underlay: Host, container: Namespace
) -> None:
    """An ADD that was killed may have made it and got no further."""
    config = a_config("l3", underlay)
    runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    underlay.command("ip", "link", "set", "vxlan42", "down")
    underlay.command("sysctl", "-q", "-w", "net.ipv6.conf.vxlan42.accept_ra=1")
    runtime.add(config, netns=container)
    shown = underlay.command("sysctl", "-n", "net.ipv6.conf.vxlan42.accept_ra").stdout
    assert shown.strip() == "0"
    runtime.delete(config, netns=container)
    remove_overlay(underlay)
