"""The workers: forked from a daemon that has everything imported, replaced off the calls' path."""

from __future__ import annotations

import _socket
import gc
import os
import signal
import socket

from cnid import worker
from cnid.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cni.skel import Plugin


class Member:
    """A worker as the daemon sees it: its process, the way to it, and whether it serves a call."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self.busy = False
        self.calls = 0

    def fileno(self) -> int:
        """For a selector: readable when it reports a call's end, or is gone."""
        return self.control.fileno()

    def hand_over(self, message: bytes, descriptors: list[int]) -> None:
        """Give it a call. Raises OSError where it is gone."""
        socket.send_fds(self.control, [message], descriptors)
        self.busy = True
        self.calls += 1


class Pool:
    """A number of workers, always that many.

    plugins: the bundle's. size: how many. calls: after how many a worker is worn out.
    close: descriptors of the daemon's that no worker may keep, asked for at each fork.
    """

    def __init__(
        self,
        plugins: Mapping[str, Callable[[], Plugin]],
        size: int,
        calls: int,
        close: Callable[[], Iterable[int]],
    ) -> None:
        self._plugins = plugins
        self._size = size
        self._calls = calls
        self._close = close
        self.members: dict[int, Member] = {}
        gc.collect()
        gc.freeze()  # what is there now is shared by all workers for as long as nobody touches it

    def fill(self) -> list[Member]:
        """Fork what is missing; gives the new ones. Raises OSError where it cannot."""
        made = []
        while len(self.members) < self._size:
            member = self._fork()
            self.members[member.pid] = member
            made.append(member)
        return made

    def idle(self) -> Member | None:
        """A worker without a call; the one that served last, whose memory is warm, comes first."""
        free = [member for member in self.members.values() if not member.busy]
        return max(free, key=lambda member: member.calls) if free else None

    def remove(self, member: Member) -> None:
        """Forget one that is gone or worn out."""
        self.members.pop(member.pid, None)
        member.control.close()

    def _fork(self) -> Member:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # No signal may find the child with the daemon's handlers.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            self._be_worker(ours, theirs, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        return Member(pid, ours)

    def _be_worker(
        self, ours: socket.socket, theirs: socket.socket, mask: set[int | signal.Signals]
    ) -> None:
        """The child's life; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ours.close()
            for member in self.members.values():
                member.control.close()
            for fd in self._close():
                os.close(fd)
            worker.adopt_log()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            Worker(theirs, self._plugins, self._calls).run()
            status = 0
        except BaseException:  # noqa: BLE001 - it must not come back into the daemon's code
            import traceback

            os.write(worker.LOG, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(status)


def peer(connection: socket.socket) -> tuple[int, int]:
    """(pid, uid) of who connected (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    pid, uid = (int.from_bytes(credentials[at : at + 4], "little", signed=True) for at in (0, 4))
    return pid, uid
