"""What a person is told below the tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.markup import escape

from bench.cases import Row
from bench.field import REFERENCE
from bench.report import MARKS

MEMORY_MB = 60
AT_START = "at the start"
AFTER_CALLS = "right after all calls"
RESTED = "when they were over"
_SECOND_KERNEL = (
    "User-Mode-Linux is a kernel that runs as a program, here on one CPU: all that a process asks "
    "of it takes many times as long, so its ratios hold only among themselves. Its CPU time comes "
    "in steps of 10 ms."
)


def memory_line(memory: dict[str, float]) -> str:
    """The daemon's memory at different times, MB, for a person."""
    said = ", ".join(f"{value:.0f} MB {when}" for when, value in memory.items())
    mark = MARKS[idle_memory(memory) <= MEMORY_MB]
    return f"Memory of cnid and its workers (PSS): {said}; idle ≤ {MEMORY_MB} MB {mark}"


def idle_memory(memory: dict[str, float]) -> float:
    """The most of those when nothing had been called for a while."""
    return max(memory[AT_START], memory[RESTED])


def left_out_lines(left_out: Mapping[str, str], failed: Collection[str]) -> list[str]:
    """The plugins that were not measured, for a person: those with the same reason together."""
    named: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        mark = f"{MARKS[False]} " if name in failed else ""
        named.setdefault(reason, []).append(f"{mark}{escape(name)}")
    return [f"Left out: {', '.join(some)}: {escape(reason)}" for reason, some in named.items()]


def alone_lines(rows: Sequence[Row]) -> list[str]:
    """The plugins that had nobody to race against, for a person."""
    alone = [row.case for row in rows if row.verb == "ADD" and REFERENCE not in row.timed]
    return [f"This reference has none: {', '.join(map(escape, alone))}"] if alone else []


def second_kernel_lines(rows: Sequence[Row]) -> list[str]:
    """How the table of the second kernel is to be read, if there is one."""
    return [_SECOND_KERNEL] if rows else []
