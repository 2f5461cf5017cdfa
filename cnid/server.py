"""The daemon's loop: count what workers did, and take the requests that they cannot.

Workers accept calls themselves (`cnid.door`); the daemon does while all of them are busy, and hands
each to the first that is free. It does no plugin's work itself, so nothing a call does can stop it;
and it waits for nobody: whatever a client sends or leaves out costs one descriptor for a few
seconds. A request it will not take is answered with REFUSED, and the launcher executes the cold
plugin.
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

from cni.journal import log
from cnid import protocol, report
from cnid.protocol import ProtocolError
from cnid.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cnid.guard import Guard
    from cnid.heal_supervisor import HealSupervisor
    from cnid.overlay_supervisor import OverlaySupervisor
    from cnid.pool import Member, Pool
    from cnid.tally import Status

SILENT_SECONDS = 5.0
"""How long a connection may take to say what it wants."""
PATIENCE_SECONDS = 5.0
"""How long calls wait for a worker while none of them ends a call."""
STOP_SECONDS = 30.0
"""How long calls under way may go on after SIGTERM."""
_TICK = 1.0
_TELL_SECONDS = 0.5
_PAUSE_SECONDS = 0.1
_MOST_WAITING = 1024


class _Waiting:
    """A request that waits for a worker."""

    def __init__(self, connection: socket.socket, message: bytes, descriptors: list[int]) -> None:
        self.connection = connection
        self.message = message
        self.descriptors = descriptors

    def answer(self, message: bytes) -> None:
        """Send the one message that the client waits for, and close."""
        try:
            self.connection.send(message)
        except OSError:  # it went away, or does not read: its loss
            pass
        self.close()

    def wait(self) -> None:
        """Let the client know that there is something to wait for."""
        try:
            self.connection.send(protocol.WAIT)
        except OSError:  # what its worker will find out
            pass

    def close(self) -> None:
        self.connection.close()
        for fd in self.descriptors:
            os.close(fd)


class Server:
    """The daemon. listener: bound and listening, SOCK_SEQPACKET. build: what it is a build of.

    metrics: a listening stream socket for Prometheus, or None. notify: told READY=1 and STOPPING=1,
    as systemd wants it. alive: called every `tick` seconds and with every event. patience: seconds
    that calls wait for a worker while none of them ends a call. supervisor: of the process that
    keeps overlays. healer: of the one that heals.
    """

    def __init__(
        self,
        listener: socket.socket,
        build: str,
        guard: Guard,
        pool: Pool,
        *,
        metrics: socket.socket | None,
        notify: Callable[[str], None],
        alive: Callable[[], None],
        supervisor: OverlaySupervisor,
        healer: HealSupervisor,
        tick: float = _TICK,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._listener = listener
        self._build = build
        self._guard = guard
        self._pool = pool
        self._metrics = metrics
        self._notify = notify
        self._alive = alive
        self._supervisor = supervisor
        self._healer = healer
        self._every = min(tick, _TICK)
        self._patience = patience
        self._moved = self._told = self._replaced = time.monotonic()
        self._started = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._watched: set[socket.socket | Member] = set()
        self._silent: dict[socket.socket, float] = {}
        self._waiting: deque[_Waiting] = deque()
        self._tally = Tally()
        self._paused: list[tuple[float, Callable[[], None]]] = []
        self._stopping = 0.0
        self._signals, self._signalled = socket.socketpair()
        for one in (listener, metrics, self._signals, self._signalled):
            if one is not None:
                one.setblocking(False)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the calls under way end."""
        signal.set_wakeup_fd(self._signalled.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor tells
        self._watch(self._signals, self._on_signal)
        if self._metrics is not None:
            self._accept(self._metrics, self._on_scrape)
        self._refill()
        self._notify("READY=1")
        while not self._is_over():
            for key, _ in self._selector.select(_PAUSE_SECONDS if self._paused else self._every):
                # Unless what another handler has just done has closed it.
                if self._selector.get_map().get(key.fd) is key:
                    handler: Callable[[], None] = key.data
                    handler()
            self._tick()
        self._supervisor.close()
        self._healer.close()
        self._pool.close()

    def _watch(self, what: socket.socket | Member, handler: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, handler)
        self._watched.add(what)

    def _accept(self, listener: socket.socket, handler: Callable[[socket.socket], None]) -> None:
        self._watch(listener, partial(self._on_connect, listener, handler))

    # ---- what happens

    def _on_signal(self) -> None:
        numbers = self._signals.recv(4096)
        if self._stopping or not {signal.SIGTERM, signal.SIGINT} & set(numbers):
            return
        log("stopping", calls=sum(member.busy for member in self._pool.members))
        self._notify("STOPPING=1")
        # Who connects from now on is refused here, and not left in the queue of systemd's socket.
        self._pool.dismiss()
        self._stopping = time.monotonic() + STOP_SECONDS
        self._refuse_waiting("the daemon stops")

    def _is_over(self) -> bool:
        if not self._stopping:
            return False
        return not self._pool.members or time.monotonic() > self._stopping

    def _on_connect(
        self, listener: socket.socket, handler: Callable[[socket.socket], None]
    ) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptor is left
            if self._make_room(str(error)):
                return
            # Who connects waits in the kernel's queue meanwhile, and runs cold when tired of it.
            self._ignore(listener)
            resume = time.monotonic() + _PAUSE_SECONDS
            self._paused.append((resume, partial(self._accept, listener, handler)))
            return
        self._hear(connection, handler)

    def _make_room(self, error: str) -> bool:
        """Forget the oldest connection that says nothing; whether there was one."""
        log("cannot accept", error=error)
        for oldest in self._silent:
            self._forget(oldest)
            return True
        return False

    def _hear(self, connection: socket.socket, handler: Callable[[socket.socket], None]) -> None:
        connection.setblocking(False)
        self._silent[connection] = time.monotonic() + SILENT_SECONDS
        handler(connection)  # a launcher that has connected has mostly spoken too
        if connection in self._silent:
            self._watch(connection, partial(handler, connection))

    def _forget(self, connection: socket.socket) -> None:
        self._release(connection)
        connection.close()

    def _release(self, connection: socket.socket) -> None:
        self._ignore(connection)
        self._silent.pop(connection, None)

    def _ignore(self, what: socket.socket | Member) -> None:
        # Asked of the selector, "no" is an error whose text names the socket: that took longer than
        # all else a request needs here.
        if what in self._watched:
            self._watched.discard(what)
            self._selector.unregister(what)

    def _on_request(self, connection: socket.socket) -> None:
        try:
            message, descriptors = protocol.receive(connection, protocol.DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            self._forget(connection)
            return
        self._release(connection)
        self._on_message(connection, message, descriptors)

    def _on_message(
        self, connection: socket.socket, message: bytes, descriptors: list[int]
    ) -> None:
        request = _Waiting(connection, message, descriptors)
        if message == protocol.STATUS_REQUEST:
            request.answer(json.dumps(self.status()).encode())
            return
        try:
            if self._stopping:
                raise ProtocolError("the daemon stops")
            self._guard.admit(message, len(descriptors), connection)
            if len(self._waiting) >= _MOST_WAITING:
                raise ProtocolError("too many wait already")
        except ProtocolError as error:
            self._refuse(request, str(error))
        else:
            self._waiting.append(request)
            self._dispatch()

    def _refuse_waiting(self, why: str) -> None:
        for request in self._waiting:
            self._refuse(request, why)
        self._waiting.clear()

    def _refuse(self, request: _Waiting, why: str) -> None:
        self._tally.refused += 1
        log("refused", why=why)
        request.answer(protocol.REFUSED)

    def _on_scrape(self, connection: socket.socket) -> None:
        """Answer a scrape, whatever it asks for."""
        try:
            connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self._forget(connection)
            return
        self._release(connection)
        workers = self._pool.members
        busy = sum(member.busy for member in workers)
        waiting, heal = len(self._waiting), self._healer.state()
        body = self._tally.as_prometheus(len(workers), busy, waiting, heal).encode()
        head = (
            "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with connection:
            try:
                # So much fits into the socket's buffer, or the scrape is cut short: see the head.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(body))
                connection.send(head.encode() + body)
            except OSError:  # it went away
                pass

    # ---- workers

    def _dispatch(self) -> None:
        while self._waiting and (member := self._pool.idle()):
            request = self._waiting.popleft()
            descriptors = [request.connection.fileno(), *request.descriptors]
            try:
                member.hand_over(request.message, descriptors)
            except OSError as error:
                self._refuse(request, f"worker {member.pid} is gone: {error.strerror}")
                self._lose(member)
            else:
                self._moved = time.monotonic()
                request.close()

    def _on_word(self, member: Member) -> None:
        try:
            message, descriptors = protocol.receive(member.control, protocol.DESCRIPTORS + 1)
            if message.startswith(protocol.PASSED):
                self._on_passed(message.removeprefix(protocol.PASSED), descriptors)
                return
            if message == protocol.FULL:
                return  # whereupon `_mind` looks
            done = report.loads(message)
        except (OSError, ValueError):
            if member.busy and not member.leaving:
                self._tally.lost += 1
                log("worker died during a call", pid=member.pid)
            self._lose(member)
            return
        member.ended()
        self._moved = time.monotonic()
        if done.pop("strayed", False):
            log("worker left the host's network namespace", pid=member.pid)
        last = done.pop("last", False)
        if "dropped" in done:
            log("dropped", why=done["dropped"])
        else:
            self._tally.count(done)
            log("call", **done, worker=member.pid)
        if last:
            member.dismiss()
        self._dispatch()

    def _on_passed(self, message: bytes, descriptors: list[int]) -> None:
        """What a worker has accepted and is not for it."""
        if not descriptors:
            self._make_room("no descriptor is left")
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptors[0])
        if message:
            self._on_message(connection, message, descriptors[1:])
        else:
            self._hear(connection, self._on_request)

    def _lose(self, member: Member) -> None:
        self._ignore(member)
        self._pool.remove(member)
        self._refill()

    def _refill(self) -> None:
        if self._stopping:
            return
        try:
            for member in self._pool.fill():
                self._watch(member, partial(self._on_word, member))
        except OSError as error:
            log("cannot fork a worker", error=str(error))  # a later tick tries again

    def _replace_rested(self, now: float) -> None:
        """One at a time, so that there always is somebody who accepts."""
        if now - self._replaced >= _TICK and (member := self._pool.rested()) is not None:
            self._replaced = now
            member.dismiss()

    def _tick(self) -> None:
        """What time brings: silent connections to drop, children to bury, workers to replace."""
        now = time.monotonic()
        for connection in [one for one, until in self._silent.items() if until < now]:
            self._forget(connection)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._supervisor.ended(pid, status)
            self._healer.ended(pid, status)
        while self._paused and self._paused[0][0] <= now:
            self._paused.pop(0)[1]()
        self._refill()
        self._dispatch()
        self._mind()
        self._hold_out(now)
        if not self._stopping:
            self._replace_rested(now)
            self._supervisor.tick()
            self._healer.tick()
        self._alive()

    def _mind(self) -> None:
        """Accept calls here while no worker can."""
        wanted = bool(self._stopping) or not self._pool.slots.any_idle
        if not wanted:
            self._ignore(self._listener)
        elif self._listener not in self._watched and not self._paused:
            self._accept(self._listener, self._on_request)

    def _hold_out(self, now: float) -> None:
        """Keep those who wait for a worker, unless all workers are stuck."""
        if now - self._told < _TELL_SECONDS:
            return
        self._told = now
        if self._listener not in self._watched and not self._paused:
            # What a worker was woken for that died on its way to it, nobody else is told of.
            self._on_connect(self._listener, self._on_request)
        if now - self._moved < self._patience:
            for request in self._waiting:
                request.wait()
        else:
            self._refuse_waiting("all workers are busy with long calls")

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
                for member in self._pool.members
            ],
            "calls": self._tally.rows(),
            "overlay": self._supervisor.state(),
            "heal": self._healer.state(),
        }
