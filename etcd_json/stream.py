"""A byte stream to an endpoint: every wait has a deadline and can be broken off by a descriptor.

Sockets that do not block and poll(2), and not socket timeouts: those bound one call, so a peer
that trickles holds a request for ever, and no other thread could end a wait in time.
`_socket`, and not `socket`, which costs a plugin milliseconds to import.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from etcd_json.endpoint import Endpoint

_CHUNK = 1 << 16

# A watch may hear nothing for days and sends nothing either: the kernel asks the peer after 15 s of
# silence, and gives up 15 s later.
_KEEPALIVE = (
    (_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, 1),
    (_socket.IPPROTO_TCP, _socket.TCP_KEEPIDLE, 15),
    (_socket.IPPROTO_TCP, _socket.TCP_KEEPINTVL, 5),
    (_socket.IPPROTO_TCP, _socket.TCP_KEEPCNT, 3),
    (_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1),
)


class NotAccepted(OSError):  # noqa: N818
    """One side does not accept the other; trying again cannot help."""


class Cancelled(OSError):  # noqa: N818
    """The descriptor became readable that ends the wait."""


class Stream:
    """A connection in the network namespace where the calling thread is now.

    deadlines: as of time.monotonic(). cancel: a descriptor that, once readable, ends every wait
    with Cancelled. Raises TimeoutError and OSError.
    """

    def __init__(self, endpoint: Endpoint, deadline: float, cancel: int = -1) -> None:
        self._cancel = cancel
        self._sock = self._connect(endpoint, deadline)

    def _connect(self, endpoint: Endpoint, deadline: float) -> _socket.socket:
        """The first of the host's addresses that answers."""
        # As bytes: of a str the resolver wants the IDNA codec, another 2 ms of imports.
        found = _socket.getaddrinfo(
            endpoint.host.encode(), endpoint.port, _socket.AF_UNSPEC, _socket.SOCK_STREAM
        )
        failure: OSError | None = None
        for left, (family, kind, protocol, _, address) in zip(
            range(len(found), 0, -1), found, strict=True
        ):
            now = time.monotonic()
            sock = _socket.socket(
                family, kind | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK, protocol
            )
            try:
                self._open(sock, address, now + (deadline - now) / left)
            except OSError as error:
                sock.close()
                if isinstance(error, Cancelled):
                    raise
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")

    def _open(self, sock: _socket.socket, address: object, deadline: float) -> None:
        for level, option, value in _KEEPALIVE:
            sock.setsockopt(level, option, value)
        code = sock.connect_ex(address)  # type: ignore[arg-type]  # what getaddrinfo gave
        if code == errno.EINPROGRESS:
            self._wait(sock, select.POLLOUT, deadline)
            code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _wait(self, sock: _socket.socket, what: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(sock.fileno(), what)
        if self._cancel >= 0:
            poll.register(self._cancel, select.POLLIN)
        left = deadline - time.monotonic()
        ready = poll.poll(max(0, left) * 1000)
        if any(fd == self._cancel for fd, _ in ready):
            raise Cancelled(errno.ECANCELED, os.strerror(errno.ECANCELED))
        if not ready:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")

    def send(self, data: bytes, deadline: float) -> None:
        """Hand all of it to the kernel."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest, _socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                self._wait(self._sock, select.POLLOUT, deadline)

    def receive(self, deadline: float) -> bytes:
        """What has come, at least a byte; empty once the peer has closed.

        After TimeoutError the stream is as before and can be asked again.
        """
        while True:
            try:
                return self._sock.recv(_CHUNK)
            except BlockingIOError:
                self._wait(self._sock, select.POLLIN, deadline)

    def is_quiet(self) -> bool:
        """Whether the peer, of whom nothing is expected now, neither closed nor said anything."""
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN | select.POLLRDHUP)
        return not poll.poll(0)

    def close(self) -> None:
        self._sock.close()
