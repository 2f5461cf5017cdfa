"""The tables a person reads, and the JSON beside them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cases import EMPTY, START, Bar, Row
from bench.field import COLD, REFERENCE, WARM

MARKS = {None: "", True: "[green]✓[/]", False: "[red]✗[/]"}

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


@dataclass(frozen=True)
class Line:
    """One suite on one verb, on a host with `size` other containers. Times: medians in ms.

    against: what `ratio` compares it with; empty where that was not measured. verdict: None without
    a bar.
    """

    case: str
    verb: str
    suite: str
    size: int
    rounds: int
    wall: float
    cpu: float
    against: str
    ratio: float
    bar: str
    verdict: bool | None


def lines_against_reference(rows: Sequence[Row]) -> list[Line]:
    """Each suite of each row, the reference too, against the row's reference."""
    return [
        _line(row, suite, REFERENCE, row.wall(REFERENCE) if REFERENCE in row.timed else 0.0)
        for row in rows
        for suite in row.timed
    ]


def lines_against_empty(rows: Sequence[Row]) -> list[Line]:
    """Each suite of each row against itself in the row of the same verb with nobody there."""
    empty = {row.verb: row for row in rows if row.size == 0}
    return [
        _line(row, suite, EMPTY, empty[row.verb].wall(suite)) for row in rows for suite in row.timed
    ]


def lines_of_every(rows: Sequence[Row]) -> list[Line]:
    """As `lines_against_reference`; what has a bar against `START`, against its row VERSION."""
    started = {row.case: row.wall(REFERENCE) for row in rows if row.verb == "VERSION"}
    lines: list[Line] = []
    for row in rows:
        reference = row.wall(REFERENCE) if REFERENCE in row.timed else 0.0
        for suite in row.timed:
            bar = row.bars.get(suite)
            if bar and bar.against == START:
                lines.append(_line(row, suite, START, started.get(row.case, 0.0)))
            else:
                lines.append(_line(row, suite, REFERENCE, reference))
    return lines


def _line(row: Row, suite: str, against: str, other: float) -> Line:
    wall, cpu = row.wall(suite), row.cpu(suite)
    bar = row.bars.get(suite) if row.size or against != EMPTY else None
    if other == 0:
        against, bar = "", bar if bar and not bar.against else None
    ratio = wall / other if other else 0.0
    text, verdict = _judge(bar, cpu, ratio)
    rounds = len(row.timed[suite])
    return Line(
        row.case, row.verb, suite, row.size, rounds, wall, cpu, against, ratio, text, verdict
    )


def _judge(bar: Bar | None, cpu: float, ratio: float) -> tuple[str, bool | None]:
    match bar:
        case None:
            return "", None
        case Bar(limit, ""):
            return f"≤ {limit:g} ms CPU", cpu <= limit
        case Bar(limit, against):
            unit = f"x {START}" if against == START else "x"
            return f"≤ {limit:g}{unit}", ratio <= limit


def race_table(title: str, lines: Sequence[Line]) -> Table:
    """Cold and warm against the reference: ms of wall clock, of CPU in brackets."""
    made = _table(f"{title}: median ms (of CPU); ratio and bar")
    made.add_column("")
    made.add_column("verb")
    made.add_column(REFERENCE, justify="right", no_wrap=True)
    for suite in (COLD, WARM):
        made.add_column(suite, justify="right", no_wrap=True)
        made.add_column("", no_wrap=True)
    previous = ""
    for case, verb in dict.fromkeys((line.case, line.verb) for line in lines):
        found = {line.suite: line for line in lines if (line.case, line.verb) == (case, verb)}
        cells = [_times(found[REFERENCE]) if REFERENCE in found else ""]
        for suite in (COLD, WARM):
            cells += [_times(found[suite]), _verdict(found[suite])] if suite in found else ["", ""]
        made.add_row(case if case != previous else "", verb, *cells)
        previous = case
    return made


def growth_table(lines: Sequence[Line]) -> Table:
    """Each suite by the number of containers that are there already."""
    sizes = sorted({line.size for line in lines})
    bars = {line.bar for line in lines if line.bar}
    made = _table(
        f"{lines[0].case} by containers already there: median ms, "
        f"as a factor of empty (bar {', '.join(sorted(bars))})"
    )
    made.add_column("")
    made.add_column("verb")
    for size in sizes:
        made.add_column(f"{size:,}" if size else EMPTY, justify="right", no_wrap=True)
    for suite in (REFERENCE, COLD, WARM):
        for verb in dict.fromkeys(line.verb for line in lines):
            found = {line.size: line for line in lines if (line.suite, line.verb) == (suite, verb)}
            if found:
                cells = [_grown(found[size]) if size in found else "" for size in sizes]
                made.add_row(suite, verb, *cells)
    return made


def _table(title: str) -> Table:
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")


def _times(line: Line) -> str:
    digits = 2 if line.wall < 1 else 1 if line.wall < 1000 else 0
    return f"{line.wall:,.{digits}f} ({line.cpu:,.{digits}f})"


def _verdict(line: Line) -> str:
    digits = 2 if line.ratio >= 1 else 3  # the bars are near
    ratio = f"{line.ratio:.{digits}f}x " if line.against else ""
    return f"{ratio}{line.bar} {MARKS[line.verdict]}".rstrip()


def _grown(line: Line) -> str:
    if line.size == 0:
        return f"{line.wall:,.1f}"
    return f"{line.wall:,.1f} {line.ratio:.2f}x {MARKS[line.verdict]}".rstrip()


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "cpu": f"{os.cpu_count()} x {cpu}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": load,
    }


def show(
    console: Console, about: dict[str, str], tables: Sequence[Table], notes: Sequence[str]
) -> None:
    """Print it all."""
    console.print(", ".join(f"{what} {value}" for what, value in about.items()), style="dim")
    for one in tables:
        console.print(one)
    for note in notes:
        console.print(note)


def write(
    path: Path,
    about: Mapping[str, Mapping[str, str | float]],
    lines: Mapping[str, Sequence[Line]],
    rows: Mapping[str, Sequence[Row]],
) -> None:
    """Everything measured, for machines: each sample, not only the medians.

    about: comes first, as it is. lines: by table, in ms. rows: by table; the samples, in seconds.
    """
    samples: list[Json] = [
        {
            "table": table,
            "case": row.case,
            "verb": row.verb,
            "suite": suite,
            "size": row.size,
            "wall": [round(one.wall, 6) for one in timed],
            "cpu": [round(one.cpu, 6) for one in timed],
        }
        for table, some in rows.items()
        for row in some
        for suite, timed in row.timed.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        **{name: dict(some) for name, some in about.items()},
        **{name: [asdict(one) for one in some] for name, some in lines.items()},
        "samples": samples,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
