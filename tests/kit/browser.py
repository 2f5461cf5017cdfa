"""A headless Chromium, driven over a pipe (--remote-debugging-pipe, the DevTools protocol).

Messages are JSON, ended by NUL, on descriptors 3 and 4. What Selenium or Playwright would add (a
driver program, a downloaded browser) is not needed for one page.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
SECONDS = 60.0


def find_program() -> str | None:
    """Where the browser is; None where there is none."""
    return next((found for one in PROGRAMS if (found := shutil.which(one))), None)


class Browser:
    """`with Browser(directory) as browser:` one page.

    said: what the page has written to the console, and its exceptions.
    """

    def __init__(self, directory: Path) -> None:
        program = find_program()
        assert program, f"none of {', '.join(PROGRAMS)} is installed"
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        argv = [
            program,
            "--headless",
            "--no-sandbox",  # root has none
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            f"--user-data-dir={directory / 'profile'}",
            "--window-size=1280,800",
            "about:blank",
        ]
        # Above 3 and 4 first, where they may be already, in the other order.
        ends = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (to_browser, from_browser)]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        wiring = [*((null, number) for number in (0, 1, 2)), (ends[0], 3), (ends[1], 4)]
        self._pid = os.posix_spawn(
            program,
            argv,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, old, new) for old, new in wiring],
        )
        for one in (to_browser, from_browser, *ends, null):
            os.close(one)
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.said: list[str] = []

    def __enter__(self) -> Self:
        (page,) = (
            one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page"
        )
        attached = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Page", "Log"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._write)  # which ends it
        os.close(self._read)
        handle = os.pidfd_open(self._pid)
        ended, _, _ = select.select([handle], [], [], 10)
        os.close(handle)
        if not ended:
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def send(self, method: str, **params: Any) -> Any:
        """A command's result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        return self._receive(lambda one: one.get("id") == self._number)["result"]

    def open(self, url: str) -> None:
        """Load a page, to its end."""
        self.send("Page.navigate", url=url)
        self._receive(lambda one: one.get("method") == "Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def key(self, key: str) -> None:
        """Press a key that is one character."""
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.send("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **params: Any) -> None:
        """kind: mousePressed, mouseReleased, mouseMoved, mouseWheel."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **params)

    def _receive(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while True:
            text, found, rest = self._buffer.partition(b"\0")
            if found:
                self._buffer = rest
                message: dict[str, Any] = json.loads(text)
                self._note(message)
                if wanted(message):
                    assert "error" not in message, message["error"]
                    return message
                continue
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                self.said.append(f"{params['type']}: {params['args']}")
            case "Runtime.exceptionThrown":
                self.said.append(f"exception: {params['exceptionDetails']}")
            case "Log.entryAdded":
                self.said.append(f"{params['entry']['level']}: {params['entry']['text']}")
            case _:
                pass
