"""A file lock with a bounded wait: flock(2), as the reference suite takes it on the same files.

How to bound a blocking flock() without polling, which starves behind waiters that block, was a
choice between three. An alarm interrupts it but belongs to the whole process and its handler to
the first thread; a child process costs milliseconds and outlives a kill; a second thread costs
50 µs, only when the lock is taken, and the kernel keeps the order of the waiters. The thread it is:
a lock belongs to the open file, so it does not matter which thread asks for it.

What is bounded is how long one holder is waited for, since that tells a lock which will never be
given back from a host on which many are before one in the queue: there each of them may hold it for
a tenth of a second, while it waits for the kernel's own lock of links.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

WAIT_SECONDS = 10.0
"""For one holder."""
QUEUE_SECONDS = 60.0
"""For all that come before."""
_LOOKS = 10
"""How often it is looked who holds it, in the time for one holder."""
_BESIDE = "/run/pycni"
"""Where the files are that stand in for namespaces whose locks strangers hold."""


class LockTimeout(TimeoutError):  # noqa: N818 (as TimeoutError)
    """The lock stayed taken; the text names the file and who holds it."""

    def __init__(self, path: str, seconds: float, holder: str) -> None:
        super().__init__(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path)
        self.path = path
        self.seconds = seconds
        self.holder = holder

    def __str__(self) -> str:
        waited = f"waited {round(self.seconds, 1):g} s"
        return f"{waited} for the lock {self.path}, which {self.holder} holds"


class _StrangersError(Exception):
    """The lock is held by somebody who is none of those whose lock it is."""


class Lock:
    """`with Lock(path):` the body runs while no other process is in its own.

    The file is made if it is missing (its directory is not). Raises LockTimeout after `seconds`
    with one holder, or `in_all` with several; OSError when the file cannot be opened. Not
    reentrant.
    """

    __slots__ = ("_fd", "in_all", "path", "seconds")

    def __init__(
        self, path: str, seconds: float = WAIT_SECONDS, in_all: float = QUEUE_SECONDS
    ) -> None:
        self.path = path
        self.seconds = seconds
        self.in_all = in_all
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock."""
        queue = _Queue(self.seconds, self.in_all)
        while True:
            fd = self._open()
            try:
                self._lock(fd, queue)
                current = _same_file(fd, self.path)
            except BaseException:
                os.close(fd)
                raise
            if current:
                self._fd = fd
                return
            # Somebody removed the file while it was waited for: that lock is worth nothing.
            os.close(fd)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o600)
        status = os.fstat(fd)
        # Who may read a file may lock it, and keep everybody waiting. Ours were once 0644, and the
        # reference's still are.
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            os.fchmod(fd, 0o600)
        return fd

    def fileno(self) -> int:
        """The open file that has the lock: whoever inherits it keeps the lock until it ends."""
        return self._fd

    def release(self) -> None:
        """Give it back; the file stays, since others may be waiting at it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _lock(self, fd: int, queue: _Queue) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not _wait(fd, queue):
                raise LockTimeout(self.path, queue.waited(), _holder(fd)) from None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class NamespaceLock(Lock):
    """The lock of a network namespace: by default that in which the calling thread is.

    Whoever changes what several share in a namespace (a bridge, a table) takes it. Namespaces are
    files that flock(2) takes like any other: nothing has to be made, nothing is left behind, and
    two namespaces on one machine have two locks.

    Whoever is in a namespace may open it, though, and so lock it, without any privilege. One who
    has none keeps nobody waiting: those who have agree on a file of root's instead.
    """

    __slots__ = ("_beside",)

    def __init__(
        self,
        seconds: float = WAIT_SECONDS,
        in_all: float = QUEUE_SECONDS,
        path: str = "/proc/thread-self/ns/net",
    ) -> None:
        super().__init__(path, seconds, in_all)
        self._beside: Lock | None = None

    def _open(self) -> int:
        return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def _lock(self, fd: int, queue: _Queue) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        queue.refuse_strangers = True
        try:
            queue.look(fd)
            super()._lock(fd, queue)
            return
        except _StrangersError:
            pass
        from hostnet import directory

        directory.make(_BESIDE, 0o700)
        beside = Lock(f"{_BESIDE}/{os.fstat(fd).st_ino}", self.seconds, self.in_all)
        beside.acquire()
        self._beside = beside

    def fileno(self) -> int:
        """See `Lock.fileno`."""
        return self._beside.fileno() if self._beside else super().fileno()

    def release(self) -> None:
        """Give it back."""
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.release()
        super().release()


class _Queue:
    """How long somebody has waited, and for whom."""

    __slots__ = ("_deadline", "_holder", "_seconds", "_since", "_start", "refuse_strangers")

    def __init__(self, seconds: float, in_all: float) -> None:
        self._seconds = seconds
        self._start = self._since = time.monotonic()
        self._deadline = self._start + in_all
        self._holder = ""
        self.refuse_strangers = False

    def waited(self) -> float:
        """In seconds."""
        return time.monotonic() - self._start

    def pause(self) -> float:
        """Until the next look."""
        now = time.monotonic()
        until = min(now + self._seconds / _LOOKS, self._since + self._seconds, self._deadline)
        return max(until - now, 0)

    def look(self, fd: int) -> bool:
        """See who holds it; False when that was waited for long enough. Raises _StrangersError."""
        now = time.monotonic()
        holder = _holder_pid(fd)
        changed = holder != self._holder
        if changed and self._holder:
            self._since = now
        self._holder = holder
        over = now >= min(self._since + self._seconds, self._deadline)
        if self.refuse_strangers and (changed or over) and _is_strangers(holder):
            raise _StrangersError
        return not over


def _wait(fd: int, queue: _Queue) -> bool:
    """Wait for the lock on `fd`; False when the time is over. Raises _StrangersError.

    In both cases the thread goes on waiting. It has a descriptor of its own of the same open file,
    and closes it when it gets the lock: with the caller's closed too, that gives the lock back.
    """
    import _thread

    done = _thread.allocate_lock()
    done.acquire()
    problem: list[OSError] = []
    own = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)

    def body() -> None:
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
        except OSError as error:
            problem.append(error)
        finally:
            os.close(own)
            done.release()

    try:
        _thread.start_new_thread(body, ())
    except BaseException:
        os.close(own)
        raise
    while not done.acquire(timeout=queue.pause()):
        if not queue.look(fd):
            return False
    if problem:
        raise problem[0]
    return True


def _same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(fd: int) -> str:
    """Who holds the lock on the file, in words."""
    pid = _holder_pid(fd)
    if not pid:
        return "an unknown process"
    from hostnet import process

    return process.described(pid)


def _is_strangers(holder: str) -> bool:
    """Whether the lock is held by somebody who is known to be none of those whose lock it is."""
    if not holder:
        return False
    from hostnet import process

    return not process.may_shape_networks(holder)


def _holder_pid(fd: int) -> str:
    """Who holds the lock on the file, from /proc/locks (proc(5)); empty where it does not tell."""
    inode = str(os.fstat(fd).st_ino)
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as locks:
            lines = [line.split() for line in locks]
    except OSError:
        lines = []
    for words in lines:
        # "1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF"; waiters have "->" in the second place.
        # Only the inode is compared: the device is another one on btrfs and overlayfs.
        if len(words) >= 6 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode:
            return words[4]
    return ""
