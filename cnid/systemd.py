"""What systemd and this daemon say to each other."""

from __future__ import annotations

import socket

from hostnet import daemon
from hostnet.daemon import notify, watchdog_seconds

__all__ = ["inherited_socket", "notify", "watchdog_seconds"]


def inherited_socket() -> socket.socket | None:
    """The listening socket of cnid.socket; None where there is none. Raises ValueError."""
    return daemon.inherited_socket(socket.SOCK_SEQPACKET)
