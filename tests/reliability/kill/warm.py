"""A real `cnid` under the supervisor: the worker that serves a call is killed in the middle."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from cnid.status import ask
from tests.cnid.daemon import CNID, SECONDS, Answer, Suite
from tests.kit.syscalls import GO, KILL_ISSUER, Point, Supervisor


class Warm:
    """`with Warm(supervisor, directory, launcher, stand-in) as warm:` a daemon with one worker."""

    def __init__(
        self, supervisor: Supervisor, directory: Path, launcher: Path, stand_in: Path
    ) -> None:
        directory.mkdir()
        self._suite = Suite(directory, launcher, stand_in)
        self._workers: set[int] = set()
        notices = directory / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(notices))
            command = [*CNID, f"--socket={self._suite.socket}", "--workers=1", "--cache-dir="]
            env = {"NOTIFY_SOCKET": str(notices), "PATH": os.defpath}
            self._daemon = supervisor.start(command, env=env, strike=GO, counts=self._counts)
            ready.setblocking(False)
            self._daemon.go_on(lambda: _heard(ready), ready.fileno())
        self._wait_ready(set())

    def _counts(self, point: Point) -> bool:
        """Whether a call is a worker's; the daemon's own come between them as they like."""
        return point.pid in self._workers

    def _wait_ready(self, gone: set[int]) -> None:
        """Until there is a worker that is not one of these, as `cnid status` has it."""
        done, told = os.pipe()
        found: set[int] = set()

        def look() -> None:
            try:
                while not found:
                    found.update(one["pid"] for one in ask(str(self._suite.socket))["workers"])
                    found.difference_update(gone)
            finally:
                os.close(told)

        looking = threading.Thread(target=look)
        looking.start()
        self._daemon.go_on(lambda: not looking.is_alive() or _ended(done), done)
        looking.join()
        os.close(done)
        self._workers = found

    def call(self, verb: str, config: dict[str, Any], environ: dict[str, str], at: int) -> Answer:
        """A call by the launcher, whose worker is killed at its system call number `at`."""
        self._daemon.aim(at, KILL_ISSUER if at else GO)
        env = {**self._suite.environ(verb), **environ, "CNI_PATH": str(self._suite.path)}
        argv = [str(self._suite.path / config["type"])]
        pipe = subprocess.PIPE
        launcher = subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
        assert launcher.stdin is not None
        launcher.stdin.write(json.dumps(config).encode())
        launcher.stdin.close()
        launcher.stdin = None
        end = os.pidfd_open(launcher.pid)
        try:
            self._daemon.go_on(lambda: launcher.poll() is not None, end)
        finally:
            os.close(end)
        stdout, stderr = launcher.communicate(timeout=SECONDS)
        self.calls = [one.call for one in self._daemon.points]
        self.struck = self._daemon.struck
        self._daemon.aim(0, GO)
        if self.struck:
            self._wait_ready(self._workers)
        return Answer(launcher.returncode, stdout, stderr)

    def cold_runs(self) -> list[str]:
        """What has been run without the daemon."""
        return self._suite.cold_runs()

    def __enter__(self) -> Warm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._daemon.close()


def _ended(pipe: int) -> bool:
    """Whether nobody has its other end any more."""
    return bool(select.select([pipe], [], [], 0)[0])


def _heard(ready: socket.socket) -> bool:
    try:
        return ready.recv(100) == b"READY=1"
    except BlockingIOError:
        return False
