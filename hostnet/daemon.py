"""What a daemon of this host needs: its path as its own, a socket to listen at, systemd's words.

sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3) are three short contracts of environment
variables and one datagram; python-systemd is a C extension around them.
"""

from __future__ import annotations

import fcntl
import os
import stat

from hostnet import directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

BACKLOG = 1024
FIRST = 3
"""SD_LISTEN_FDS_START: the descriptor of the first socket that systemd hands over."""
_UNIT_KEYS = {1: "ListenStream", 5: "ListenSequentialPacket"}
"""systemd.socket(5), by the kind of socket (SOCK_STREAM, SOCK_SEQPACKET)."""


def claim(path: str, who: str) -> int:
    """Make the socket at `path` this process's affair for as long as it lives.

    who: the daemon's name. Gives a descriptor to keep open. Raises ValueError that names the
    process which has it already.

    A record lock, fcntl(2), since no forked worker inherits it: with flock(2) those of a daemon
    that was killed would keep the next one out until their calls end.
    """
    lock = f"{path}.lock"
    directory.make(os.path.dirname(os.path.abspath(path)), 0o755)
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # fcntl(2) may say either
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        os.close(fd)
        raise ValueError(f"another {who} serves {path}: process {holder or '(unknown)'}") from None
    os.truncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def listen_unix(path: str, kind: int) -> socket.socket:
    """Listen at `path`, for this user only, in the place of a socket that nobody serves any more.

    kind: SOCK_STREAM or SOCK_SEQPACKET. Raises OSError, ValueError where something that is no
    socket is in the way.
    """
    import socket

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


def inherited_socket(kind: int) -> socket.socket | None:
    """The listening socket of socket activation; None where there is none.

    kind: SOCK_STREAM or SOCK_SEQPACKET. Raises ValueError for more than one, or for a socket of
    another kind.
    """
    import socket

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
        or found.type != kind
        or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        raise ValueError(f"the socket unit must say {_UNIT_KEYS[kind]}=PATH and Accept=no")
    return found


def notify(state: str) -> None:
    """Tell systemd, if it is there to be told; what goes wrong with it is its own affair."""
    import socket

    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), socket.MSG_DONTWAIT, address)
        except OSError:
            pass


def watchdog_seconds() -> float:
    """How often systemd wants a sign of life; 0 for never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    return int(os.environ.get("WATCHDOG_USEC") or "0") / 1e6
