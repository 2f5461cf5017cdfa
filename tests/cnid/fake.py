"""A daemon that the test plays itself, and a client that speaks the protocol as it likes."""

from __future__ import annotations

import os
import select
import socket
import time
from pathlib import Path

from cnid import protocol
from cnid.protocol import Request
from tests.cnid.daemon import SECONDS, Suite

NOBODY = 65534


class As:
    """`with As(uid):` the body acts as that user, for what the kernel asks of sockets."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def __enter__(self) -> None:
        os.seteuid(self._uid)

    def __exit__(self, *_: object) -> None:
        os.seteuid(0)


def listen(path: Path, uid: int = 0) -> socket.socket:
    """A socket where launchers look for a daemon, of that user."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    with As(uid):
        listener.listen()
    listener.settimeout(SECONDS)
    return listener


def accept(listener: socket.socket, *, take: bool = False) -> tuple[socket.socket, Request]:
    """The next connection and its request, whose descriptors are closed. take: also the call."""
    connection, _ = listener.accept()
    connection.settimeout(SECONDS)
    message, descriptors = protocol.receive(connection, protocol.DESCRIPTORS)
    assert not take or protocol.take(descriptors[-1])
    for fd in descriptors:
        os.close(fd)
    return connection, protocol.parse_request(message)


def connect(suite: Suite, path: str = "") -> socket.socket:
    """A connection to the daemon, nothing said yet. path: another one that leads to its socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(SECONDS)
    try:
        connection.connect(path or str(suite.socket))
    except OSError:
        connection.close()
        raise
    return connection


def request(suite: Suite, command: str, netns: str = "", **fields: object) -> bytes:
    """A request as the launcher would send it, of loopback unless told otherwise."""
    environ = suite.environ(command, netns)
    named = {"build": "test", "umask": 0o022, "plugin": "loopback", "environ": environ}
    named |= {"executable": str(suite.path / "loopback"), "since": time.monotonic_ns()}
    found = {**named, "netns": protocol.identity(netns), **fields}
    return protocol.format_request(Request(**found))  # type: ignore[arg-type]  # as named above


def send(
    connection: socket.socket,
    message: bytes,
    stdin: bytes = b"{}",
    count: int = protocol.DESCRIPTORS,
    token: int = 1,
) -> int:
    """Send it with that many descriptors; gives one to read stdout and stderr from.

    token: 0 for a call that has been taken back.
    """
    reading, writing = os.pipe()
    given, taken = os.pipe()
    os.write(taken, stdin)
    os.close(taken)
    directory = os.open("/", os.O_PATH)
    free = os.eventfd(token, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    descriptors = [given, writing, writing, directory, free]
    try:
        socket.send_fds(connection, [message], descriptors[:count])
    finally:
        for fd in (given, writing, directory, free):
            os.close(fd)
    return reading


def read_all(fd: int) -> bytes:
    """All that comes until nobody can write any more."""
    chunks: list[bytes] = []
    while True:
        assert select.select([fd], [], [], SECONDS)[0], "somebody keeps it open"
        chunk = os.read(fd, 65536)
        if not chunk:
            os.close(fd)
            return b"".join(chunks)
        chunks.append(chunk)
