"""Network namespaces. The only file that moves the thread from one into another.

A namespace is a value here: a `NetNS` holds it open, and what acts in it is given a netlink
socket born there (`NetNS.netlink`). Moving the thread is left for what has no such handle:
/proc/sys/net, packet sockets, libraries that open sockets themselves.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from hostnet import signals
from hostnet.netlink import NETLINK_ROUTE, Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_NS_GET_NSTYPE = 0xB703  # <linux/nsfs.h>
_SIOCGSKNS = 0x894C  # <linux/sockios.h>
_KINDS = {
    0x00000080: "time",
    0x00020000: "mount",
    0x02000000: "cgroup",
    0x04000000: "UTS",
    0x08000000: "IPC",
    0x10000000: "user",
    0x20000000: "PID",
}
# The thread's own: in a process whose other threads move, /proc/self is the first thread's.
_CURRENT = "/proc/thread-self/ns/net"


class NetNSError(OSError):
    """A path that is no network namespace, or a namespace that could not be entered."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class NetNS:
    """An open network namespace: alive for as long as this object is not closed."""

    __slots__ = ("_fd", "_identity", "path")

    def __init__(self, path: str, fd: int, identity: tuple[int, int]) -> None:
        self.path = path
        self._fd = fd
        self._identity = identity

    @classmethod
    def open(cls, path: str) -> NetNS:
        """Open the namespace at `path` (/run/netns/NAME, /proc/PID/ns/net).

        Raises FileNotFoundError or another OSError when it cannot be opened, NetNSError (EINVAL)
        when it is no network namespace.
        """
        # O_NONBLOCK: opening somebody's FIFO must not hang.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(fd)
            found = _describe(fd, status)
            if found:
                raise NetNSError(
                    errno.EINVAL, f"{path} is {found}, and a network namespace was expected"
                )
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, (status.st_dev, status.st_ino))

    @property
    def identity(self) -> tuple[int, int]:
        """(st_dev, st_ino): equal for two paths of one namespace."""
        return self._identity

    def fileno(self) -> int:
        return self._fd

    def is_current(self) -> bool:
        """Whether the calling thread is in this namespace."""
        status = os.stat(_CURRENT)
        return (status.st_dev, status.st_ino) == self._identity

    def entered(self) -> Entered:
        """A context manager in whose body the calling thread is in this namespace."""
        return Entered(self)

    def netlink(self, protocol: int = NETLINK_ROUTE) -> Netlink:
        """A netlink socket born in this namespace."""
        with Entered(self):
            return Netlink(protocol)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> NetNS:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def current() -> NetNS:
    """The namespace of the calling thread."""
    return NetNS.open(_CURRENT)


def of_socket(sock: Netlink) -> NetNS:
    """The namespace in which a socket was born. Needs CAP_NET_ADMIN there."""
    fd = fcntl.ioctl(sock.fileno(), _SIOCGSKNS)
    status = os.fstat(fd)
    return NetNS("of a socket", fd, (status.st_dev, status.st_ino))


class Entered:
    """The calling thread inside a namespace, for the length of a `with` body.

    Signals wait until the thread is back: a handler that raises would otherwise be able to strike
    between the two calls, and what then cleaned up would do it in the wrong namespace. So the
    body must be short and must not wait for anything.
    """

    __slots__ = ("_home", "_mask", "_target")

    def __init__(self, target: NetNS) -> None:
        self._target = target

    def __enter__(self) -> None:
        self._home = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._mask = signals.hold()
            if code := _setns(self._target.fileno()):
                signals.release(self._mask)
                raise NetNSError(
                    code,
                    f"cannot enter the network namespace {self._target.path}: {os.strerror(code)}"
                    " (this needs CAP_SYS_ADMIN)",
                )
        except BaseException:
            os.close(self._home)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # More than once, since it may fail for a moment's lack of memory.
        if _setns(self._home) and _setns(self._home) and (code := _setns(self._home)):
            # Whatever ran next would run in the container's namespace and take it for the host's.
            os.write(
                2,
                f"cannot return from the network namespace {self._target.path}: "
                f"{os.strerror(code)}; giving up at once\n".encode(errors="surrogateescape"),
            )
            os._exit(1)
        os.close(self._home)
        signals.release(self._mask)


def _describe(fd: int, status: os.stat_result) -> str:
    """What `fd` is if not a network namespace, else the empty string."""
    if not stat.S_ISREG(status.st_mode):
        return "a directory" if stat.S_ISDIR(status.st_mode) else "a special file"
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        return "an ordinary file"
    if kind == CLONE_NEWNET:
        return ""
    return f"a namespace of kind {_KINDS.get(kind, hex(kind))}"


def _setns(fd: int) -> int:
    """Move the calling thread into the network namespace `fd`; gives 0 or the error number."""
    global _setns_call
    if _setns_call is None:
        _setns_call = _find_setns()
    return _setns_call(fd)


_setns_call: Callable[[int], int] | None = None


def _find_setns() -> Callable[[int], int]:
    """os.setns came with Python 3.12; before it, the C library's by way of _ctypes.

    Not `ctypes`, of which one function with two ints needs nothing: 0.4 ms of import against 2.
    """
    system = getattr(os, "setns", None)
    if system is not None:

        def call_os(fd: int) -> int:
            try:
                system(fd, CLONE_NEWNET)
            except ValueError:  # it looks at a closed one's number itself
                return errno.EBADF
            except OSError as error:
                return error.errno or errno.EIO
            return 0

        return call_os

    import _ctypes

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO

    # The handle of the program itself, in which the C library is always found.
    function = Function(_ctypes.dlsym(_ctypes.dlopen("", 0), "setns"))

    def call_c(fd: int) -> int:
        return _ctypes.get_errno() if function(fd, CLONE_NEWNET) else 0

    return call_c
