"""Delete a link and go on when it is gone, not when the kernel has tidied up behind it.

The kernel takes a millisecond to take a link off all lists, which it announces (RTM_DELLINK). Then
the same request waits, without a lock, for 10 to 20 more until no processor can be using what is
off (`netdev_run_todo`, net/core/dev.c). Name, index and addresses are free before that, and it
cannot fail. So a thread makes the request, and who wants the link gone goes on at the announcement.

Only a process that lives on gains by it, such as a worker of cnid: one that ends waits for its
threads, in the kernel.
"""

from __future__ import annotations

import os
import struct

from hostnet import link, signals
from hostnet.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netns import NetNS

_IFINFO = struct.Struct("=BxHi")  # family, type, index: what struct ifinfomsg begins with
_lives_on = False


def live_on() -> None:
    """Say that this process goes on when a call is over."""
    global _lives_on
    _lives_on = True


def delete(nl: Netlink, index: int, ns: NetNS | None = None) -> bool:
    """Delete a link, as `link.delete` does it; False when it was gone already.

    nl: of its namespace. ns: that namespace, None for the calling thread's. Raises NetlinkError.
    """
    request = None
    if _lives_on:
        mask = signals.hold()  # what it has open is to be closed, whatever strikes
        try:
            try:
                request = _begin(index, ns)
            finally:
                signals.release(mask)
            if request is not None:
                return request.end()
        finally:
            if request is not None:
                request.close()
    return link.delete(nl, index, missing_ok=True)


def _begin(index: int, ns: NetNS | None) -> _Request | None:
    """A request under way; None where no descriptor, or no thread, is to be had."""
    try:
        if ns is None:
            request = _Request(index)
        else:
            with ns.entered():
                request = _Request(index)
        request.begin()
    except (OSError, RuntimeError):
        return None
    return request


class _Request:
    """One request by a thread of its own; born in the link's namespace."""

    def __init__(self, index: int) -> None:
        from hostnet.monitor import RTNLGRP_LINK, Monitor

        self._index = index
        self._found = False
        self._problem: BaseException | None = None
        self._monitor = Monitor(RTNLGRP_LINK)
        try:
            self._nl = Netlink()
            try:
                # Who reads sees its end when the thread closes the other one.
                self._over, self._running = os.pipe2(os.O_CLOEXEC)
            except BaseException:
                self._nl.close()
                raise
        except BaseException:
            self._monitor.close()
            raise

    def begin(self) -> None:
        """Start it; with signals held, which the thread inherits: they are the others' affair.

        Raises RuntimeError where there is no thread to be had.
        """
        import _thread

        try:
            _thread.start_new_thread(self._ask, ())
        except BaseException:
            self._nl.close()
            os.close(self._running)
            self.close()
            raise

    def _ask(self) -> None:
        try:
            self._found = link.delete(self._nl, self._index, missing_ok=True)
        except BaseException as problem:  # noqa: BLE001 (the other thread raises it)
            self._problem = problem
        self._nl.close()
        os.close(self._running)

    def end(self) -> bool:
        """Wait until the link is gone, or the request has failed."""
        from select import POLLIN, poll

        waiting = poll()
        waiting.register(self._monitor, POLLIN)
        waiting.register(self._over)
        while True:
            ready = dict(waiting.poll())
            if self._over in ready:
                if self._problem is not None:
                    raise self._problem
                return self._found
            # What gets lost in a storm is no matter: the request ends all the same.
            heard = self._monitor.take().messages
            if any(_gone(kind, payload) == self._index for kind, payload in heard):
                return True

    def close(self) -> None:
        """Go on without it; the thread closes what it uses itself."""
        self._monitor.close()
        os.close(self._over)


def _gone(kind: int, payload: bytes) -> int:
    """The index of the link that is announced to be gone, 0 for anything else.

    A bridge announces the end of a port likewise, as of its own family.
    """
    family, _type, index = _IFINFO.unpack_from(payload)
    return index if kind == link.RTM_DELLINK and family == 0 else 0
