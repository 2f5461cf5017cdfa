"""Who may have a call served here: the caller whose call a worker would do exactly as it would.

A worker is in the daemon's network, mount and user namespaces and under its root directory, and
what the call names is looked up there. Everybody else runs the cold plugin.
"""

from __future__ import annotations

import _socket
import os

from cnid import protocol
from cnid.protocol import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Collection

    from cnid.protocol import Request

_ROOT = "root"
_WHERE = {
    "ns/net": "network namespace",
    "ns/mnt": "mount namespace",
    "ns/user": "user namespace",
    _ROOT: "root directory",
}


class Guard:
    """Decides. build: the daemon's own. plugins: the names of those it has."""

    def __init__(self, build: str, plugins: Collection[str]) -> None:
        self._build = build
        self._plugins = plugins
        self._own = {what: _identity("self", what) for what in _WHERE}

    def admit(self, message: bytes, descriptors: int, connection: socket) -> Request:
        """The request, if it is for us. descriptors: how many came with it.

        Raises ProtocolError that says why it is not.
        """
        if not message:
            raise ProtocolError("it said nothing")
        asked = protocol.parse_request(message)
        if descriptors != protocol.DESCRIPTORS:
            expected = protocol.DESCRIPTORS
            raise ProtocolError(f"{descriptors} descriptors came with it, expected {expected}")
        if asked.build != self._build:
            raise ProtocolError(f"it is of build {asked.build!r}, the daemon of {self._build!r}")
        if asked.plugin not in self._plugins:
            raise ProtocolError(f"there is no plugin {asked.plugin[:40]!r}")
        self._look_at(*peer(connection))
        return asked

    def _look_at(self, pid: int, uid: int) -> None:
        if uid not in (0, os.geteuid()):
            raise ProtocolError(f"it is of user {uid}")
        for what, own in self._own.items():
            try:
                theirs = _identity(pid, what)
            except OSError as error:
                where = f"the {_WHERE[what]} of process {pid}"
                raise ProtocolError(f"{where} is unknown: {error.strerror}") from error
            if theirs != own:
                raise ProtocolError(f"process {pid} is in another {_WHERE[what]}")


def _identity(pid: int | str, what: str) -> object:
    """What tells one of `_WHERE` from any other. Raises OSError.

    The text of a namespace's link has its number (namespaces(7)); to follow it takes twice as long.
    That of a root directory is a path, which says nothing for certain.
    """
    path = f"/proc/{pid}/{what}"
    if what != _ROOT:
        return os.readlink(path)
    found = os.stat(path)
    return found.st_dev, found.st_ino


def peer(connection: socket) -> tuple[int, int]:
    """(pid, uid) of who connected (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    # pid_t and uid_t in the machine's order
    pid, uid, _gid = memoryview(credentials).cast("I")
    return pid, uid
