"""`cnid` for the warm cases: one on each host, at a socket of its own, gone when the race is."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from pathlib import Path

from bench.cpu import cpu_of
from cnid.pool import GROWN_CALLS as GROWN
from cnid.status import ask
from tests.kit.namespace import Namespace

_SECONDS = 20


class Daemon:
    """A running daemon, ready to serve. Raises RuntimeError with its log where it does not start.

    executable: of the built tree. host: the network namespace it serves, and so runs in.
    directory: for its socket and its log.
    """

    def __init__(self, executable: Path, host: Namespace, directory: Path) -> None:
        self.socket = directory / "cnid.sock"
        self._log = directory / "cnid.log"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
            self._log.open("wb") as log,
        ):
            notices.bind(str(directory / "notify"))
            notices.settimeout(_SECONDS)
            environ = {"NOTIFY_SOCKET": str(directory / "notify"), "PATH": os.defpath}
            self._process = host.popen(
                str(executable), f"--socket={self.socket}", env=environ, stderr=log
            )
            try:
                notices.recv(4096)
            except TimeoutError:
                self.stop()
                raise RuntimeError(f"{executable}: {self._log.read_text()}") from None

    def _pids(self) -> list[int]:
        """The workers', then its own: who is done hands over to one that comes later."""
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [*map(int, workers.split()), pid]

    def memory(self) -> float:
        """MB (10^6 bytes) that it and its workers take: the sum of their proportional set sizes."""
        return sum(map(_pss, self._pids()))

    def rest(self) -> None:
        """Wait until it has replaced the workers that a crowd of calls has made grow."""
        grown = [one["pid"] for one in ask(str(self.socket))["workers"] if one["calls"] >= GROWN]
        waiting = select.poll()
        ends = [os.pidfd_open(pid) for pid in grown]
        for fd in ends:
            waiting.register(fd, select.POLLIN)
        for _ in grown[1:]:  # one of them stays
            ended, _ = (waiting.poll(_SECONDS * 1000) or [(-1, 0)])[0]
            if ended < 0:
                raise RuntimeError(f"the workers {grown} were not replaced in {_SECONDS} seconds")
            waiting.unregister(ended)
        for fd in ends:
            os.close(fd)

    def cpu(self) -> float:
        """Seconds of CPU time that it and its workers have used so far, what follows a call too."""
        return cpu_of(self._pids())

    def refused(self) -> int:
        """How many calls it turned away so far, which then ran cold."""
        return ask(str(self.socket))["refused"]

    def calls(self) -> int:
        """How many calls its workers served so far."""
        self.cpu()  # until all rest: a caller hears of the end before the daemon does
        return sum(row["calls"] for row in ask(str(self.socket))["calls"])

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(f"no Pss of process {pid}")
