"""Whatever goes wrong once with a plugin that works on another's interface: nothing stays behind.

Each function tries one netlink message after the other, until a call has come through untouched.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from hostnet.netlink import NetlinkError
from tests.kit.calls import PluginError
from tests.kit.faults import Fault, with_fault

METHODS = ("_send", "_receive")
_MOST = 1000


def lost() -> None:
    """What the kernel answered is lost, or what it is asked does not get there."""
    raise NetlinkError(errno.ENOBUFS, "test", unanswered=True)


def add(act: Callable[[], object], finish: Callable[[], object], state: Callable[[], Any]) -> int:
    """ADD is complete or undone. finish: CHECK and DEL of one that succeeded. How often it failed.

    state: what must be as before.
    """
    before, failed = state(), 0
    for method in METHODS:
        for at in range(1, _MOST):
            fault = Fault(method, at, lost)
            try:
                with_fault(fault, act)
            except PluginError:
                failed += 1
            else:
                finish()
            assert state() == before, f"left after the fault {method} at {at}"
            if not fault.struck():
                break
    return failed


def delete(
    prepare: Callable[[], object], act: Callable[[], object], state: Callable[[], Any]
) -> None:
    """A DEL that failed is clean when it is repeated. prepare: ADD."""
    before = state()
    for method in METHODS:
        for at in range(1, _MOST):
            prepare()
            fault = Fault(method, at, lost)
            try:
                with_fault(fault, act)
            except PluginError:
                act()
            assert state() == before, f"left after the fault {method} at {at}"
            if not fault.struck():
                break


def killed(
    prepare: Callable[[], object],
    act: Callable[[], object],
    clean: Callable[[], object],
    state: Callable[[], Any],
) -> None:
    """DEL after a verb that was killed at any message leaves nothing."""
    before = state()
    for at in range(1, _MOST):
        prepare()
        child = os.fork()
        if child == 0:
            try:
                with_fault(Fault("_send", at, lambda: os._exit(9)), act)
                os._exit(0)
            except BaseException as error:  # noqa: BLE001 - the test goes on in its parent
                os.write(2, f"{error}\n".encode())
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9), f"it failed where it was to be killed at {at}"
        clean()
        assert state() == before, f"left by one that was killed at {at}"
        if status == 0:
            break
