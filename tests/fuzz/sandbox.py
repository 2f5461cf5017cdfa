"""Sees every file that this process writes to, makes or removes, and every program it starts.

It hears of them by Python's audit events, before they happen, and refuses those outside the
directories that are open: so a hostile name that gets through harms nothing and is told.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SYSTEM = ("/proc/sys/net/", "/run/cni", "/var/lib/cni", "/dev/null", "/dev/net/tun")
_PROGRAMS = ("/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {  # event: which of its arguments are paths
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "shutil.rmtree": (0,),
}


class EscapeError(AssertionError):
    """A path or a program outside of what is open."""


class Sandbox:
    """What is open, and what was tried beyond it."""

    def __init__(self) -> None:
        self.roots: tuple[str, ...] = ()
        self.escapes: list[str] = []
        self.active = False
        sys.addaudithook(self._heard)  # for the process's life: none can be removed

    @contextlib.contextmanager
    def around(self, *roots: Path) -> Iterator[None]:
        """The body may write below these and where the suite keeps things."""
        self.roots = tuple(os.path.realpath(root) for root in roots)
        self.active = True
        try:
            yield
        finally:
            self.active = False

    def check(self) -> None:
        """AssertionError for what was tried since the last time."""
        found, self.escapes = self.escapes, []
        assert not found, f"outside its directories: {found}"

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            path, _mode, flags = args
            if isinstance(flags, int) and flags & _WRITING and not isinstance(path, int):
                self._see(event, path)
        elif event in _PATHS:
            for index in _PATHS[event]:
                self._see(event, args[index])
        elif event in ("os.posix_spawn", "os.exec", "subprocess.Popen", "os.system"):
            self._see_program(event, args[0])

    def _see(self, event: str, path: Any) -> None:
        if isinstance(path, int) or path is None:
            return
        text = os.fsdecode(path)
        if "/" not in text and text not in (".", ".."):
            return  # below a directory that is open already
        real = os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))
        if real.startswith("/proc/"):
            real = os.path.normpath(text)
        if any(real == root or real.startswith(f"{root}/") for root in self.roots):
            return
        if not real.startswith(_SYSTEM) or os.path.basename(real) == "..":
            self._refuse(f"{event} {real}")

    def _see_program(self, event: str, path: Any) -> None:
        real = os.path.realpath(os.fsdecode(path))
        if not real.startswith((*_PROGRAMS, *(f"{root}/" for root in self.roots))):
            self._refuse(f"{event} {real}")

    def _refuse(self, what: str) -> None:
        self.escapes.append(what)
        raise EscapeError(what)


SANDBOX = Sandbox()
