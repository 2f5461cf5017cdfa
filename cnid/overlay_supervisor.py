"""The process `cnid overlay`: there while a configuration needs it, and back soon if it dies.

It is this program executed anew, cold, and not a fork of the daemon: a fork would carry the sockets
that callers connect to, and everything that plugins import, through a life as long as the daemon's,
and could not be told from a worker in a list of processes. It ends with the daemon however that
ends: its stdin is a pipe of which the daemon has the only other end.
"""

from __future__ import annotations

import os
import select
import signal
import time

from cni.journal import log
from cnid.overlay_configs import OverlayConfigs
from cnid.rest import Rest
from hostnet import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnid.tally import OverlayState

_LOOK_SECONDS = 1.0
_END_SECONDS = 5.0
_SYSTEMDS = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
"""What systemd says to the daemon alone."""


class OverlaySupervisor:
    """directory: of the network configurations, empty for none. command: what executes this program
    anew, without arguments."""

    def __init__(self, directory: str, command: list[str]) -> None:
        self._configs = OverlayConfigs(directory) if directory else None
        self._command = [*command, "overlay", "--conf-dir", directory, "--until-eof"]
        self._pid = 0
        self._lifeline = -1
        self._starts = 0
        self._started = 0.0
        self._wanted = False
        self._told = False
        self._look = 0.0
        self._rest = Rest()

    def tick(self) -> None:
        """See whether it is wanted, and start or end it."""
        now = time.monotonic()
        if self._configs is not None and now >= self._look:
            self._look = now + _LOOK_SECONDS
            overlays = self._configs.changed()
            if overlays is not None:
                self._wanted = bool(overlays)
        if self._wanted and not self._pid and self._rest.is_over:
            self._start(now)
        elif self._pid and not self._wanted and not self._told:
            self._told = True
            os.kill(self._pid, signal.SIGTERM)

    def ended(self, pid: int, status: int) -> None:
        """A child of the daemon's has ended, with a status as of waitpid(2)."""
        if pid != self._pid:
            return
        self._forget()
        lived = time.monotonic() - self._started
        if not self._told:
            log("overlay process ended", pid=pid, status=os.waitstatus_to_exitcode(status))
            self._rest.begin(lived)

    def close(self) -> None:
        """End it, within seconds."""
        if not self._pid:
            return
        pidfd = os.pidfd_open(self._pid)
        try:
            os.kill(self._pid, signal.SIGTERM)
            if not select.select([pidfd], [], [], _END_SECONDS)[0]:
                log("overlay process does not end", pid=self._pid)
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        finally:
            os.close(pidfd)
        self._forget()

    def state(self) -> OverlayState:
        """What `cnid status` shows."""
        uptime = time.monotonic() - self._started if self._pid else 0.0
        return {
            "wanted": self._wanted,
            "pid": self._pid,
            "starts": self._starts,
            "uptime": round(uptime, 1),
            "memory": process.memory(self._pid) if self._pid else 0,
        }

    def _start(self, now: float) -> None:
        ours, theirs = -1, -1
        try:
            theirs, ours = os.pipe()
            self._pid = os.posix_spawnp(
                self._command[0],
                self._command,
                {key: value for key, value in os.environ.items() if key not in _SYSTEMDS},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGPIPE],
            )
        except OSError as error:
            log("cannot start the overlay process", error=str(error))
            self._rest.begin(0.0)
            if ours >= 0:
                os.close(ours)
        else:
            self._starts += 1
            self._started = now
            self._told = False
            self._lifeline = ours
            log("overlay process started", pid=self._pid)
        finally:
            if theirs >= 0:
                os.close(theirs)

    def _forget(self) -> None:
        self._pid = 0
        os.close(self._lifeline)
        self._lifeline = -1
