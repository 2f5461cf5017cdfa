"""Traffic between namespaces: an echo server that says who asked, its client, and ping."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import NamedTuple

from tests.kit.namespace import Namespace

IPPROTO_SCTP = 132


class Answer(NamedTuple):
    """What the server said: its name, the client's address as it saw it, what was sent."""

    server: str
    client: str
    payload: str


class EchoServer:
    """A TCP, UDP or SCTP server in a namespace: `with EchoServer(ns, "10.1.0.2", 80): …`.

    Listens on one address (v4 or v6, "0.0.0.0" or "::" for all; port 0 for any, see `port`), and
    answers "NAME CLIENT-ADDRESS PAYLOAD".
    """

    def __init__(
        self, ns: Namespace, address: str, port: int = 0, protocol: str = "tcp", name: str = "echo"
    ) -> None:
        self.name = name
        self._stream = protocol != "udp"
        self._listener = ns.run(_socket_for, address, protocol)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((address, port))
            if self._stream:
                self._listener.listen(64)
        except OSError:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        waiting: list[socket.socket] = [self._listener]
        while True:
            numbers = [self._end, *(one.fileno() for one in waiting)]
            ready, _, _ = select.select(numbers, [], [])
            if self._end in ready:
                break
            for one in [each for each in waiting if each.fileno() in ready]:
                try:
                    self._answer(one, waiting)
                except OSError:  # the client went away
                    if one is not self._listener:
                        waiting.remove(one)
                        one.close()
        for one in waiting:
            one.close()

    def _answer(self, ready: socket.socket, waiting: list[socket.socket]) -> None:
        if not self._stream:
            payload, client = ready.recvfrom(65536)
            ready.sendto(f"{self.name} {client[0]} ".encode() + payload, client)
        elif ready is self._listener:
            waiting.append(ready.accept()[0])
        elif payload := ready.recv(65536):
            client = ready.getpeername()
            ready.sendall(f"{self.name} {client[0]} ".encode() + payload)
        else:
            waiting.remove(ready)
            ready.close()

    def __enter__(self) -> EchoServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._ended, b"x")
        self._thread.join()
        os.close(self._end)
        os.close(self._ended)


def ask(
    ns: Namespace,
    address: str,
    port: int,
    protocol: str = "tcp",
    *,
    payload: str = "hello",
    seconds: float = 2,
    source: tuple[str, int] | None = None,
) -> Answer:
    """Send to an EchoServer from inside `ns`. Raises OSError (TimeoutError, refused, …)."""
    with ns.run(_socket_for, address, protocol) as client:
        client.settimeout(seconds)
        if source is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(source)
        client.connect((address, port))
        client.sendall(payload.encode())
        server, seen, text = client.recv(65536).decode().split(" ", 2)
    return Answer(server, seen, text)


def _socket_for(address: str, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    return socket.socket(family, kind, IPPROTO_SCTP if protocol == "sctp" else 0)


def ping(ns: Namespace, address: str, seconds: float = 5) -> float | None:
    """Milliseconds until the first echo reply to one request from `ns`; None for none in time."""
    six = ":" in address
    request = struct.pack("!BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1)
    if not six:
        request = request[:2] + _checksum(request) + request[4:]
    with ns.run(
        socket.socket,
        socket.AF_INET6 if six else socket.AF_INET,
        socket.SOCK_RAW,
        socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP,
    ) as raw:
        start = time.monotonic()
        raw.sendto(request, (address, 0))
        while (left := start + seconds - time.monotonic()) > 0:
            raw.settimeout(left)
            try:
                reply, peer = raw.recvfrom(2048)
            except TimeoutError:
                break
            reply = reply if six else reply[(reply[0] & 15) * 4 :]
            if (
                reply[0] == (129 if six else 0)
                and reply[4:8] == request[4:8]
                and peer[0] == address
            ):
                return (time.monotonic() - start) * 1000
    return None


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
