"""Find a plugin on CNI_PATH and run it: as a process, or in-process where it is our own bundle's.

SPEC.md, section 4 "Plugin Delegation". A delegate of the bundle is called as a function: the same
code as its executable's, without the price of a process. An executable that merely has the same
name is executed, since it is not ours.
"""

from __future__ import annotations

import errno
import os
import select
import time

from cni.errors import (
    DELEGATE_FAILED,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    TRY_AGAIN_LATER,
    CniError,
)
from cni.jsonvalue import JsonObject, parse_object
from cni.names import name_problem
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Collection, Mapping, Sequence
else:
    import _signal  # see cni.skel

_CHUNK = 65536
_PIPE = 1 << 20
"""Bytes a pipe holds at most (/proc/sys/fs/pipe-max-size)."""
_SHOWN = 2000


@record
class Outcome:
    """How a process ended. status: its exit status, or minus the signal that killed it."""

    status: int
    stdout: bytes
    stderr: bytes


def find(name: str, directories: Sequence[str]) -> str:
    """The path of the executable `name` in the first of the directories that has it.

    Raises CniError: INVALID_CONFIG for a name that is no plain file name, INVALID_ENVIRONMENT where
    no directory has it.
    """
    if name_problem(name):
        raise CniError(INVALID_CONFIG, f"plugin type {name[:40]!r}: {name_problem(name)}")
    for directory in directories:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    where = os.pathsep.join(directories) or "(empty)"
    for path in (os.path.join(directory, name) for directory in directories):
        if os.path.isfile(path):
            raise CniError(
                INVALID_ENVIRONMENT,
                f'failed to find plugin "{name}" in path [{where}]: {path} is there, and is not '
                f"executable: chmod 755 {path}",
            )
    raise CniError(
        INVALID_ENVIRONMENT,
        f'failed to find plugin "{name}" in path [{where}]: install it there or correct CNI_PATH',
    )


def run(
    path: str,
    environ: Mapping[str, str],
    stdin: bytes,
    *,
    timeout: float | None = None,
    own_group: bool = False,
    cancel: int | None = None,
) -> Outcome:
    """Run an executable to its end, feeding stdin and collecting stdout and stderr.

    timeout: seconds. own_group: start it as the leader of a process group, so that whatever it
    started dies with it; a delegate stays in its caller's group to die with the caller. cancel: a
    descriptor that ends the call when it becomes readable.
    Raises CniError: DELEGATE_FAILED where it cannot be started, TRY_AGAIN_LATER while it is being
    written, on a time-out or a cancellation; any exception while waiting (a signal's included)
    kills it too.
    """
    fds: set[int] = set()
    pid = 0
    try:
        theirs_in, ours_in = _pipe(fds)
        ours_out, theirs_out = _pipe(fds)
        ours_err, theirs_err = _pipe(fds)
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:  # that no handler raises before the process it has to end is known
            theirs = (theirs_in, theirs_out, theirs_err)
            pid = _spawn(path, environ, theirs, own_group=own_group, mask=mask)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        for fd in theirs:
            _close(fd, fds)
        talk = _Talk(path, stdin, (ours_in, ours_out, ours_err), fds)
        talk.until_end(pid, timeout, cancel)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        pid = 0
        return Outcome(status, *talk.said())
    except BaseException as error:
        if pid:
            _kill(pid, own_group)
        if isinstance(error, OSError) and error.errno == errno.ETXTBSY:
            raise CniError(
                TRY_AGAIN_LATER,
                f"plugin {path} is being written: repeat the call when it is there whole",
            ) from error
        if isinstance(error, (OSError, ValueError)):
            reason = getattr(error, "strerror", None) or error
            raise CniError(DELEGATE_FAILED, f"plugin {path} cannot be started: {reason}") from error
        raise
    finally:
        for fd in tuple(fds):
            _close(fd, fds)


def _pipe(fds: set[int]) -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC)
    fds.update(ends)
    return ends


def _close(fd: int, fds: set[int]) -> None:
    fds.discard(fd)
    os.close(fd)


def _spawn(
    path: str,
    environ: Mapping[str, str],
    streams: tuple[int, int, int],
    *,
    own_group: bool,
    mask: Collection[int],
) -> int:
    """Start it with these as stdin, stdout and stderr; gives its process id."""
    return os.posix_spawn(
        path,
        [path],
        environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(streams)],
        setpgroup=0 if own_group else os.getpgrp(),
        setsigmask=mask,
        setsigdef=[_signal.SIGPIPE],
    )


def _kill(pid: int, group: bool) -> None:
    try:
        if group:
            os.killpg(pid, _signal.SIGKILL)
        else:
            os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):  # it has been waited for
        pass


class _Talk:
    """What goes to and comes from a process. fds: the descriptors that are open."""

    def __init__(self, path: str, stdin: bytes, pipes: tuple[int, int, int], fds: set[int]) -> None:
        self._path = path
        self._unsent = memoryview(stdin)
        self._to, self._out, self._err = pipes
        self._received: dict[int, list[bytes]] = {self._out: [], self._err: []}
        self._fds = fds
        self._poll = select.poll()
        self._poll.register(self._to, select.POLLOUT)
        for fd in pipes:
            os.set_blocking(fd, False)
        for fd in self._received:
            self._poll.register(fd, select.POLLIN)

    def until_end(self, pid: int, timeout: float | None, cancel: int | None) -> None:
        """Write stdin and read both outputs until the process has ended. Raises CniError.

        Its end counts and not that of its outputs: it may close them and stay, or leave them open
        to a process that it started.
        """
        ended = os.pidfd_open(pid)
        self._fds.add(ended)
        for fd in (ended, cancel):
            if fd is not None:
                self._poll.register(fd, select.POLLIN)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = [fd for fd, _ in self._poll.poll(left)]
            if ended in ready:
                break
            if not ready:
                raise CniError(
                    TRY_AGAIN_LATER, f"plugin {self._path} did not end within {timeout:g} s; killed"
                )
            if cancel in ready:
                raise CniError(TRY_AGAIN_LATER, f"plugin {self._path} was cancelled; killed")
            for fd in ready:
                if not (self._send() if fd == self._to else self._receive(fd)):
                    self._poll.unregister(fd)
                    _close(fd, self._fds)
        for fd in self._fds.intersection(self._received):
            self._receive(fd)

    def _send(self) -> bool:
        """Whether there is more to send."""
        try:
            if self._unsent:
                self._unsent = self._unsent[os.write(self._to, self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it does not want to hear more, which is its right
            return False
        return bool(self._unsent)

    def _receive(self, fd: int) -> bool:
        """Whether there may be more to come. Takes all that is in the pipe, its whole size."""
        try:
            chunk = os.read(fd, _PIPE)
        except BlockingIOError:
            return True
        self._received[fd].append(chunk)
        return bool(chunk)

    def said(self) -> tuple[bytes, bytes]:
        """Its stdout and stderr."""
        return b"".join(self._received[self._out]), b"".join(self._received[self._err])


def answer(outcome: Outcome, name: str) -> bytes:
    """The stdout of a plugin that succeeded.

    Raises the CniError that a failed plugin printed, or DELEGATE_FAILED where it printed none.
    """
    if outcome.status == 0:
        return outcome.stdout
    ending = f"signal {-outcome.status}" if outcome.status < 0 else f"exit status {outcome.status}"
    try:
        said = error_in(parse_object(outcome.stdout, f"the error of plugin {name}"))
    except CniError:
        said = None
    if said is not None:
        raise CniError(
            said.code, said.msg or f"plugin {name} gave no reason: {ending}", said.details
        )
    words = (outcome.stderr or outcome.stdout).decode(errors="replace").strip()[-_SHOWN:]
    if words:
        raise CniError(DELEGATE_FAILED, f'plugin {name} failed: "{words}": {ending}')
    raise CniError(DELEGATE_FAILED, f"plugin {name} failed with no error message: {ending}")


def result_in(output: bytes, what: str) -> JsonObject:
    """The document that an ADD printed. what: names it in errors. Raises CniError(DECODE_FAILURE).

    `null` is a result without anything, as for the reference: a plugin in Go that has none to tell
    prints a nil pointer.
    """
    return JsonObject({}) if output.strip() == b"null" else parse_object(output, what)


def error_in(document: JsonObject) -> CniError | None:
    """The error that a document is, None if it is none: a result has no `code`.

    Code 0, which says nothing, becomes DELEGATE_FAILED. Raises CniError(INVALID_CONFIG) for an
    error document with wrong types.
    """
    if not document.has("code"):
        return None
    code = document.integer("code", 0, 0, 2**63)
    return CniError(code or DELEGATE_FAILED, document.string("msg"), document.string("details"))
