"""What systemd and a daemon say to each other.

sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3): three short contracts of
environment variables; python-systemd is a C extension around them.
"""

from __future__ import annotations

import os
import socket

FIRST = 3  # SD_LISTEN_FDS_START


def notify(state: str) -> None:
    """Tell systemd, if it is there to be told; what goes wrong with it is its own affair."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), socket.MSG_DONTWAIT, address)
        except OSError:
            pass


def inherited_socket() -> socket.socket | None:
    """The listening socket of socket activation; None where there is none.

    Raises ValueError for more than one, or for a socket of another kind.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if count != "1":
        raise ValueError(f"LISTEN_FDS: found {count!r}, expected one socket from the socket unit")
    os.set_inheritable(FIRST, False)
    found = socket.socket(fileno=FIRST)
    if (
        found.family != socket.AF_UNIX
        or found.type != socket.SOCK_SEQPACKET
        or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        raise ValueError("the socket unit must say ListenSequentialPacket=PATH and Accept=no")
    return found


def watchdog_seconds() -> float:
    """How often systemd wants a sign of life; 0 for never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(os.environ.get("WATCHDOG_USEC") or "0") / 1e6
