"""Run a program of the host to its end, in the namespace of the calling thread.

Its input and output are files in memory, so nobody waits for anybody at a pipe. posix_spawn() and
not `subprocess`, which takes 15 ms to import.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from hostnet import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # see `signals`

LIMIT_SECONDS = 30
DIRECTORIES = (
    "/usr/sbin",
    "/sbin",
    "/usr/local/sbin",
    "/usr/bin",
    "/bin",
    "/run/current-system/sw/bin",
)
"""Where the host's programs are, whatever PATH a runtime was started with."""


def find(*names: str) -> str:
    """The path of the first of these programs that is installed; empty for none."""
    for name in names:
        for directory in DIRECTORIES:
            path = f"{directory}/{name}"
            if os.access(path, os.X_OK):
                return path
    return ""


def run(
    path: str, args: tuple[str, ...], data: bytes, inherited: tuple[int, ...] = ()
) -> tuple[int, bytes, bytes]:
    """Run a program; gives its status, or minus the signal that ended it, its output and errors.

    data: its standard input. inherited: descriptors that it has too, from 3 on. Raises OSError, and
    TimeoutError after LIMIT_SECONDS; whatever is raised, it has ended.
    """
    fds: list[int] = []
    pid = 0
    try:
        # Above what they become in the child, whichever of those was free here.
        for _ in range(3):
            made = os.memfd_create("stdio", os.MFD_CLOEXEC)
            try:
                fds.append(fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, 10))
            finally:
                os.close(made)
        _write_all(fds[0], data)
        os.lseek(fds[0], 0, os.SEEK_SET)
        fds += [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in inherited]
        mask = signals.hold()
        try:  # that no handler raises before the process it has to end is known
            pid = os.posix_spawn(
                path,
                [path, *args],
                {"PATH": ":".join(DIRECTORIES), "LC_ALL": "C"},
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate(fds)],
                setsigmask=(),
                setsigdef=(_signal.SIGPIPE, _signal.SIGTERM, _signal.SIGINT),
            )
        finally:
            signals.release(mask)
        _wait(pid, path)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = 0
        return status, _read_all(fds[1]), _read_all(fds[2])
    finally:
        if pid:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        for fd in fds:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    parts = []
    at = 0
    while at < size and (part := os.pread(fd, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _wait(pid: int, path: str) -> None:
    """Wait for its end. Raises TimeoutError."""
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        deadline = time.monotonic() + LIMIT_SECONDS
        while not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"{path} did not end within {LIMIT_SECONDS} s; killed"
                )
    finally:
        os.close(ended)
