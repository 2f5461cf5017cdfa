"""A process in a namespace whose lines can be waited for."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.kit.namespace import Namespace

WAIT_SECONDS = 20.0
STOP_SECONDS = 10.0


class Logged:
    """`with Logged(ns, "dnsmasq", …) as process:` a command whose stderr is read line by line.

    lines: those so far, all runs together. Ended at the end of the body.
    """

    def __init__(self, ns: Namespace, *argv: str, environ: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self._ns = ns
        self._argv = argv
        self._environ = environ
        self._news = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._has_ended = False

    @property
    def pid(self) -> int:
        assert self._process, "it does not run"
        return self._process.pid

    def start(self) -> None:
        assert self._process is None, "it runs already"
        self._process = self._ns.popen(
            *self._argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=self._environ
        )
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        for line in process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()

    def wait(self, pattern: str, after: int = 0, seconds: float = WAIT_SECONDS) -> str:
        """The first line from number `after` on that matches; waits until there is one."""
        matching: list[str] = []
        seen = after

        def is_over() -> bool:
            nonlocal seen
            matching.extend(line for line in self.lines[seen:] if re.search(pattern, line))
            seen = len(self.lines)
            return bool(matching) or self._has_ended

        with self._news:
            self._news.wait_for(is_over, seconds)
        text = "\n".join(self.lines[after:])
        assert matching, f"nothing matched {pattern!r} in:\n{text}"
        return matching[0]

    def mark(self) -> int:
        """How many lines there are: for `after`."""
        with self._news:
            return len(self.lines)

    def count(self, pattern: str) -> int:
        """How many lines match so far."""
        with self._news:
            return sum(bool(re.search(pattern, line)) for line in self.lines)

    def send(self, number: signal.Signals) -> None:
        assert self._process, "it does not run"
        self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL."""
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return 0
        process.send_signal(how)
        status = process.wait(STOP_SECONDS)
        reader.join()
        assert process.stderr
        process.stderr.close()
        self._process = self._reader = None
        return status

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        sys.stdout.write("\n".join([f"---- {self._argv[0]}", *self.lines, ""]))  # for a failure
