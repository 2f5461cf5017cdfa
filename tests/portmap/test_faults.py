"""A call that is killed, or that the kernel fails once, at any message: nothing stays behind."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.kit.calls import PluginError
from tests.kit.faults import Fault, no_buffers, with_fault
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
