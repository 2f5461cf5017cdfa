"""A client of D-Bus, as far as four method calls of strings need one.

The D-Bus specification's protocol on a Unix socket: EXTERNAL authentication, little-endian
messages. The libraries were measured and dropped: to import jeepney takes 16 ms and dbus-fast 56 ms
(Python 3.11), of which a whole call may take 20. docs/design.md has more.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import TypeAlias

    Place: TypeAlias = tuple[str, str, str]

DEFAULT = "unix:path=/run/dbus/system_bus_socket"
ANSWER_SECONDS = 10
"""firewalld loads its whole ruleset anew for some calls, which takes seconds on a slow machine."""

_METHOD_CALL, _METHOD_RETURN, _ERROR = 1, 2, 3
_NO_AUTO_START = 2
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION = 1, 2, 3, 4, 5, 6
_SIGNATURE = 8
_HEADER = struct.Struct("<cBBBIII")
_LENGTH = struct.Struct("<I")
_LONGEST = 1 << 20
_BUS: Place = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class BusError(OSError):
    """A method call that failed. name: of the error, as D-Bus has it; words: what it says."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(errno.EREMOTEIO, words)
        self.name = name
        self.words = words

    def __str__(self) -> str:
        return f"{self.words} ({self.name})"


class Bus:
    """A connection to a bus. Raises OSError where there is none; EPROTO where it makes no sense."""

    __slots__ = ("_buffer", "_serial", "_sock", "address")

    def __init__(self, address: str = "") -> None:
        self.address = address or DEFAULT
        self._sock = _connect(self.address)
        self._serial = 0
        self._buffer = b""
        try:
            uid = str(os.geteuid()).encode().hex()
            self._sock.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\n")
            if not self._line().startswith(b"OK "):
                raise PermissionError(errno.EACCES, "the bus does not know us", self.address)
            self._sock.sendall(b"BEGIN\r\n")
            self.call(_BUS, "Hello")
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        """Close it; this object is of no more use."""
        self._sock.close()

    def __enter__(self) -> Bus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def has(self, name: str) -> bool:
        """Whether somebody on the bus has this well-known name. Raises OSError."""
        return bool(self.call(_BUS, "NameHasOwner", name))

    def call(self, place: Place, member: str, *args: str) -> str | bool:
        """Call a method with strings; gives the first value of its answer, a string or a boolean.

        place: destination, object path and interface. Nobody is started for it. Raises BusError,
        OSError.
        """
        self._serial += 1
        self._sock.sendall(_message(self._serial, place, member, args))
        while True:
            kind, serial, name, signature, body = self._receive()
            if serial != self._serial or kind not in (_METHOD_RETURN, _ERROR):
                continue  # a signal, such as that we got a name
            value = _first(signature, body)
            if kind == _ERROR:
                raise BusError(name, str(value))
            return value

    def listen(self, rule: str) -> None:
        """Have signals sent to us that this rule of D-Bus's matches. Raises OSError."""
        self.call(_BUS, "AddMatch", rule)

    def fileno(self) -> int:
        """For poll(): readable when something was sent, or the bus has gone."""
        return self._sock.fileno()

    def take(self) -> int:
        """How many messages have come that nobody has asked for: signals. Waits for none.

        Raises OSError where the bus has gone.
        """
        count = 0
        self._sock.setblocking(False)
        try:
            self._buffer += self._sock.recv(_LONGEST)
            while len(self._buffer) >= _HEADER.size and self._is_whole():
                self._receive()
                count += 1
        finally:
            self._sock.setblocking(True)
        return count

    def _is_whole(self) -> bool:
        *_, size, _serial, fields = _HEADER.unpack_from(self._buffer)
        return bool(len(self._buffer) >= _HEADER.size + (fields + 7 & ~7) + size)

    def _receive(self) -> tuple[int, int, str, str, bytes]:
        """The next message: its type, whose answer it is, the error's name, signature and body."""
        order, kind, _flags, _version, size, _serial, fields_size = _HEADER.unpack(self._read(16))
        if order != b"l" or size + fields_size > _LONGEST:
            raise self._nonsense()
        padded = (fields_size + 7) & ~7
        rest = self._read(padded + size)
        answered = 0
        name = signature = ""
        for field, value in _fields(rest[:fields_size]):
            if field == _REPLY_SERIAL and isinstance(value, int):
                answered = value
            elif field == _ERROR_NAME:
                name = str(value)
            elif field == _SIGNATURE:
                signature = str(value)
        return kind, answered, name, signature, rest[padded:]

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _fill(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            raise TimeoutError(
                errno.ETIMEDOUT, f"no answer within {ANSWER_SECONDS} s", self.address
            ) from None
        if not data or len(self._buffer) > _LONGEST:
            raise ConnectionResetError(errno.ECONNRESET, "the bus closed", self.address)
        self._buffer += data

    def _nonsense(self) -> OSError:
        return OSError(errno.EPROTO, "the bus does not speak D-Bus as expected", self.address)


def _connect(address: str) -> _socket.socket:
    """The first of the addresses that is a Unix socket and can be connected to."""
    problem: OSError | None = None
    for path in _paths(address):
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            # Of the kernel's, not of Python's, which costs a poll() each time.
            wait = struct.pack("@ll", ANSWER_SECONDS, 0)
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, wait)
            sock.connect(path)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise problem or OSError(errno.EINVAL, "it names no Unix socket", address)


def _paths(address: str) -> Iterator[str]:
    """The sockets of an address: `unix:path=/run/bus;unix:abstract=x`."""
    for one in address.split(";"):
        kind, _, keys = one.partition(":")
        if kind != "unix":
            continue
        for pair in keys.split(","):
            key, _, value = pair.partition("=")
            if key == "path":
                yield value
            elif key == "abstract":
                yield "\0" + value


def _message(serial: int, place: Place, member: str, args: tuple[str, ...]) -> bytes:
    destination, path, interface = place
    body = b""
    for one in args:
        body += b"\0" * (-len(body) % 4) + _string(one)
    fields = b""
    for code, kind, text in (
        (_PATH, b"o", path),
        (_INTERFACE, b"s", interface),
        (_MEMBER, b"s", member),
        (_DESTINATION, b"s", destination),
    ):
        fields += b"\0" * (-len(fields) % 8) + bytes((code, 1)) + kind + b"\0" + _string(text)
    if args:
        signature = b"s" * len(args)
        fields += b"\0" * (-len(fields) % 8) + bytes((_SIGNATURE, 1)) + b"g\0"
        fields += bytes((len(signature),)) + signature + b"\0"
    header = _HEADER.pack(b"l", _METHOD_CALL, _NO_AUTO_START, 1, len(body), serial, len(fields))
    return header + fields + b"\0" * (-len(fields) % 8) + body


def _string(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data + b"\0"


def _fields(data: bytes) -> Iterator[tuple[int, int | str]]:
    """The fields of a header, an array of (code, variant); those have simple types only."""
    at = 0
    while at + 4 <= len(data):
        code, size, kind = data[at], data[at + 1], data[at + 2 : at + 3]
        at += 3 + size
        if kind == b"g":
            length = data[at]
            yield code, data[at + 1 : at + 1 + length].decode(errors="replace")
            at += length + 2
        elif kind in (b"s", b"o"):
            (length,) = _LENGTH.unpack_from(data, at)
            yield code, data[at + 4 : at + 4 + length].decode(errors="replace")
            at += length + 5
        else:  # of four bytes: REPLY_SERIAL, UNIX_FDS
            yield code, _LENGTH.unpack_from(data, at)[0]
            at += 4
        at = (at + 7) & ~7


def _first(signature: str, body: bytes) -> str | bool:
    if signature.startswith("b"):
        return body[:4] != b"\0\0\0\0"
    if signature.startswith("s"):
        (length,) = _LENGTH.unpack_from(body)
        return body[4 : 4 + length].decode(errors="replace")
    return ""
