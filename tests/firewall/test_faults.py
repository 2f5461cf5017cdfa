"""A call that is killed, or that the kernel fails once, at any message: nothing stays behind."""

from __future__ import annotations

import os

import pytest

from tests.firewall.conftest import World, elements
from tests.kit.calls import PluginError
from tests.kit.faults import Fault, no_buffers, with_fault

NO_CLIENT = True


@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_add_is_complete_or_undone(method: str, world: World) -> None:
    one = world.on("br0")
    one.add("isolated")
    one.delete()
    failed = 0
    for at in range(1, 500):
        fault = Fault(method, at, no_buffers)
        try:
            with_fault(fault, lambda: one.add("isolated"))
        except PluginError:
            failed += 1
            assert elements() == "", f"left after the fault at {at}"
        else:
            one.check(one.config("isolated"))
            one.delete()
        if not fault.struck():
            break
    assert failed > 10


@pytest.mark.parametrize("method", ["_send", "_receive"])
def test_del_again_is_clean(method: str, world: World) -> None:
    one = world.on("br0")
    failed = 0
    for at in range(1, 500):
        one.add("isolated")
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
def test_killed_anywhere_then_del(verb: str, world: World) -> None:
    def kill() -> None:
        os._exit(9)

    one = world.on("br0")
    one.add("isolated")
    one.delete()
    end = at = -1
    for at in range(1, 500):
        if verb == "delete":
            one.add("isolated")
        child = os.fork()
        if child == 0:
            act = one.delete if verb == "delete" else lambda: one.add("isolated")
            with_fault(Fault("_send", at, kill), act)
            os._exit(0)
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        one.delete()
        assert elements() == "", f"left by a call killed at {at}"
        if end == 0:
            break
    assert end == 0
    assert at > 10
