"""The process that heals, as the daemon sees it: forked, and forked again soon if it dies.

A fork, other than the overlay's process: it calls plugins' functions, so it needs all that the
workers need, and shares that memory with them. Forked from a daemon that has closed nothing yet, it
closes what is not its own.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import time

from cni.journal import log
from cnid.heal import HealProcess
from cnid.pool import open_descriptors
from cnid.rest import Rest
from hostnet import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cnid.heal import Found
    from cnid.tally import HealState
    from libcni.heal import Healer

_LONGEST = 4096


class HealSupervisor:
    """make: what heals, made where it is needed; None for no healing. keep: the descriptors that
    it needs of the daemon's; it closes all others."""

    def __init__(
        self, make: Callable[[], Healer] | None, keep: frozenset[int] = frozenset()
    ) -> None:
        self._make = make
        self._keep = keep | {0, 1, 2}
        self._pid = 0
        self._control: socket.socket | None = None
        self._starts = 0
        self._started = 0.0
        self._rest = Rest()
        self._looks = self._healed = self._problems = self._running = 0
        self._seconds = 0.0

    def tick(self) -> None:
        """Start it where it is missing, and take what it has reported."""
        if self._make is not None and not self._pid and self._rest.is_over:
            self._start(self._make)
        self._read()

    def ended(self, pid: int, status: int) -> None:
        """A child of the daemon's has ended, with a status as of waitpid(2)."""
        if pid != self._pid:
            return
        self._forget()
        log("heal process ended", pid=pid, status=os.waitstatus_to_exitcode(status))
        self._rest.begin(time.monotonic() - self._started)

    def close(self) -> None:
        """End it and wait: it ends when it has healed the attachment it is at."""
        if self._pid:
            pid = self._pid
            self._forget()
            os.waitpid(pid, 0)

    def state(self) -> HealState:
        """What `cnid status` shows."""
        self._read()
        return {
            "wanted": self._make is not None,
            "pid": self._pid,
            "starts": self._starts,
            "memory": process.memory(self._pid) if self._pid else 0,
            "looks": self._looks,
            "seconds": self._seconds,
            "running": self._running,
            "healed": self._healed,
            "problems": self._problems,
        }

    def _start(self, make: Callable[[], Healer]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # No signal may find the child with the daemon's handlers.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self._pid = os.fork()
                if self._pid == 0:
                    _be_healer(theirs, make, self._keep, mask)
            except OSError as error:
                ours.close()
                log("cannot fork the heal process", error=str(error))
                self._rest.begin_longest()
                return
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ours.setblocking(False)
        self._control = ours
        self._starts += 1
        self._started = time.monotonic()
        log("heal process started", pid=self._pid)

    def _read(self) -> None:
        while self._control is not None:
            try:
                told = self._control.recv(_LONGEST)
            except OSError:  # nothing more
                return
            if not told:
                return
            one = json.loads(told)
            self._looks += 1
            self._healed += one["healed"]
            self._running, self._problems = one["running"], one["problems"]
            self._seconds = one["seconds"]

    def _forget(self) -> None:
        self._read()
        self._pid = 0
        if self._control is not None:
            self._control.close()
        self._control = None


def _be_healer(
    control: socket.socket,
    make: Callable[[], Healer],
    keep: frozenset[int],
    mask: set[int | signal.Signals],
) -> None:
    """What the new process does; never returns."""
    status = 1
    try:
        gc.freeze()  # see `pool`
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for fd in open_descriptors() - keep - {control.fileno()}:
            os.close(fd)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        control.setblocking(False)
        HealProcess(make, control.fileno(), lambda found: _tell(control, found)).run()
        status = 0
    except BaseException:  # noqa: BLE001 - it must not come back into the daemon's code
        import traceback

        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


def _tell(control: socket.socket, found: Found) -> None:
    document = {
        "healed": found["healed"],
        "running": found["running"],
        "problems": len(found["problems"]),
        "seconds": found["seconds"],
    }
    try:
        control.send(json.dumps(document).encode())
    except OSError:  # the daemon is gone, or does not read
        pass
