"""CPU time of processes that go on after a call: the daemons that serve it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_SECONDS = 20


def cpu_of(pids: Iterable[int]) -> float:
    """Seconds that these have used so far, when all of them rest: what follows a call counts too.

    A process that has ended counts nothing. The kernel is asked and not the process, which would
    come to the next call out of breath. Raises RuntimeError for one that does not rest.
    """
    total = 0.0
    for pid in pids:
        with suppress(OSError):  # worn out
            _wait_for_rest(pid)
            total += time.clock_gettime(_clock_of(pid))
    return total


def _clock_of(pid: int) -> int:
    """As clock_getcpuclockid(3) makes it, which Python lacks: of all threads, the ended too."""
    return (~pid << 3) | 2


def _wait_for_rest(pid: int) -> None:
    """Until none of its threads runs. Raises OSError when it has ended, RuntimeError."""
    until = time.monotonic() + _SECONDS
    while any(_runs(thread) for thread in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > until:
            raise RuntimeError(f"process {pid} is busy for more than {_SECONDS} seconds")


def _runs(thread: Path) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    return False
