"""The packet that is traced: an echo request, or one to a port; and what comes back."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address
    from hostnet.netns import NetNS

ICMP, TCP, UDP = "icmp", "tcp", "udp"
_ECHO = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_PROTOCOLS = {
    (ICMP, 4): socket.IPPROTO_ICMP,
    (ICMP, 6): socket.IPPROTO_ICMPV6,
    (TCP, 4): socket.IPPROTO_TCP,
    (TCP, 6): socket.IPPROTO_TCP,
    (UDP, 4): socket.IPPROTO_UDP,
    (UDP, 6): socket.IPPROTO_UDP,
}
_KINDS = {ICMP: socket.SOCK_RAW, TCP: socket.SOCK_STREAM, UDP: socket.SOCK_DGRAM}


@record
class Target:
    """Where to: protocol `icmp`, `tcp`, `udp`; port 0 for icmp."""

    protocol: str
    address: Address
    port: int = 0

    @property
    def number(self) -> int:
        """The IP protocol's number."""
        return _PROTOCOLS[self.protocol, self.address.version]

    def __str__(self) -> str:
        address = f"[{self.address}]" if self.port and self.address.version == 6 else self.address
        return f"{address}:{self.port}/{self.protocol}" if self.port else str(self.address)


class Probe:
    """`with Probe(ns, target) as probe:` a socket in the container's namespace."""

    def __init__(self, ns: NetNS, target: Target) -> None:
        family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
        with ns.entered():
            self._sock = socket.socket(family, _KINDS[target.protocol], target.number)
        self._sock.setblocking(False)
        self._target = target
        self._start = 0.0

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *what: object) -> None:
        self._sock.close()

    def send(self) -> None:
        """Raises OSError: the container itself has no way there, or its own filter forbids it."""
        address, port = str(self._target.address), self._target.port
        self._start = time.monotonic()
        if self._target.protocol == ICMP:
            self._sock.sendto(_echo_request(self._target.address.version), (address, 0))
            return
        problem = self._sock.connect_ex((address, port))
        if problem not in (0, errno.EINPROGRESS):
            raise OSError(problem, os.strerror(problem))
        if self._target.protocol == UDP:
            self._sock.send(b"cnitool trace")

    def answer(self, seconds: float) -> str:
        """What came back, in words; empty for nothing in that time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            writers = [self._sock] if self._target.protocol == TCP else []
            ready = select.select([self._sock], writers, [], left)
            if not any(ready):
                break
            word = self._heard()
            if word:
                return f"{word} after {(time.monotonic() - self._start) * 1000:.1f} ms"
        return ""

    def _heard(self) -> str:
        problem = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            return os.strerror(problem)
        if self._target.protocol == TCP:
            return "connected"
        try:
            data, peer = self._sock.recvfrom(2048)
        except OSError as error:
            return error.strerror or str(error)
        if self._target.protocol == UDP:
            return f"{len(data)} bytes"
        version = self._target.address.version
        data = data[(data[0] & 15) * 4 :] if version == 4 else data
        is_ours = data[:1] == bytes([_REPLY[version]]) and data[4:6] == _identifier()
        return f"echo reply from {peer[0]}" if is_ours else ""


def _identifier() -> bytes:
    return struct.pack("!H", os.getpid() & 0xFFFF)


def _echo_request(version: int) -> bytes:
    """RFC 792, RFC 4443; of ICMPv6 the kernel fills in the checksum."""
    message = struct.pack("!BBH", _ECHO[version], 0, 0) + _identifier() + b"\0\1"
    total = sum(struct.unpack("!4H", message))
    checksum = ~(total + (total >> 16)) & 0xFFFF if version == 4 else 0
    return message[:2] + struct.pack("!H", checksum) + message[4:]
