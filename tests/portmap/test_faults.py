"""A call that is killed, or that the kernel fails once, at any message: nothing stays behind.

The socket's own methods are wrapped, so what happens up to that point happens in the kernel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from hostnet.netlink import Netlink, NetlinkError
from tests.kit.calls import PluginError
from tests.portmap.conftest import Container, World, elements

NO_CLIENT = True
# Both kinds of port, UDP and conditions, of one IP version: every path, in half the points.
CONFIG: dict[str, Any] = {
    "runtimeConfig": {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "10.2.0.1"},
        ]
    },
    "conditionsV4": ["ip saddr != 192.0.2.1"],
}


def add(one: Container) -> None:
    one.add(**CONFIG, prevResult=one.result(one.four))


class Fault:
    """Strikes at the N-th message that is sent, or that comes back."""

    def __init__(self, method: str, at: int, strike: Callable[[], None]) -> None:
        self.method = method
        self.count = 0
        self._at = at
        self._strike = strike
        self._original: Callable[..., Any] = getattr(Netlink, method)

    def __call__(self, nl: Netlink, *args: Any) -> Any:
        self.count += 1
        if self.count == self._at and self.method == "_send":
            self._strike()
        outcome = self._original(nl, *args)
        if self.count == self._at and self.method == "_receive":
            self._strike()
        return outcome

    def struck(self) -> bool:
        return self.count >= self._at


def no_buffers() -> None:
    raise NetlinkError(errno.ENOBUFS, "test")


def with_fault(fault: Fault, act: Callable[[], object]) -> None:
    def wrapped(nl: Netlink, *args: Any) -> Any:
        return fault(nl, *args)

    setattr(Netlink, fault.method, wrapped)
    try:
        act()
    finally:
        setattr(Netlink, fault.method, fault._original)


@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_add_is_complete_or_undone(method: str, world: World, one: Container) -> None:
    one.add(8000)
    one.delete()
    failed = 0
    for at in range(1, 500):
        fault = Fault(method, at, no_buffers)
        try:
            with_fault(fault, lambda: add(one))
        except PluginError:
            failed += 1
            assert elements() == "", f"left after the fault at {at}"
        else:
            one.check(one.config(**CONFIG, prevResult=one.result(one.four)))
            one.delete()
        if not fault.struck():
            break
    assert failed > 20


@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_del_again_is_clean(method: str, world: World, one: Container) -> None:
    failed = 0
    for at in range(1, 500):
        add(one)
        fault = Fault(method, at, no_buffers)
        try:
            with_fault(fault, one.delete)
        except PluginError:
            failed += 1
        else:
            assert elements() == "", f"said to be gone after the fault at {at}"
        one.delete()
        assert elements() == ""
        if not fault.struck():
            break
    assert failed > 10


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_killed_anywhere_then_del(verb: str, world: World, one: Container) -> None:
    def kill() -> None:
        os._exit(9)

    one.add(8000)
    one.delete()
    end = at = -1
    for at in range(1, 500):
        if verb == "delete":
            add(one)
        child = os.fork()
        if child == 0:
            with_fault(
                Fault("_send", at, kill),
                lambda: add(one) if verb == "add" else one.delete(),
            )
            os._exit(0)
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        one.delete()
        assert elements() == "", f"left by a call killed at {at}"
        if end == 0:
            break
    assert end == 0
    assert at > 10
