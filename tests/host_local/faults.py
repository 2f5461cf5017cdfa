"""Stops a process, or fails a call, at the n-th operation on a file: without a tracer, in a fork.

Everything the plugin does to files goes through `os`. The child replaces those functions by ones
that count, so that point n of one run is point n of the next.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.calls import PluginError

OPERATIONS = (
    "access",
    "fsync",
    "ftruncate",
    "link",
    "listdir",
    "makedirs",
    "mkdir",
    "open",
    "read",
    "rmdir",
    "unlink",
    "utime",
    "write",
)
"""What changes something, or what a change depends on."""


def count(run: Callable[[], object]) -> int:
    """How many operations a run takes, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        seen = watch(patch, lambda number: None)
        run()
    return seen[0]


def kill_at(point: int, run: Callable[[], object]) -> bool:
    """Run in a child that SIGKILLs itself before operation `point`; False if it came to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            with pytest.MonkeyPatch.context() as patch:
                watch(patch, lambda number: _kill() if number == point else None)
                run()
        except BaseException:  # noqa: BLE001 - a child must not run on into the tests
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed instead"
    return False


def fail_at(point: int, code: int, run: Callable[[], object]) -> PluginError | None:
    """Run with operation `point` failing with that errno; the error that came of it, if any."""

    def act(number: int) -> None:
        if number == point:
            raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch:
        watch(patch, act)
        try:
            run()
        except PluginError as error:
            return error
    return None


def no_tmpfile(patch: pytest.MonkeyPatch) -> None:
    """A file system that cannot have files without a name."""
    real = os.open

    def without(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *args, **kwargs)

    patch.setattr(os, "open", without)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def watch(patch: pytest.MonkeyPatch, act: Callable[[int], object]) -> list[int]:
    """Have `act` called before each operation, with its number from 0 on; gives how many so far."""
    seen = [0]

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            number = seen[0]
            seen[0] += 1
            act(number)
            return real(*args, **kwargs)

        return wrapper

    for name in OPERATIONS:
        patch.setattr(os, name, watched(getattr(os, name)))
    return seen
