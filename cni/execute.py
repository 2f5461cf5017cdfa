"""Find a plugin on CNI_PATH and run it: as a process, or in-process where it is our own bundle's.

SPEC.md, section 4 "Plugin Delegation". A delegate of the bundle is called as a function: the same
code as its executable's, without the price of a process. An executable that merely has the same
name is executed, since it is not ours.
"""

from __future__ import annotations

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
from cni.jsonvalue import parse_object
from cni.names import name_problem
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Mapping, Sequence
else:
    import _signal  # see cni.skel

_CHUNK = 65536
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
    Raises CniError: DELEGATE_FAILED where it cannot be started, TRY_AGAIN_LATER on a time-out or a
    cancellation; any exception while waiting (a signal's included) kills it too.
    """
    inner_in, outer_in = os.pipe2(os.O_CLOEXEC)
    outer_out, inner_out = os.pipe2(os.O_CLOEXEC)
    outer_err, inner_err = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.posix_spawn(
            path,
            [path],
            environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, inner_in, 0),
                (os.POSIX_SPAWN_DUP2, inner_out, 1),
                (os.POSIX_SPAWN_DUP2, inner_err, 2),
            ],
            setpgroup=0 if own_group else os.getpgrp(),
            setsigdef=[_signal.SIGPIPE],
        )
    except OSError as error:
        for fd in (outer_in, outer_out, outer_err):
            os.close(fd)
        raise CniError(
            DELEGATE_FAILED, f"plugin {path} cannot be started: {error.strerror}"
        ) from error
    finally:
        for fd in (inner_in, inner_out, inner_err):
            os.close(fd)
    try:
        pipes = (outer_in, outer_out, outer_err)
        stdout, stderr = _converse(pid, pipes, stdin, path, timeout=timeout, cancel=cancel)
    except BaseException:
        _kill(pid, own_group)
        os.waitpid(pid, 0)
        raise
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Outcome(status, stdout, stderr)


def _kill(pid: int, group: bool) -> None:
    try:
        if group:
            os.killpg(pid, _signal.SIGKILL)
        else:
            os.kill(pid, _signal.SIGKILL)
    except ProcessLookupError:
        pass


def _converse(
    pid: int,
    pipes: tuple[int, int, int],
    stdin: bytes,
    path: str,
    *,
    timeout: float | None,
    cancel: int | None,
) -> tuple[bytes, bytes]:
    """Write stdin, read both outputs until the process has closed them and ended; close them."""
    to, out, err = pipes
    received: dict[int, list[bytes]] = {out: [], err: []}
    unsent = memoryview(stdin)
    deadline = None if timeout is None else time.monotonic() + timeout
    poll = _poll(to, (out, err) if cancel is None else (out, err, cancel))
    open_fds = set(pipes)
    try:
        # A process may close its outputs and stay: the deadline counts until it has ended.
        ended = os.pidfd_open(pid)
        open_fds.add(ended)
        poll.register(ended, select.POLLIN)
        while open_fds:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            events = poll.poll(None if left is None else left * 1000)
            if not events:
                raise CniError(
                    TRY_AGAIN_LATER, f"plugin {path} did not end within {timeout:g} s; killed"
                )
            for fd, _ in events:
                if fd == cancel:
                    raise CniError(TRY_AGAIN_LATER, f"plugin {path} was cancelled; killed")
                if fd == ended:
                    done = True
                elif fd == to:
                    unsent = _send(fd, unsent)
                    done = not unsent
                else:
                    chunk = os.read(fd, _CHUNK)
                    received[fd].append(chunk)
                    done = not chunk
                if done:
                    poll.unregister(fd)
                    os.close(fd)
                    open_fds.discard(fd)
    finally:
        for fd in open_fds:
            os.close(fd)
    return b"".join(received[out]), b"".join(received[err])


def _poll(writes: int, reads: tuple[int, ...]) -> select.poll:
    poll = select.poll()
    os.set_blocking(writes, False)
    poll.register(writes, select.POLLOUT)
    for fd in reads:
        poll.register(fd, select.POLLIN)
    return poll


def _send(fd: int, unsent: memoryview) -> memoryview:
    try:
        return unsent[os.write(fd, unsent[:_CHUNK]) :] if unsent else unsent
    except BlockingIOError:
        return unsent
    except BrokenPipeError:  # it does not want to hear more, which is its right
        return unsent[len(unsent) :]


def answer(outcome: Outcome, name: str) -> bytes:
    """The stdout of a plugin that succeeded.

    Raises the CniError that a failed plugin printed, or DELEGATE_FAILED where it printed none.
    """
    if outcome.status == 0:
        return outcome.stdout
    try:
        document = parse_object(outcome.stdout, f"the error of plugin {name}")
        said = CniError(
            document.integer("code", 0, 0, 2**63),
            document.string("msg"),
            document.string("details"),
        )
    except CniError:
        said = CniError(DELEGATE_FAILED, "")
    if said.msg:
        raise said
    ending = f"signal {-outcome.status}" if outcome.status < 0 else f"exit status {outcome.status}"
    words = (outcome.stderr or outcome.stdout).decode(errors="replace").strip()[-_SHOWN:]
    if words:
        raise CniError(DELEGATE_FAILED, f'plugin {name} failed: "{words}": {ending}')
    raise CniError(DELEGATE_FAILED, f"plugin {name} failed with no error message: {ending}")
