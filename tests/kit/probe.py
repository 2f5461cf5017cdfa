"""Traffic across hosts: who is reached, how large a packet, how much data, and without a gap.

Sockets are born inside a namespace and used from outside it. Nothing here sleeps: what is waited
for is a packet, with a bound.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

_MTU_DISCOVER = {socket.AF_INET: (socket.IPPROTO_IP, 10), socket.AF_INET6: (41, 23)}
_ALWAYS_DF = 2  # IP_PMTUDISC_DO, IPV6_PMTUDISC_DO
_HEADERS = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}


def reaches(ns: Namespace, address: str, seconds: float = 0.2) -> float | None:
    """Milliseconds until an answer to an echo request; None for none in time, or no way there."""
    try:
        return ping(ns, address, seconds)
    except OSError as error:  # no route (yet), or nobody has answered ARP
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
            return None
        raise


def wait_reach(ns: Namespace, address: str, seconds: float = 5) -> float:
    """Wait until `address` answers an echo request from `ns`; the milliseconds it then took."""
    deadline = time.monotonic() + seconds
    while True:
        if (took := reaches(ns, address, 0.05)) is not None:
            return took
        assert time.monotonic() < deadline, f"{ns} does not reach {address} within {seconds} s"


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until a condition, which asks somebody, is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"


def send_echo(ns: Namespace, address: str, size: int, seconds: float = 2) -> str:
    """Send one echo request, an IP packet of `size` octets that must not be cut into fragments.

    "echoed", "too big" (refused here, or by a router on the way) or "lost".
    """
    with _Echo(ns, address) as echo:
        payload = os.urandom(size - _HEADERS[echo.family])
        deadline = time.monotonic() + seconds
        try:
            echo.send(1, payload)
            while (left := deadline - time.monotonic()) > 0:
                if echo.receive(left) == (1, payload):
                    return "echoed"
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return "too big"
            raise
    return "lost"


def transfer(source: Namespace, target: Namespace, address: str, megabytes: int = 4) -> float:
    """Send data over TCP from `source` to a server on `address` in `target`; Mbit/s.

    Raises AssertionError when something else arrived than was sent, OSError for no connection.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    block = os.urandom(1 << 20)
    received = hashlib.sha256()
    with target.run(socket.socket, family) as listener:
        listener.bind((address, 0))
        listener.listen(1)
        listener.settimeout(10)

        def receive() -> None:
            with listener.accept()[0] as peer:
                peer.settimeout(10)
                while data := peer.recv(1 << 18):
                    received.update(data)

        thread = threading.Thread(target=receive)
        thread.start()
        start = time.monotonic()
        with source.run(socket.socket, family) as client:
            client.settimeout(10)
            client.connect(listener.getsockname())
            for _ in range(megabytes):
                client.sendall(block)
        thread.join()
    assert received.digest() == hashlib.sha256(block * megabytes).digest(), "data was damaged"
    return megabytes * 8.39 / (time.monotonic() - start)


class Pinging:
    """`with Pinging(ns, address) as pinging:` an echo request every few milliseconds.

    `lost` (after the body) holds the numbers of requests that nobody answered, of `sent`.
    """

    def __init__(self, ns: Namespace, address: str, interval: float = 0.01) -> None:
        self.address = address
        self.sent = 0
        self.lost: list[int] = []
        self._interval = interval
        self._echo = _Echo(ns, address)
        self._open: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Pinging:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._echo.close()
        self.lost = sorted(self._open)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._send()
            due += self._interval
            while (left := due - time.monotonic()) > 0:
                self._receive(left)
        end = time.monotonic() + 1
        while self._open and (left := end - time.monotonic()) > 0:
            self._receive(left)

    def _send(self) -> None:
        self.sent += 1
        self._open.add(self.sent)
        try:
            self._echo.send(self.sent)
        except OSError:  # which is a loss as well
            pass

    def _receive(self, seconds: float) -> None:
        if (answer := self._echo.receive(seconds)) is not None:
            self._open = {one for one in self._open if one & 0xFFFF != answer[0]}


class _Echo:
    """A raw ICMP socket in a namespace, with an identifier of its own."""

    _identifiers = itertools.count(os.getpid())

    def __init__(self, ns: Namespace, address: str) -> None:
        six = ":" in address
        self.address = address
        self.family = socket.AF_INET6 if six else socket.AF_INET
        self._identifier = next(self._identifiers) & 0xFFFF
        protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
        self._raw = ns.run(socket.socket, self.family, socket.SOCK_RAW, protocol)
        self._raw.setsockopt(*_MTU_DISCOVER[self.family], _ALWAYS_DF)

    def send(self, number: int, payload: bytes = b"") -> None:
        """One echo request (RFC 792, RFC 4443); the kernel fills in the checksum of ICMPv6."""
        kind = 128 if self.family == socket.AF_INET6 else 8
        head = struct.pack("!BBHHH", kind, 0, 0, self._identifier, number & 0xFFFF)
        if kind == 8:
            head = head[:2] + _checksum(head + payload) + head[4:]
        self._raw.sendto(head + payload, (self.address, 0))

    def receive(self, seconds: float) -> tuple[int, bytes] | None:
        """Number and payload of the next packet if it is a reply to one of these requests.

        Raises OSError (EMSGSIZE) for a router's word that a packet was too big.
        """
        if not select.select([self._raw], [], [], seconds)[0]:
            return None
        packet = self._raw.recv(65536)
        kind = 129
        if self.family == socket.AF_INET:
            packet, kind = packet[(packet[0] & 15) * 4 :], 0
        found, _, _, identifier, number = struct.unpack_from("!BBHHH", packet)
        if (found, identifier) != (kind, self._identifier):
            return None
        return number, packet[8:]

    def close(self) -> None:
        self._raw.close()

    def __enter__(self) -> _Echo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _checksum(data: bytes) -> bytes:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
