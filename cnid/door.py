"""Where a worker gets its calls: from the socket that all workers accept at, or from the daemon.

What is no call, or not for a worker, goes to the daemon: whoever says nothing yet, asks for the
status, or is to be refused. So a worker waits for nobody, and only the daemon refuses and counts.
"""

from __future__ import annotations

import _socket
import os
import select
import socket

from cnid import protocol, report
from cnid.protocol import ProtocolError
from cnid.slots import BUSY, IDLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnid.guard import Guard
    from cnid.protocol import Request
    from cnid.report import Report
    from cnid.slots import Slots

    Arrival = tuple[_socket.socket, Request, list[int]]

_MOMENT_MS = 2
"""What a worker waits for a client that has connected to speak, before the daemon does."""


class Door:
    """One worker's. control: leads to the daemon. slot: its own among the slots.

    All wait at the listener, and the kernel wakes one of those who have nothing to do
    (epoll_ctl(2), EPOLLEXCLUSIVE): always the same one first, whose memory is warm.
    """

    def __init__(
        self, control: socket.socket, listener: socket.socket, guard: Guard, slots: Slots, slot: int
    ) -> None:
        self._control = control
        self._listener = listener
        self._guard = guard
        self._slots = slots
        self._slot = slot
        self._patient = True
        self._dismissed = False
        self._events = select.epoll()
        self._events.register(control, select.EPOLLIN)
        self._events.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def wait(self) -> Arrival | None:
        """The next call: its connection, the request, and the descriptors that came with it.

        None where there will be no more. Raises OSError where no descriptor is left.
        """
        self._slots[self._slot] = IDLE
        while True:
            ready = [fd for fd, _ in self._events.poll()]
            if self._control.fileno() in ready:
                message, descriptors = protocol.receive(self._control, protocol.DESCRIPTORS + 1)
                if message:
                    arrived = self._handed(message, descriptors)
                elif self._dismissed:
                    return None
                else:
                    # The kernel may have woken this worker for a call just now, and nobody else.
                    self._dismissed = True
                    arrived = self._accepted()
            else:
                arrived = self._accepted()
            if arrived is not None:
                self._slots[self._slot] = BUSY
                if not self._slots.any_idle:
                    self._say(protocol.FULL)
                return arrived

    def tell(self, done: Report, last: bool) -> bool:
        """Report a call that has ended. last: there will be no more. Whether the daemon is there.

        First of all the worker is free, so that the daemon finds it so.
        """
        self._slots[self._slot] = BUSY if last else IDLE
        return self._say(report.dumps(done))

    def leave(self) -> None:
        """Give back to the daemon what it has handed over before it heard of the last call."""
        while True:
            message, descriptors = protocol.receive(self._control, protocol.DESCRIPTORS + 1)
            if not message:
                return
            try:
                socket.send_fds(self._control, [protocol.PASSED, message], descriptors)
            except OSError:  # the daemon is gone
                return
            for fd in descriptors:
                os.close(fd)

    def _say(self, message: bytes) -> bool:
        try:
            self._control.send(message)
        except OSError:  # the daemon is gone
            return False
        return True

    def _handed(self, message: bytes, descriptors: list[int]) -> Arrival | None:
        if len(descriptors) != protocol.DESCRIPTORS + 1:
            for fd in descriptors:
                os.close(fd)
            self.tell({"dropped": "no descriptor was left"}, last=False)
            return None
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptors[0])
        return connection, protocol.parse_request(message), descriptors[1:]

    def _accepted(self) -> Arrival | None:
        try:
            # As socket.accept does, without its enums: they take as long as the system call.
            accepted, _ = self._listener._accept()  # type: ignore[attr-defined]
        except (BlockingIOError, ConnectionAbortedError):  # somebody was faster
            return None
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, accepted)
        message, descriptors = b"", list[int]()
        try:
            message, descriptors = self._hear(connection)
            request = self._guard.admit(message, len(descriptors), connection)
        except (OSError, ProtocolError):
            self._pass_on(connection, message, descriptors)
            return None
        return connection, request, descriptors

    def _hear(self, connection: _socket.socket) -> tuple[bytes, list[int]]:
        """What a client says, with its descriptors. Raises BlockingIOError where it is silent."""
        try:
            heard = protocol.receive(connection, protocol.DESCRIPTORS, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            # On a busy machine a launcher that has connected may have to wait before it can go on.
            # Who comes after one that did not is not waited for: of silent ones there may be many.
            if not self._patient:
                raise
            waiting = select.poll()
            waiting.register(connection, select.POLLIN)
            self._patient = bool(waiting.poll(_MOMENT_MS))
            return protocol.receive(connection, protocol.DESCRIPTORS, _socket.MSG_DONTWAIT)
        self._patient = True
        return heard

    def _pass_on(self, connection: _socket.socket, message: bytes, descriptors: list[int]) -> None:
        try:
            given = [connection.fileno(), *descriptors]
            socket.send_fds(self._control, [protocol.PASSED, message], given)
        except OSError:  # the daemon is gone, or it is far too long
            pass
        connection.close()
        for fd in descriptors:
            os.close(fd)
