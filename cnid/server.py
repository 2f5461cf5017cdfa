"""The daemon's loop: take requests, check who asks, hand them to workers, count what they did.

It does no plugin's work itself, so nothing a call does can stop it; whatever a client sends or
leaves out, it costs one descriptor for a few seconds. A request it will not take is answered with
REFUSED, and the launcher executes the cold plugin.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import time
from collections import deque
from functools import partial

from cni import jsontext
from cnid import protocol
from cnid.journal import log
from cnid.metrics import respond
from cnid.pool import peer
from cnid.protocol import ProtocolError
from cnid.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cnid.pool import Member, Pool
    from cnid.tally import Status

    Handler = Callable[[], None]

SILENT_SECONDS = 5.0
"""How long a connection may take to say what it wants."""
STOP_SECONDS = 30.0
"""How long calls under way may go on after SIGTERM."""
_TICK = 1.0
_NAMESPACES = ("net", "mnt", "user")
_MOST_WAITING = 1024


class _Waiting:
    """A request that waits for a worker."""

    def __init__(self, connection: socket.socket, message: bytes, descriptors: list[int]) -> None:
        self.connection = connection
        self.message = message
        self.descriptors = descriptors

    def close(self) -> None:
        self.connection.close()
        for fd in self.descriptors:
            os.close(fd)


class Server:
    """The daemon. listener: bound and listening, SOCK_SEQPACKET. build: what it is a build of.

    make_pool: makes the workers' pool, given a function that tells which descriptors are the
    daemon's own. metrics: a listening stream socket for Prometheus, or None. alive: called about
    every second.
    """

    def __init__(
        self,
        listener: socket.socket,
        build: str,
        make_pool: Callable[[Callable[[], Iterable[int]]], Pool],
        metrics: socket.socket | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._listener = listener
        self._build = build
        self._metrics = metrics
        self._alive = alive
        self._started = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._silent: dict[socket.socket, float] = {}
        self._waiting: deque[_Waiting] = deque()
        self._tally = Tally()
        self._stopping = 0.0
        self._own = [os.stat(f"/proc/self/ns/{kind}") for kind in _NAMESPACES]
        self._signals, self._signalled = socket.socketpair()
        for one in (listener, self._signals, self._signalled):
            one.setblocking(False)
        self._pool = make_pool(self._descriptors)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the calls under way end."""
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor tells
        self._watch(self._signals, self._on_signal)
        self._watch(self._listener, self._on_connect)
        if self._metrics is not None:
            self._watch(self._metrics, self._on_scrape)
        self._refill()
        while not self._is_over():
            for key, _ in self._selector.select(_TICK):
                handler: Handler = key.data
                handler()
            self._tick()
        for member in list(self._pool.members.values()):
            self._pool.remove(member)

    def _watch(self, what: socket.socket | Member, handler: Handler) -> None:
        self._selector.register(what, selectors.EVENT_READ, handler)

    def _descriptors(self) -> list[int]:
        """What is the daemon's own, and no worker's."""
        sockets = [self._listener, self._signals, self._signalled, *self._silent]
        if self._metrics is not None:
            sockets.append(self._metrics)
        found = [one.fileno() for one in sockets]
        for waiting in self._waiting:
            found += [waiting.connection.fileno(), *waiting.descriptors]
        selector = getattr(self._selector, "fileno", None)
        return [*found, selector()] if selector else found

    # ---- what happens

    def _on_signal(self) -> None:
        numbers = self._signals.recv(4096)
        if self._stopping or not {signal.SIGTERM, signal.SIGINT} & set(numbers):
            return
        self._stopping = time.monotonic() + STOP_SECONDS
        self._selector.unregister(self._listener)
        self._listener.close()  # who connects from now on runs cold
        for one in [*self._silent]:
            self._forget(one)
        for waiting in self._waiting:
            self._refuse(waiting.connection, "the daemon stops")
            waiting.close()
        self._waiting.clear()

    def _is_over(self) -> bool:
        if not self._stopping:
            return False
        busy = any(member.busy for member in self._pool.members.values())
        return not busy or time.monotonic() > self._stopping

    def _on_connect(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # No descriptor is left. Connections wait in the queue, and run cold when tired of it.
            log("cannot accept", error=str(error))
            self._forget_the_oldest()
            return
        connection.setblocking(False)
        self._silent[connection] = time.monotonic() + SILENT_SECONDS
        self._watch(connection, partial(self._on_request, connection))

    def _forget_the_oldest(self) -> None:
        for connection in self._silent:
            self._forget(connection)
            return

    def _forget(self, connection: socket.socket) -> None:
        self._release(connection)
        connection.close()

    def _release(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._silent.pop(connection, None)

    def _on_request(self, connection: socket.socket) -> None:
        try:
            message, descriptors = protocol.receive(connection, protocol.DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            self._forget(connection)
            return
        self._release(connection)
        request = _Waiting(connection, message, descriptors)
        if message == protocol.STATUS_REQUEST:
            self._send(connection, json.dumps(self.status()).encode())
        elif problem := self._problem(request):
            self._tally.refused += 1
            self._refuse(connection, problem)
        else:
            self._waiting.append(request)
            self._dispatch()
            return
        request.close()

    def _problem(self, request: _Waiting) -> str:
        """Why the request is not for us; empty if it is."""
        if not request.message:
            return "it said nothing"
        if len(request.descriptors) != protocol.DESCRIPTORS:
            return f"{len(request.descriptors)} descriptors came with it"
        if len(self._waiting) >= _MOST_WAITING:
            return "too many wait already"
        try:
            asked = protocol.parse_request(request.message)
        except ProtocolError as error:
            return str(error)
        if asked.build != self._build:
            return f"it is of build {asked.build}, the daemon of {self._build}"
        return self._peer_problem(*peer(request.connection))

    def _peer_problem(self, pid: int, uid: int) -> str:
        if uid not in (0, os.geteuid()):
            return f"it is of user {uid}"
        for kind, own in zip(_NAMESPACES, self._own, strict=True):
            try:
                theirs = os.stat(f"/proc/{pid}/ns/{kind}")
            except OSError as error:
                return f"its {kind} namespace is unknown: {error.strerror}"
            if not os.path.samestat(own, theirs):
                return f"it is in another {kind} namespace"
        return ""

    def _refuse(self, connection: socket.socket, why: str) -> None:
        log("refused", why=why)
        self._send(connection, protocol.REFUSED)

    @staticmethod
    def _send(connection: socket.socket, message: bytes) -> None:
        try:
            connection.send(message)
        except OSError:  # it went away, or does not read: its loss
            pass

    def _dispatch(self) -> None:
        while self._waiting and (member := self._pool.idle()):
            request = self._waiting.popleft()
            descriptors = [request.connection.fileno(), *request.descriptors]
            try:
                member.hand_over(request.message, descriptors)
            except OSError as error:
                # The call has not begun: the launcher sees the connection end and runs cold.
                log("worker is gone", pid=member.pid, error=str(error))
                self._lose(member)
            finally:
                request.close()

    def _on_report(self, member: Member) -> None:
        try:
            report = member.control.recv(protocol.LONGEST)
        except OSError:
            report = b""
        if not report:
            if member.busy:
                self._tally.lost += 1
                log("worker died during a call", pid=member.pid)
            self._lose(member)
            return
        member.busy = False
        record = jsontext.loads(report.decode())
        assert isinstance(record, dict)
        if record.pop("last", False):
            self._lose(member)
        if "dropped" in record:
            log("dropped", why=record["dropped"])
        else:
            self._tally.count(record)
            log("call", **record)
        self._dispatch()

    def _lose(self, member: Member) -> None:
        self._selector.unregister(member)
        self._pool.remove(member)
        self._refill()

    def _refill(self) -> None:
        if self._stopping:
            return
        try:
            fresh = self._pool.fill()
        except OSError as error:
            log("cannot fork a worker", error=str(error))  # the next tick tries again
            return
        for member in fresh:
            self._watch(member, partial(self._on_report, member))

    def _on_scrape(self) -> None:
        assert self._metrics is not None
        members = self._pool.members.values()
        busy = sum(member.busy for member in members)
        respond(self._metrics, self._tally.as_prometheus(len(members), busy))

    def _tick(self) -> None:
        """What time brings: silent connections to drop, children to bury, workers to replace."""
        now = time.monotonic()
        for connection in [one for one, until in self._silent.items() if until < now]:
            self._forget(connection)
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        self._refill()
        self._dispatch()
        self._alive()

    def status(self) -> Status:
        """What `cnid status` shows."""
        return {
            "build": self._build,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started, 1),
            "waiting": len(self._waiting),
            "refused": self._tally.refused,
            "lost": self._tally.lost,
            "workers": [
                {"pid": member.pid, "busy": member.busy, "calls": member.calls}
                for member in self._pool.members.values()
            ],
            "calls": self._tally.rows(),
        }
