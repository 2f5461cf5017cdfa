"""What launcher and daemon say to each other: see docs/cnid-protocol.md.

One SOCK_SEQPACKET connection a call, so a message is whole or not there at all:

    launcher  request, with the descriptors of stdin, stdout, stderr, the working directory and a
              token, an eventfd: whoever reads it has the call, the worker or the launcher
    daemon    WAIT, any number of times; then DONE and the exit status, or REFUSED: then the
              launcher executes the cold plugin
    launcher  at any time: STOP and SIGTERM's or SIGINT's number; to go away says the same
"""

from __future__ import annotations

import _socket
import fcntl
import os
import struct
import sys

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

REFUSED = b"R"
WAIT = b"W"
STOP = b"T"
DONE = b"D"
STATUS_REQUEST = b"CNIDstat"

REQUEST_MAGIC = b"CNIDcall"
_HEADER = struct.Struct("=8s16sIQQQ")
"""Magic, build, umask, CNI_NETNS's device and inode, when."""
BUILD_LONGEST = 16
DESCRIPTORS = 5
"""stdin, stdout, stderr, working directory, token."""
_ONE = (1).to_bytes(8, sys.byteorder)
LONGEST = 200_000
"""Bytes of a request: what the kernel's default for socket buffers lets through in one piece."""

# From a worker to the daemon, beside its reports (which are JSON objects):
PASSED = b"P"
"""Before what a client said that is not for a worker, or before nothing where it says nothing yet.
With it go the connection and the client's descriptors."""
FULL = b"F"
"""It was the last one that had nothing to do."""


class ProtocolError(Exception):
    """A message that is not one of the protocol's; the text says why."""


@record
class Request:
    """A call as the launcher hands it over.

    build: of the launcher, as the bundle names its library directory. netns: `identity` of
    CNI_NETNS as the caller sees it. since: when the launcher asked, in nanoseconds of
    CLOCK_MONOTONIC. plugin: the name it was called by. executable: the launcher's own path.
    environ: the whole environment of the caller.
    """

    build: str
    umask: int
    netns: tuple[int, int]
    since: int
    plugin: str
    executable: str
    environ: dict[str, str]


def identity(path: str) -> tuple[int, int]:
    """(device, inode) of what is at a path; zeros where nothing is."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return found.st_dev, found.st_ino


_ROOM = memoryview(bytearray(LONGEST + 2))
"""For one message at a time: new memory for each costs as much as reading it."""


def receive(control: socket, descriptors: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it; nothing where the connection ended.

    flags: of recv(2).
    """
    size, ancillary, _flags, _address = control.recvmsg_into(
        [_ROOM], _socket.CMSG_SPACE(4 * descriptors), _socket.MSG_CMSG_CLOEXEC | flags
    )
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found += memoryview(data[: len(data) - len(data) % 4]).cast("i")
    return bytes(_ROOM[:size]), found


def take(token: int) -> bool:
    """Whether the call is ours now; not where its launcher has taken it back.

    Raises OSError, ProtocolError for anything but an eventfd that does not block.
    """
    if not fcntl.fcntl(token, fcntl.F_GETFL) & os.O_NONBLOCK:
        raise ProtocolError("its token may block")
    try:
        found = os.read(token, 8)
    except BlockingIOError:
        return False
    if found != _ONE:
        raise ProtocolError("its token is no eventfd of 1")
    return True


def parse_request(message: bytes) -> Request:
    """Raises ProtocolError for anything but a whole request."""
    if len(message) < _HEADER.size or not message.startswith(REQUEST_MAGIC):
        raise ProtocolError("it is not a request")
    if len(message) > LONGEST:
        raise ProtocolError("the request is too long")
    _, build, umask, device, inode, since = _HEADER.unpack_from(message)
    body = message[_HEADER.size :]
    if not body.endswith(b"\0"):
        raise ProtocolError("the request is cut off")
    # Decoded as os.environ is.
    plugin, executable, *pairs = [*os.fsdecode(body[:-1]).split("\0"), ""]
    variables = [pair.split("=", 1) for pair in pairs if "=" in pair]
    environ = dict(variables)
    if len(environ) < len(variables):
        # As for getenv(3), the first of a repeated name counts.
        environ |= dict(reversed(variables))
    if not plugin or not executable:
        raise ProtocolError("the request names no plugin")
    build_name = os.fsdecode(build.rstrip(b"\0"))
    netns = device, inode
    return Request(build_name, umask & 0o777, netns, since, plugin, executable, environ)


def format_request(request: Request) -> bytes:
    """The message for a request."""
    words = [request.plugin, request.executable]
    words += (f"{name}={value}" for name, value in request.environ.items())
    body = "\0".join(words) + "\0"
    build = os.fsencode(request.build)
    numbers = request.umask, *request.netns, request.since
    return _HEADER.pack(REQUEST_MAGIC, build, *numbers) + os.fsencode(body)
