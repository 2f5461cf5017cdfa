"""Sockets to listen at, and the claim of a daemon to its path."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import stat

BACKLOG = 1024


def claim(path: str) -> int:
    """Make the socket at `path` this process's affair for as long as it lives.

    Gives a descriptor to keep open. Raises ValueError that names the process which has it already.

    A record lock, fcntl(2), since no forked worker inherits it: with flock(2) those of a daemon
    that was killed would keep the next one out until their calls end.
    """
    lock = f"{path}.lock"
    os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o755, exist_ok=True)
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # fcntl(2) may say either
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        os.close(fd)
        raise ValueError(f"another cnid serves {path}: process {holder or '(unknown)'}") from None
    os.truncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def listen_unix(path: str, kind: socket.SocketKind) -> socket.socket:
    """Listen at `path`, for this user only, in the place of a socket that nobody serves any more.

    Raises OSError, ValueError where something that is no socket is in the way.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ValueError(f"{path} is there and is no socket; remove it or choose another path")
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, kind)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)
    return listener


def listen_metrics(address: str) -> socket.socket:
    """Listen at `unix:PATH` or `ADDRESS:PORT`. Raises OSError, ValueError unless it is loopback."""
    if address.startswith("unix:"):
        return listen_unix(address.removeprefix("unix:"), socket.SOCK_STREAM)
    host, _, port = address.rpartition(":")
    try:
        found = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError:
        found, number = ipaddress.IPv4Address(0), -1
    if not found.is_loopback or not 0 <= number <= 65535:
        raise ValueError(
            f"metrics at {address!r}: expected unix:PATH or a loopback address, "
            "127.0.0.1:PORT or [::1]:PORT"
        )
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((str(found), number))
    listener.listen(BACKLOG)
    return listener
