"""What launcher and daemon say to each other: see docs/cnid-protocol.md.

One SOCK_SEQPACKET connection a call, so a message is whole or not there at all:

    launcher  request, with the descriptors of stdin, stdout, stderr and the working directory
    daemon    ACCEPTED, or REFUSED: then the launcher executes the cold plugin
    launcher  GO
    daemon    DONE and the exit status
    launcher  at any time after GO: STOP, for SIGTERM or SIGINT; to go away says the same
"""

from __future__ import annotations

import _socket
import struct

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket

REFUSED = b"R"
ACCEPTED = b"A"
GO = b"G"
STOP = b"T"
DONE = b"D"
STATUS_REQUEST = b"CNIDstat"

REQUEST_MAGIC = b"CNIDcall"
_HEADER = struct.Struct("=8s16sI")  # magic, build, umask
DESCRIPTORS = 4
"""stdin, stdout, stderr, working directory."""
LONGEST = 200_000
"""Bytes of a request: what the kernel's default for socket buffers lets through in one piece."""


class ProtocolError(Exception):
    """A message that is not one of the protocol's; the text says why."""


@record
class Request:
    """A call as the launcher hands it over.

    build: of the launcher, as the bundle names its library directory. plugin: the name it was
    called by. executable: the launcher's own path. environ: the whole environment of the caller.
    """

    build: str
    umask: int
    plugin: str
    executable: str
    environ: dict[str, str]


def receive(control: socket, descriptors: int) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it; nothing where the connection ended."""
    size = 4 * descriptors
    message, ancillary, _flags, _address = control.recvmsg(
        LONGEST + 1, _socket.CMSG_SPACE(size), _socket.MSG_CMSG_CLOEXEC
    )
    found: list[int] = []
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found += memoryview(data[: len(data) - len(data) % 4]).cast("i")
    return message, found


def parse_request(message: bytes) -> Request:
    """Raises ProtocolError for anything but a whole request."""
    if len(message) < _HEADER.size or not message.startswith(REQUEST_MAGIC):
        raise ProtocolError("not a request")
    _, build, umask = _HEADER.unpack_from(message)
    body = message[_HEADER.size :]
    if not body.endswith(b"\0"):
        raise ProtocolError("a request that is cut off")
    plugin, executable, *pairs = [*_text(body[:-1]).split("\0"), ""]
    environ: dict[str, str] = {}
    for pair in filter(None, pairs):
        name, equals, value = pair.partition("=")
        if equals:
            environ.setdefault(name, value)  # as getenv(3): the first of a repeated name counts
    if not plugin or not executable:
        raise ProtocolError("a request without a plugin")
    return Request(_text(build.rstrip(b"\0")), umask & 0o777, plugin, executable, environ)


def format_request(request: Request) -> bytes:
    """The message for a request."""
    words = [request.plugin, request.executable]
    words += (f"{name}={value}" for name, value in request.environ.items())
    body = "\0".join(words) + "\0"
    head = _HEADER.pack(REQUEST_MAGIC, _bytes(request.build)[:16], request.umask)
    return head + _bytes(body)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")  # as os.environ


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
