"""The workers: forked from a daemon that has everything imported, replaced off the calls' path."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import time

from cnid.door import Door
from cnid.slots import BUSY, Slots
from cnid.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cni.skel import Plugin
    from cnid.guard import Guard

GROWN_CALLS = 10
"""After so many calls a worker has come to some memory of its own: 2 to 5 MB."""
_REST_SECONDS = 1.0
"""What passes before the next fork when one failed, or made a worker that served nothing."""


class Member:
    """A worker as the daemon sees it: its process and the way to it.

    slot: its number among the slots. calls: how many it has ended. handed: whether it has been
    given one that it has not ended. leaving: whether it has ended its last. latest: when it last
    ended one, or was made.
    """

    def __init__(self, pid: int, control: socket.socket, slots: Slots, slot: int) -> None:
        self.pid = pid
        self.control = control
        self.slot = slot
        self.calls = 0
        self.handed = False
        self.leaving = False
        self.latest = time.monotonic()
        self._slots = slots

    @property
    def busy(self) -> bool:
        """Whether it serves a call, one that it has accepted or been given."""
        return self.handed or self._slots[self.slot] == BUSY

    def fileno(self) -> int:
        """For a selector: readable when it reports a call's end, or is gone."""
        return self.control.fileno()

    def hand_over(self, message: bytes, descriptors: list[int]) -> None:
        """Give it a call. Raises OSError where it is gone."""
        socket.send_fds(self.control, [message], descriptors)
        self.handed = True

    def ended(self) -> None:
        """It has ended a call."""
        self.handed = False
        self.calls += 1
        self.latest = time.monotonic()

    def dismiss(self) -> None:
        """Hand it nothing any more: it ends when it has nothing left to do."""
        self.leaving = True
        self.control.shutdown(socket.SHUT_WR)


class Pool:
    """A number of workers, always that many.

    plugins: the bundle's. listener: where they accept calls. guard: of these calls. size: how many.
    calls: after how many a worker is worn out. rested: after how many seconds without a call it is
    none that is needed now. keep: the other descriptors that workers need; they close the rest of
    the daemon's.
    """

    def __init__(
        self,
        plugins: Mapping[str, Callable[[], Plugin]],
        listener: socket.socket,
        guard: Guard,
        *,
        size: int,
        calls: int,
        rested: float,
        keep: frozenset[int],
    ) -> None:
        self._plugins = plugins
        self._listener = listener
        self._guard = guard
        self._size = size
        self._calls = calls
        self._rested = rested
        self._keep = keep | {0, 1, 2, listener.fileno()}
        self.slots = Slots(size)
        self._not_before = 0.0
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.members: list[Member] = []

    def prepare(self) -> None:
        """Let the daemon have as many descriptors as it may, and its memory stay shared."""
        _, most = self._limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        gc.collect()
        gc.freeze()  # what no collector looks at, no worker copies

    def fill(self) -> Iterator[Member]:
        """Fork what is missing; gives the new ones. Raises OSError where it cannot."""
        while len(self.members) < self._size and time.monotonic() >= self._not_before:
            try:
                member = self._fork()
            except OSError:
                self._rest()
                raise
            self.members.append(member)
            yield member

    def idle(self) -> Member | None:
        """A worker without a call; the one that served most, whose memory is warm, comes first.

        It may be starting still: then the call waits there.
        """
        free = [member for member in self.members if not (member.busy or member.leaving)]
        return max(free, key=lambda member: member.calls) if free else None

    def rested(self) -> Member | None:
        """One that a crowd has made grow which is over, to be replaced by a fresh one.

        Not the one that served last: whose memory is warm serves the next call.
        """
        before = time.monotonic() - self._rested
        grown = [one for one in self.members if one.calls >= GROWN_CALLS and not one.leaving]
        warm = max(grown, key=lambda one: one.latest, default=None)
        for one in grown:
            if one is not warm and not one.busy and one.latest < before:
                return one
        return None

    def remove(self, member: Member) -> None:
        """Forget one that is gone or worn out."""
        self.members.remove(member)
        member.control.close()
        if not member.calls and not member.busy:
            self._rest()
        self.slots.give_back(member.slot)

    def dismiss(self) -> None:
        """Let each end when it has ended its call."""
        for member in self.members:
            member.dismiss()

    def close(self) -> None:
        """Forget all."""
        for member in list(self.members):
            self.remove(member)

    def _rest(self) -> None:
        self._not_before = time.monotonic() + _REST_SECONDS

    def _fork(self) -> Member:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        slot = self.slots.take()
        with theirs:
            # No signal may find the child with the daemon's handlers.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                pid = os.fork()
                if pid == 0:
                    self._be_worker(theirs, slot, mask)
            except OSError:
                ours.close()
                self.slots.give_back(slot)
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return Member(pid, ours, self.slots, slot)

    def _be_worker(
        self, control: socket.socket, slot: int, mask: set[int | signal.Signals]
    ) -> None:
        """The child's life; never returns."""
        status = 1
        try:
            gc.freeze()  # no socket of the daemon's may be finalised here: its number is another's
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in open_descriptors() - self._keep - {control.fileno()}:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limit)
            door = Door(control, self._listener, self._guard, self.slots, slot)
            Worker(door, self._plugins, self._calls, mask).run()
            status = 0
        except BaseException:  # noqa: BLE001 - it must not come back into the daemon's code
            import traceback

            os.write(2, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(status)


def open_descriptors() -> frozenset[int]:
    """Of this process."""
    with os.scandir("/proc/self/fd") as entries:
        numbers = {int(entry.name) for entry in entries}
    return frozenset(fd for fd in numbers if _is_open(fd))


def _is_open(fd: int) -> bool:
    """Whether it still is: the one that listed the directory is not."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
