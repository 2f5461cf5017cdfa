"""A cgroup (version 2) of a supervisor's own, by which all its processes are ended at once."""

from __future__ import annotations

import itertools
import os
import select
import signal
import tempfile
import time
from pathlib import Path

from tests.kit.namespace import MNT_DETACH, libc, mount

_SECONDS = 20
_numbers = itertools.count(1)


class Cgroup:
    """One that is made at `path`; `close` removes it and what is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir()

    def enter(self) -> None:
        """Move the calling process into it."""
        (self._path / "cgroup.procs").write_text("0")

    def kill(self) -> None:
        """End all that is in it, and in those below it."""
        (self._path / "cgroup.kill").write_text("1")

    def is_empty(self) -> bool:
        """Whether all have ended, with all they had; their parents may have to hear of it yet."""
        return "populated 0" in (self._path / "cgroup.events").read_text()

    def wait_empty(self) -> None:
        """Wait until it is."""
        with open(self._path / "cgroup.events") as events:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            deadline = time.monotonic() + _SECONDS
            while "populated 1" in events.read():
                left = deadline - time.monotonic()
                assert left > 0, f"{self._path} has processes still after {_SECONDS} s"
                poll.poll(left * 1000)
                events.seek(0)

    def close(self) -> None:
        self.kill()
        self.wait_empty()
        self._path.rmdir()


class Guarded(Cgroup):
    """A cgroup of this process's own, and a guard that ends what is in it when this process dies.

    Made below the cgroup of this process. Where no hierarchy is mounted that can be written, one
    is, for as long as this exists: the session's mount namespace is its own.
    """

    def __init__(self) -> None:
        self._mounted: Path | None = None
        name = f"pycni-test-{os.getpid()}-{next(_numbers)}"
        try:
            super().__init__(_own(_mount_point()) / name)
        except OSError:
            self._mounted = Path(tempfile.mkdtemp(prefix="pycni-cgroup-"))
            mount("none", self._mounted, "cgroup2")
            super().__init__(_own(self._mounted) / name)
        self._guard = self._start_guard()

    def child(self) -> Cgroup:
        """A new one below this."""
        return Cgroup(self._path / f"run{next(_numbers)}")

    def close(self) -> None:
        self._end()
        os.kill(self._guard, signal.SIGKILL)
        os.waitpid(self._guard, 0)
        if self._mounted is not None:
            libc("umount2", bytes(self._mounted), MNT_DETACH)
            self._mounted.rmdir()

    def _end(self) -> None:
        self.kill()
        self.wait_empty()
        for below in self._path.glob("run*"):
            below.rmdir()
        self._path.rmdir()

    def _start_guard(self) -> int:
        parent = os.pidfd_open(os.getpid())
        guard = os.fork()
        if guard == 0:
            try:
                os.setsid()  # a ^C is for the supervisor, after whom it comes
                poll = select.poll()
                poll.register(parent, select.POLLIN)
                poll.poll()
                self._end()
            finally:
                os._exit(0)
        os.close(parent)
        return guard


def _mount_point() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted, _, source = line.partition(" - ")
        if source.split()[0] == "cgroup2":
            return Path(mounted.split()[4])
    raise FileNotFoundError("no hierarchy of cgroup version 2 is mounted")


def _own(top: Path) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return top / path.lstrip("/")
    raise FileNotFoundError("this process is in no cgroup of version 2")
