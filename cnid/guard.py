"""Who may have a call served here: the caller whose call a worker would do exactly as it would.

A worker is in the daemon's network, mount and user namespaces and under its root directory, and
what the call names is looked up there. Everybody else runs the cold plugin.
"""

from __future__ import annotations

import _socket
import os

from cnid import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from socket import socket

_WHERE = {
    "ns/net": "network namespace",
    "ns/mnt": "mount namespace",
    "ns/user": "user namespace",
    "root": "root directory",
}


class Guard:
    """Decides. build: the daemon's own. plugins: the names of those it has."""

    def __init__(self, build: str, plugins: Collection[str]) -> None:
        self._build = build
        self._plugins = plugins
        self._own = {what: os.stat(f"/proc/self/{what}") for what in _WHERE}

    def problem(self, message: bytes, descriptors: int, connection: socket) -> str:
        """Why a request is not for us, empty if it is. descriptors: how many came with it."""
        if not message:
            return "it said nothing"
        try:
            asked = protocol.parse_request(message)
        except protocol.ProtocolError as error:
            return str(error)
        if descriptors != protocol.DESCRIPTORS:
            return f"{descriptors} descriptors came with it, expected {protocol.DESCRIPTORS}"
        if asked.build != self._build:
            return f"it is of build {asked.build!r}, the daemon of {self._build!r}"
        if asked.plugin not in self._plugins:
            return f"there is no plugin {asked.plugin[:40]!r}"
        return self._peer_problem(*peer(connection))

    def _peer_problem(self, pid: int, uid: int) -> str:
        if uid not in (0, os.geteuid()):
            return f"it is of user {uid}"
        for what, own in self._own.items():
            try:
                theirs = os.stat(f"/proc/{pid}/{what}")
            except OSError as error:
                return f"the {_WHERE[what]} of process {pid} is unknown: {error.strerror}"
            if not os.path.samestat(own, theirs):
                return f"process {pid} is in another {_WHERE[what]}"
        return ""


def peer(connection: socket) -> tuple[int, int]:
    """(pid, uid) of who connected (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    # pid_t and uid_t in the machine's order
    pid, uid, _gid = memoryview(credentials).cast("I")
    return pid, uid
