"""The table a person reads, and the JSON beside it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

from bench.cases import Bar, Row

_MARKS = {None: "", True: "[green]✓[/]", False: "[red]✗ missed[/]"}

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


@dataclass(frozen=True)
class Line:
    """One suite against another on one verb. Times: medians in ms. verdict: None without a bar."""

    case: str
    verb: str
    suite: str
    wall: float
    cpu: float
    against: str
    other_wall: float
    other_cpu: float
    ratio: float
    bar: str
    verdict: bool | None


def lines(rows: list[Row], base: str) -> list[Line]:
    """Each suite of each row against the suite `base`."""
    found: list[Line] = []
    for row in rows:
        for suite in row.timed:
            if suite == base:
                continue
            bar, verdict = _judge(row, suite, base)
            found.append(
                Line(
                    row.case,
                    row.verb,
                    suite,
                    row.wall(suite),
                    row.cpu(suite),
                    base,
                    row.wall(base),
                    row.cpu(base),
                    row.ratio(suite, base),
                    bar,
                    verdict,
                )
            )
    return found


def _judge(row: Row, suite: str, base: str) -> tuple[str, bool | None]:
    match row.bar:
        case None:
            return "", None
        case Bar(limit, ""):
            return f"≤ {limit:g} ms CPU", row.cpu(suite) <= limit
        case Bar(limit, _):
            return f"≤ {limit:g}x", row.ratio(suite, base) <= limit


def table(title: str, found: list[Line]) -> Table:
    """One suite against another as a table: medians in ms of wall clock, of CPU in brackets."""
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    made.add_column("ms of wall clock (CPU)")
    made.add_column("verb")
    for heading in (found[0].suite, found[0].against, "ratio"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("bar", no_wrap=True)
    previous = ""
    for line in found:
        made.add_row(
            line.case if line.case != previous else "",
            line.verb,
            f"{line.wall:.1f} ({line.cpu:.1f})",
            f"{line.other_wall:.1f} ({line.other_cpu:.1f})",
            f"{line.ratio:.2f}x",
            f"{line.bar} {_MARKS[line.verdict]}",
        )
        previous = line.case
    return made


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


def show(console: Console, about: dict[str, str], tables: list[tuple[str, list[Line]]]) -> None:
    """Print it all."""
    console.print(", ".join(f"{what} {value}" for what, value in about.items()), style="dim")
    for title, found in tables:
        for suite in dict.fromkeys(line.suite for line in found):
            console.print(table(title, [line for line in found if line.suite == suite]))


def write(path: Path, about: dict[str, str], rows: list[Row], found: list[Line]) -> None:
    """Everything measured, for machines: each sample, not only the medians. Times in seconds."""
    samples: list[Json] = [
        {
            "case": row.case,
            "verb": row.verb,
            "suite": suite,
            "wall": [one.wall for one in timed],
            "cpu": [one.cpu for one in timed],
        }
        for row in rows
        for suite, timed in row.timed.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": about, "lines": [asdict(one) for one in found], "samples": samples}
    path.write_text(json.dumps(document, indent=1) + "\n")
