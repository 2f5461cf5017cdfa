"""A worker: a forked copy of the daemon that serves one call at a time.

The call gets everything the cold executable would have: its stdin, stdout and stderr are the
process's own for its length, likewise umask and working directory. A caller that goes away, or
asks to stop, is a SIGTERM to this process: the kernel sends it when the connection becomes
readable (fcntl(2), F_SETSIG), so nobody has to watch while the call runs.
"""

from __future__ import annotations

import fcntl
import io
import os
import select
import signal
import time

from cni import jsontext, skel
from cni.bundle import Bundle
from cnid import protocol
from cnid.protocol import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from socket import socket

    from cni.jsonvalue import JsonValue
    from cni.skel import Plugin

GO_SECONDS = 2.0
"""How long a launcher may think between ACCEPTED and GO; it takes microseconds."""
_F_SETSIG = 10  # asm-generic/fcntl.h
_SHOWN = 400


class Worker:
    """Serves what the daemon hands it over `control` until there is no more, or it is worn out.

    plugins: the bundle's. calls: how many it serves before a fresh one takes its place.
    """

    def __init__(
        self, control: socket, plugins: Mapping[str, Callable[[], Plugin]], calls: int
    ) -> None:
        self._control = control
        self._plugins = plugins
        self._left = calls
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve until the daemon is gone or the worker is worn out."""
        while self._left > 0:
            message, descriptors = protocol.receive(self._control, protocol.DESCRIPTORS + 1)
            if not message and not descriptors:
                return
            self._left -= 1
            report = self._serve(message, descriptors)
            report["last"] = self._left <= 0
            self._control.send(jsontext.dumps(report).encode())

    def _serve(self, message: bytes, descriptors: list[int]) -> dict[str, JsonValue]:
        """One call; gives the record of it for the daemon's log and counters."""
        start = time.monotonic()
        connection = descriptors[0]
        try:
            request = protocol.parse_request(message)
            _send(connection, protocol.ACCEPTED)
            if not _hears_go(connection):
                return {"dropped": "the caller went away before the call began"}
            call = _Call(request, self._plugins, descriptors)
            status = call.run()
            _send(connection, protocol.DONE + bytes([status & 0xFF]))
        except ProtocolError as error:
            return {"dropped": str(error)}
        finally:
            self._leave()
            for fd in descriptors:
                os.close(fd)
        return call.record(status, time.monotonic() - start)

    def _leave(self) -> None:
        """Give up what belonged to the caller."""
        for fd in (0, 1, 2):
            os.dup2(self._null if fd < 2 else LOG, fd)
        os.chdir("/")
        os.umask(0o022)


LOG = 2
"""The daemon's own stderr; `adopt_log` moves it out of the way of the calls'."""


def adopt_log() -> None:
    """Keep the daemon's stderr under another number, since 2 is lent to the calls."""
    global LOG
    LOG = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)


class _Call:
    """A call under way."""

    def __init__(
        self,
        request: protocol.Request,
        plugins: Mapping[str, Callable[[], Plugin]],
        descriptors: list[int],
    ) -> None:
        self._request = request
        self._plugins = plugins
        self._connection, self._stdin, self._stdout, self._stderr, self._cwd = descriptors
        self._config = b""
        self._output = b""

    def run(self) -> int:
        """Serve it through the door; the exit status."""
        os.dup2(self._stdin, 0)
        os.dup2(self._stdout, 1)
        os.dup2(self._stderr, 2)
        os.fchdir(self._cwd)
        os.umask(self._request.umask)
        bundle = Bundle(self._plugins, self._request.executable)
        stdin, stdout = _Stdin(0, closefd=False), _Stdout(1, "wb", closefd=False)
        try:
            skel.obey_signals()
            _signal_when_readable(self._connection)
            return skel.serve(self._request.plugin, bundle, self._request.environ, stdin, stdout)
        except skel.Terminated:  # before anything had begun
            return 1
        finally:
            # First, or the caller's leaving after DONE would count as a wish to stop.
            _signal_never(self._connection)
            skel.ignore_signals()
            self._config, self._output = stdin.seen, stdout.seen

    def record(self, status: int, seconds: float) -> dict[str, JsonValue]:
        """What the log and the counters want to know of it."""
        environ = self._request.environ
        found: dict[str, JsonValue] = {
            "plugin": self._request.plugin,
            "verb": environ.get("CNI_COMMAND", ""),
            "network": self._network(),
            "container": environ.get("CNI_CONTAINERID", ""),
            "ifname": environ.get("CNI_IFNAME", ""),
            "seconds": seconds,
            "status": status,
        }
        if "TRACEPARENT" in environ:
            found["traceparent"] = environ["TRACEPARENT"]
        if status:
            found["error"] = self._output.decode(errors="replace").strip()[:_SHOWN]
        return found

    def _network(self) -> str:
        try:
            config = jsontext.loads(self._config.decode())
        except (ValueError, RecursionError):
            return ""
        name = config.get("name") if isinstance(config, dict) else None
        return name if isinstance(name, str) else ""


class _Stdin(io.FileIO):
    """The caller's stdin, of which a copy is kept for the log."""

    seen = b""

    def read(self, size: int | None = -1) -> bytes:
        """As for a buffered file: until the end, or `size` bytes."""
        chunks = []
        left = float("inf") if size is None or size < 0 else size
        while left > 0 and (chunk := super().read(int(min(left, 1 << 20)))):
            chunks.append(chunk)
            left -= len(chunk)
        self.seen = b"".join(chunks)
        return self.seen


class _Stdout(io.FileIO):
    """The caller's stdout, likewise."""

    seen = b""

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        """As FileIO's."""
        written = super().write(data)
        self.seen += bytes(data[:written])
        return written


def _send(connection: int, message: bytes) -> None:
    try:
        os.write(connection, message)
    except OSError as error:
        raise ProtocolError(f"the caller went away: {error.strerror}") from error


def _hears_go(connection: int) -> bool:
    ready, _, _ = select.select([connection], [], [], GO_SECONDS)
    try:
        return bool(ready) and os.read(connection, 16) == protocol.GO
    except OSError:
        return False


def _signal_when_readable(connection: int) -> None:
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, _F_SETSIG, signal.SIGTERM)
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags | os.O_ASYNC)
    # What came before the kernel was asked to tell.
    if select.select([connection], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGTERM)


def _signal_never(connection: int) -> None:
    flags = fcntl.fcntl(connection, fcntl.F_GETFL)
    fcntl.fcntl(connection, fcntl.F_SETFL, flags & ~os.O_ASYNC)
