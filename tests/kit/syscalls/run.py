"""The supervisor: starts a target under the filter, answers its system calls, strikes at one."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

from tests.kit.syscalls import filter as seccomp
from tests.kit.syscalls.cgroup import Cgroup, Guarded

Target = Sequence[str] | Callable[[], int]
"""A command, or a function for a forked child, which gives its exit status."""
SECONDS = 60
"""A bound for a whole run."""

_RECEIVE = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_RESPOND = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
_SET_FLAGS = 0x40082104  # SECCOMP_IOCTL_NOTIF_SET_FLAGS
_SYNC_WAKE_UP = 1
_CONTINUE = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_PIDFD_GETFD = 438
_TROUBLE = 125
"""The exit status of a child whose filter could not be put on."""

_libc = ctypes.CDLL(None, use_errno=True)


class Strike:
    """What happens at a point; GO is nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


GO = Strike("GO")
KILL_TREE = Strike("KILL_TREE")
"""SIGKILL for the target and all it has started, before the call is carried out."""
KILL_ISSUER = Strike("KILL_ISSUER")
"""SIGKILL for the process that makes the call, before it is carried out."""
HOLD = Strike("HOLD")
"""The call waits until `Run.release`."""


class Fail(Strike):
    """The call is not carried out and gives this errno."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Fail({errno.errorcode[code]})")
        self.code = code


class Send(Strike):
    """The process that makes the call is sent a signal, and the call is carried out."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"Send({number.name})")
        self.number = number


class Point(NamedTuple):
    """A system call that was listened to.

    number: from 1 on. call: its name. pid: of the thread that makes it. arguments: as numbers.
    """

    number: int
    call: str
    pid: int
    arguments: tuple[int, ...]

    @property
    def text(self) -> str:
        """The path or data of a call that has some, while its process waits in it."""
        at = {"open": 0, "write": 1, "openat": 1, "unlink": 0, "rename": 0, "execve": 0}
        if self.call not in at:
            return ""
        try:
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                memory.seek(self.arguments[at[self.call]])
                return memory.read(200).partition(b"\0")[0].decode(errors="replace")
        except OSError:
            return ""

    @property
    def process(self) -> int:
        """The process id of the thread, while it waits in the call."""
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))


class Outcome(NamedTuple):
    """How a run ended. status: the target's exit status, or minus the signal that ended it.

    points: the calls that were counted, in their order. struck: whether the point was reached.
    """

    points: tuple[Point, ...]
    status: int
    stdout: bytes
    stderr: bytes
    struck: bool

    @property
    def calls(self) -> list[str]:
        """The names of the calls."""
        return [one.call for one in self.points]


def _every(_: Point) -> bool:
    return True


class _Job(NamedTuple):
    """What is run."""

    target: Target
    env: Mapping[str, str] | None
    stdin: bytes


class _Mark(NamedTuple):
    """Where what is done to it."""

    at: int
    strike: Strike
    counts: Callable[[Point], bool]


class Supervisor:
    """Runs targets one after the other, or several that are held. Close it: it is a context.

    Every run starts in the namespaces of the calling thread.
    """

    def __init__(self) -> None:
        self._cgroup = Guarded()
        self._program = seccomp.program()

    def run(
        self,
        target: Target,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        at: int = 0,
        strike: Strike = GO,
        counts: Callable[[Point], bool] = _every,
    ) -> Outcome:
        """Run it to its end and to that of all it has started.

        strike: what happens at the call number `at`. counts: which calls have a number; the others
        just pass. Raises TimeoutError after SECONDS, when all has been ended.
        """
        with self.start(target, env=env, stdin=stdin, at=at, strike=strike, counts=counts) as run:
            return run.finish()

    def start(
        self,
        target: Target,
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        at: int = 0,
        strike: Strike = HOLD,
        counts: Callable[[Point], bool] = _every,
    ) -> Run:
        """The same, under way. It comes to its first call, and no further before it is asked."""
        job, mark = _Job(target, env, stdin), _Mark(at, strike, counts)
        return Run(self._cgroup.child(), self._program, job, mark)

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._cgroup.is_empty()

    def close(self) -> None:
        """End all that is under way."""
        self._cgroup.close()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Run:
    """A target under way. A context, which ends it.

    Nobody answers its calls but the methods here, so between two of them it stands still at the
    next one.
    """

    def __init__(self, cgroup: Cgroup, program: bytes, job: _Job, mark: _Mark) -> None:
        self._cgroup = cgroup
        self._at, self._strike, self._counts = mark
        self._points: list[Point] = []
        self._held: int | None = None
        self._struck = False
        self._status: int | None = None
        self._deadline = time.monotonic() + SECONDS
        self._files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        os.write(self._files[0], job.stdin)
        os.lseek(self._files[0], 0, os.SEEK_SET)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.pid = os.fork()
            if self.pid == 0:
                _be_target(cgroup, program, job, self._files, theirs)
            theirs.close()
            self._end = os.pidfd_open(self.pid)
            self._listener = -1
            try:
                self._listener = _listener(ours, self._end)
            except BaseException:
                self.close()
                raise
            ours.send(b"1")
        self._poll = select.poll()
        for fd in (self._listener, self._end):
            self._poll.register(fd, select.POLLIN)

    def reached(self) -> bool:
        """Go on until the point; False when all has ended before it."""
        return self.go_on(lambda: self._struck)

    def go_on(self, until: Callable[[], bool], wake: int = -1) -> bool:
        """Go on until it is so; False when all has ended before.

        It is asked after each call, and when the descriptor `wake` is readable.
        """
        if wake >= 0:
            self._poll.register(wake, select.POLLIN)
        try:
            while not until():
                if not self._step():
                    return False
        finally:
            if wake >= 0:
                self._poll.unregister(wake)
        return True

    def aim(self, at: int, strike: Strike) -> None:
        """Count anew from here; for a target that lives long."""
        self._points.clear()
        self._at, self._strike, self._struck = at, strike, False
        self._deadline = time.monotonic() + SECONDS

    @property
    def struck(self) -> bool:
        """Whether the point has been reached."""
        return self._struck

    def release(self) -> Outcome:
        """Let the held call be carried out, and finish."""
        assert self._held is not None, "nothing is held"
        self._answer(self._held)
        self._held = None
        return self.finish()

    def finish(self) -> Outcome:
        """Go on until all has ended."""
        while self._step():
            pass
        self._reap()
        self._cgroup.wait_empty()
        assert self._status is not None
        stdout, stderr = (_content(fd) for fd in self._files[1:])
        if self._status == _TROUBLE and not self._points:
            raise OSError(f"the target could not be started: {stderr.decode()}")
        return Outcome(tuple(self._points), self._status, stdout, stderr, self._struck)

    @property
    def points(self) -> tuple[Point, ...]:
        """The calls that have been counted so far."""
        return tuple(self._points)

    def kill(self) -> None:
        """End the target's first process alone, as with `kill -9`."""
        signal.pidfd_send_signal(self._end, signal.SIGKILL)
        self._reap()

    def _step(self) -> bool:
        """Answer one call; False when nobody is left who could make one."""
        left = self._deadline - time.monotonic()
        ready = dict(self._poll.poll(max(0, left) * 1000))
        if not ready:
            self._cgroup.kill()
            raise TimeoutError(f"the target did not end within {SECONDS} s, {self._points[-3:]}")
        if not ready.get(self._listener, 0) & select.POLLIN:
            if self._end in ready:  # before Linux 6.11 a process has its filter until it is reaped
                self._poll.unregister(self._end)
                self._reap()
                return True
            return not ready.get(self._listener, 0)
        notice = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, notice)
        except FileNotFoundError:  # its process has been killed meanwhile
            return True
        identity, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(notice)
        name = seccomp.NAMES[number]
        point = Point(len(self._points) + 1, name, pid, tuple(arguments))
        if not self._counts(point):
            self._answer(identity)
            return True
        self._points.append(point)
        if point.number == self._at and self._strike is not GO:
            self._struck = True
            self._act(identity, point)
        else:
            self._answer(identity)
        return True

    def _act(self, identity: int, point: Point) -> None:
        strike = self._strike
        if strike is HOLD:
            self._held = identity
        elif strike is KILL_TREE:
            self._cgroup.kill()
        elif strike is KILL_ISSUER:
            os.kill(point.process, signal.SIGKILL)
        elif isinstance(strike, Send):
            os.kill(point.process, strike.number)
            self._answer(identity)
        elif isinstance(strike, Fail):
            self._answer(identity, strike.code)

    def _answer(self, identity: int, code: int = 0) -> None:
        response = _RESPONSE.pack(identity, 0, -code, 0 if code else _CONTINUE)
        try:
            fcntl.ioctl(self._listener, _RESPOND, response)
        except (FileNotFoundError, BrokenPipeError):  # its process has been killed meanwhile
            pass

    def _reap(self) -> None:
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        """End all of it that is left."""
        if not self._files:
            return
        if self._status is None:
            signal.pidfd_send_signal(self._end, signal.SIGKILL)
        self._cgroup.close()
        self._reap()
        for fd in (self._listener, self._end, *self._files):
            if fd >= 0:
                os.close(fd)
        self._listener, self._end, self._files = -1, -1, []

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _be_target(
    cgroup: Cgroup, program: bytes, job: _Job, files: Sequence[int], control: socket.socket
) -> None:
    """The child's life; never returns."""
    status = _TROUBLE
    try:
        gc.disable()  # what the tests have left behind is not the target's to collect
        for number, fd in enumerate(files):
            os.dup2(fd, number)
        cgroup.enter()
        expected = os.dup(0)
        os.close(expected)
        control.send(struct.pack("=i", expected))
        listener = seccomp.install(program)
        assert listener == expected, f"the listener is {listener} and not {expected}"
        control.shutdown(socket.SHUT_WR)  # which no filter listens to, as little as read()
        os.read(control.fileno(), 1)
        os.close(listener)
        control.close()
        if callable(job.target):
            status = job.target()
        else:
            env = os.environ if job.env is None else job.env
            os.execve(job.target[0], list(job.target), dict(env))
    except BaseException:  # noqa: BLE001 - it must not come back into the test
        import traceback

        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


def _listener(control: socket.socket, process: int) -> int:
    """Take the listener over from the child, when it has put the filter on."""
    control.settimeout(SECONDS)
    number = control.recv(4)
    if len(number) == 4 and not control.recv(1):
        fd: int = _libc.syscall(_PIDFD_GETFD, process, struct.unpack("=i", number)[0], 0)
        if fd >= 0:
            flags = ctypes.c_ulong(_SYNC_WAKE_UP)
            _libc.ioctl(fd, ctypes.c_ulong(_SET_FLAGS), flags)  # faster, since Linux 6.6
            return fd
    raise OSError("the child did not put the filter on; seccomp_unotify needs Linux 5.19")


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
