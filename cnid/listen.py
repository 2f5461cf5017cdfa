"""Sockets to listen at, and the claim of a daemon to its path."""

from __future__ import annotations

import ipaddress
import socket

from hostnet import daemon
from hostnet.daemon import BACKLOG, listen_unix

__all__ = ["claim", "listen_metrics", "listen_unix"]


def claim(path: str) -> int:
    """Make the socket at `path` this process's; gives a descriptor to keep open.

    Raises ValueError that names the process which has it already.
    """
    return daemon.claim(path, "cnid")


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
