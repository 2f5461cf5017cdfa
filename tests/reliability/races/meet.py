"""Holds one call in its middle while another runs to its end, or until it waits for the first."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from typing import NamedTuple

from tests.kit.syscalls import HOLD, Outcome, Point, Supervisor, Target


def changes_something() -> Callable[[Point], bool]:
    """Whether holding here is another case than holding at the last one.

    The kernel answers in send(), so to receive is to change nothing, unless it is a list's next
    piece. What is written to stdout is the answer.
    """
    last = [""]

    def counts(point: Point) -> bool:
        before, last[0] = last[0], point.call
        if point.call in ("recvfrom", "recvmsg"):
            return before in ("recvfrom", "recvmsg")
        return point.call not in ("write", "ftruncate", "kill") or point.arguments[0] > 2

    return counts


def is_wait(point: Point) -> bool:
    """Whether it is about to wait for a lock: it has tried without."""
    return point.call == "flock" and not point.arguments[1] & (fcntl.LOCK_NB | fcntl.LOCK_UN)


class Met(NamedTuple):
    """What came of a meeting. waited: B had to wait for a lock of A's."""

    a: Outcome
    b: Outcome
    waited: bool


def meet(supervisor: Supervisor, a: Target, b: Target, number: int) -> Met | None:
    """Hold A before its call `number` while B runs. None where A has no such point."""
    with supervisor.start(a, at=number, strike=HOLD, counts=changes_something()) as held:
        if not held.reached():
            return None
        with supervisor.start(b, at=1, strike=HOLD, counts=is_wait) as other:
            waited = other.reached()
            done = None if waited else other.finish()
            outcome = held.release()
            return Met(outcome, done or other.release(), waited)
