"""Runs the inputs of one target: each follows from the seed, the target's name and its number.

FUZZ_SEED sets the seed (0 by default, so that `make test` tries the same inputs every time),
FUZZ_ONLY the number of the one input to try again, and FUZZ_COUNT how many there are of each
target. Failures are told with what was sent, one of each kind, up to a few; then the campaign
fails.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

SEED = int(os.environ.get("FUZZ_SEED", "0"))
ONLY = os.environ.get("FUZZ_ONLY", "")
COUNT = os.environ.get("FUZZ_COUNT", "")
CPU_SECONDS = 2.0
"""Of processor time for one input. The promise is 1 s; a slow machine gets twice that."""
_STUCK = 10.0
_MEMORY_KB = 400_000
_TOLD = 12

Draw = random.Random
One = Callable[[Draw], str]


class Stuck(BaseException):
    """An input has used up the processor time that any input may take."""


class Campaign:
    """One target. outcomes: how often each word came that `one` gave for an input."""

    def __init__(self, target: str, count: int) -> None:
        self.target = target
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self._numbers = range(int(ONLY), int(ONLY) + 1) if ONLY else range(int(COUNT or count))
        self._failures: dict[str, str] = {}

    def run(self, one: One, *, every: int = 0, look: Callable[[], None] = lambda: None) -> None:
        """Try every input. look: called after each `every` of them, and at the end.

        Raises AssertionError that tells the failures.
        """
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with _limited():
            for number in self._numbers:
                self._try(one, number)
                if every and number % every == every - 1:
                    self._look(look, number)
                if number % 2000 == 1999:
                    self._progress(number + 1)
            self._look(look, self._numbers[-1])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self._progress(len(self._numbers))
        again = f"FUZZ_SEED={SEED} and FUZZ_ONLY=NUMBER try one input again"
        kinds = [f"{len(self._failures)} kinds of failure; {again}", *self._failures.values()]
        assert not self._failures, "\n\n".join(kinds)
        assert grown < _MEMORY_KB, f"{self.target}: took {grown} kB of memory"

    def _try(self, one: One, number: int) -> None:
        started = time.process_time()
        try:
            signal.setitimer(signal.ITIMER_PROF, _STUCK)
            outcome = one(random.Random(f"{SEED}/{self.target}/{number}"))
            signal.setitimer(signal.ITIMER_PROF, 0)
            spent = time.process_time() - started
            assert spent < CPU_SECONDS, f"took {spent:.1f} s of processor time"
            self.slowest = max(self.slowest, spent)
            self.outcomes[outcome] += 1
        except (Exception, Stuck) as error:  # noqa: BLE001 (told at the end)
            self._failed(number, error)
        except BaseException as error:
            error.add_note(f"input {number} of {self.target}, FUZZ_SEED={SEED}")
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, look: Callable[[], None], number: int) -> None:
        try:
            look()
        except Exception as error:  # noqa: BLE001 (told at the end)
            self._failed(number, error)

    def _failed(self, number: int, error: BaseException) -> None:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__}{where.filename}{where.lineno}{str(error)[:40]}"
        if kind not in self._failures:
            text = "".join(traceback.format_exception(error, limit=-6))
            self._failures[kind] = f"{self.target}, input {number}: {text[:6000]}"
        assert len(self._failures) < _TOLD, "\n\n".join(self._failures.values())

    def _progress(self, done: int) -> None:
        total = len(self._numbers)
        print(  # noqa: T201 (for whoever waits for `make fuzz`)
            f"{self.target}: {done} of {total}, {len(self._failures)} failures", file=sys.stderr
        )

    def row(self) -> tuple[object, ...]:
        """For the table: target, inputs, outcomes, the slowest input."""
        told = ", ".join(f"{count:,} {word}" for word, count in self.outcomes.most_common())
        return self.target, f"{sum(self.outcomes.values()):,}", told, f"{self.slowest * 1000:.0f}"


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Let an input that uses too much processor time end by Stuck."""

    def strike(_number: int, _frame: FrameType | None) -> None:
        raise Stuck

    before = signal.signal(signal.SIGPROF, strike)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
