"""A watcher as a process, `cnid overlay`: its log is read all the time, its state asked for."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from cni_vxlan import watchstate
from tests.cnid.daemon import CNID
from tests.kit.namespace import Namespace

SECONDS = 20
"""A bound for whatever is waited for."""

Line = dict[str, Any]


class Watching:
    """`with Watching(ns, directory) as watching:` the overlays of the configurations there."""

    def __init__(self, ns: Namespace, directory: Path) -> None:
        self.ns = ns
        self.lines: list[Line] = []
        self._news = threading.Condition()
        self.process = ns.popen(*CNID, "overlay", f"--conf-dir={directory}", stderr=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            found = json.loads(line) if line.startswith("{") else {"msg": line}
            with self._news:
                self.lines.append(found)
                self._news.notify_all()

    def wait_for(self, wanted: Callable[[Line], bool], since: int = 0) -> Line:
        """The first line of the log that is wanted, of those from number `since` on."""
        with self._news:
            found: list[Line] = []

            def come() -> bool:
                found[:] = filter(wanted, self.lines[since:])
                return bool(found)

            assert self._news.wait_for(come, SECONDS), self.lines
            return found[0]

    def wait_state(self, state: str, network: str = "net", since: int = 0) -> Line:
        """The first line that tells of this state."""
        return self.wait_for(
            lambda line: (
                line["msg"] == "overlay" and (line["network"], line["state"]) == (network, state)
            ),
            since,
        )

    def state(self, network: str = "net") -> dict[str, Any]:
        """What it answers to who asks."""
        return self.ns.run(watchstate.network, network)

    def until(self, condition: Callable[[], bool]) -> float:
        """Ask again and again until it is so; the seconds it took."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() < start + SECONDS, self.lines
        return time.monotonic() - start

    def kill(self) -> None:
        """End it as a power failure does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an init system does; its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(SECONDS)

    def __enter__(self) -> Watching:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self.stop() if self.process.returncode is None else 0
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        assert status == 0 or error is not None, self.lines
