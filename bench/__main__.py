"""`python -m bench`: run it, show the tables, write the JSON."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.cases import Row, against_reference, growth, race
from bench.entries import PLUGINS
from bench.every import Measured, measure
from bench.field import Field, Suite, open_field, take_private_mounts
from bench.fill import fill
from bench.load import load
from bench.notes import (
    AFTER_CALLS,
    AT_START,
    MEMORY_MB,
    RESTED,
    alone_lines,
    idle_memory,
    left_out_lines,
    memory_line,
    second_kernel_lines,
)
from bench.report import (
    growth_table,
    lines_against_empty,
    lines_against_reference,
    lines_of_every,
    machine,
    race_table,
    show,
    write,
)
from bench.second_kernel import lane

_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Returns 1 when a bar was missed."""
    wanted = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    today = dt.datetime.now(tz=dt.UTC)
    about = {"date": today.strftime("%Y-%m-%d"), **machine()}
    take_private_mounts()
    rows: dict[str, list[Row]] = {}
    with console.status("racing the reference"), open_field() as field:
        rows["race"], memory = _race_reference(wanted, field)
    lines = {"race": lines_against_reference(rows["race"])}
    tables = [race_table("Against the reference", lines["race"])]
    with console.status("racing every plugin") as doing:
        every, there = _race_every(wanted, doing.update)
    if there.rows:
        about["second kernel"] = f"User-Mode-Linux {there.kernel} on one CPU"
    for name, title, some in (
        ("every", "Every plugin", every.rows),
        ("second kernel", "In User-Mode-Linux", there.rows),
    ):
        if some:
            rows[name], lines[name] = some, lines_of_every(some)
            tables.append(race_table(title, lines[name]))
    if wanted.growth:
        with console.status("filling the growth cases") as doing, open_field() as field:
            rows["growth"] = _race_growth(wanted, field, doing.update)
        lines["growth"] = lines_against_empty(rows["growth"])
        tables.append(growth_table(lines["growth"]))
    notes = [
        *second_kernel_lines(there.rows),
        *alone_lines([*every.rows, *there.rows]),
        *left_out_lines(every.left_out, every.failed),
        memory_line(memory),
    ]
    show(console, about, tables, notes)
    path = wanted.json or _ROOT / "bench" / "results" / f"{today:%Y-%m-%dT%H%M%S}.json"
    write(path, {"machine": about, "memory": memory, "left out": every.left_out}, lines, rows)
    console.print(f"every sample: {path}", style="dim")
    missed = any(line.verdict is False for some in lines.values() for line in some)
    return int(missed or bool(every.failed) or idle_memory(memory) > MEMORY_MB)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("--ours", type=Path, default=_ROOT / "dist" / "bin", metavar="DIR")
    parser.add_argument("--reference", type=Path, default=Path("/usr/lib/cni"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=30, help="measurements of each (30)")
    parser.add_argument(
        "--plugins",
        nargs="*",
        choices=PLUGINS,
        default=PLUGINS,
        metavar="NAME",
        help="of the table of every plugin (all of them); none to leave the table out",
    )
    parser.add_argument(
        "--second-kernel",
        type=int,
        default=10,
        metavar="N",
        help="measurements in User-Mode-Linux of what this kernel lacks (10); 0 to leave them out",
    )
    parser.add_argument(
        "--load",
        type=int,
        default=200,
        metavar="N",
        help="containers at once (200), which takes the reference a minute; 0 to leave it out",
    )
    parser.add_argument(
        "--growth",
        type=int,
        nargs="*",
        default=[1000, 4000, 10000],
        metavar="N",
        help="containers already there (1000 4000 10000); none to leave the growth cases out",
    )
    parser.add_argument(
        "--reference-growth",
        type=int,
        default=4000,
        metavar="N",
        help="the most for the reference, which takes seconds a call (4000)",
    )
    parser.add_argument(
        "--reference-rounds",
        type=int,
        default=5,
        metavar="N",
        help="measurements of the reference's growth (5)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="default: bench/results/DATE.json"
    )
    return parser.parse_args()


def _race_reference(wanted: argparse.Namespace, field: Field) -> tuple[list[Row], dict[str, float]]:
    """The rows, and what memory the daemon took before, right after and when it had rested."""
    cold, warm = field.ours(wanted.ours)
    assert warm.daemon
    memory = {AT_START: warm.daemon.memory()}
    suites = [cold, warm, field.reference(wanted.reference)]
    rows: list[Row] = []
    for case in against_reference():
        rows += race(case, suites, wanted.rounds)
    if wanted.load:
        rows += load(suites, [field.namespace() for _ in range(wanted.load)])
    memory[AFTER_CALLS] = warm.daemon.memory()
    warm.daemon.rest()
    memory[RESTED] = warm.daemon.memory()
    if refused := warm.daemon.refused():
        raise RuntimeError(f"{refused} warm calls ran cold")
    return rows, memory


def _race_every(
    wanted: argparse.Namespace, say: Callable[[str], None]
) -> tuple[Measured, Measured]:
    """Every plugin that is wanted, and those of them that were measured in the second kernel."""
    every = measure(wanted.ours, wanted.reference, wanted.plugins, wanted.rounds, say)
    if not every.unknown or not wanted.second_kernel:
        return every, Measured()
    plugins = list(dict.fromkeys(every.unknown.values()))
    say(f"racing {', '.join(plugins)} in User-Mode-Linux")
    there = lane.measure(wanted.ours, wanted.reference, plugins, wanted.second_kernel)
    every.resume(there)
    return every, there


def _race_growth(wanted: argparse.Namespace, field: Field, say: Callable[[str], None]) -> list[Row]:
    ours: list[Suite] = []
    references: list[Suite] = []
    for size in (0, *wanted.growth):
        say(f"filling hosts with {size:,} containers")
        cold, warm = field.ours(wanted.ours, size)
        fill(cold)
        ours += cold, warm
        if size <= wanted.reference_growth:
            references.append(field.reference(wanted.reference, size))
            fill(references[-1])
    say("measuring growth")
    rows = {(row.verb, row.size): row for row in race(growth(), ours, wanted.rounds)}
    for row in race(growth(), references, wanted.reference_rounds):
        rows[row.verb, row.size].timed.update(row.timed)
    return list(rows.values())


if __name__ == "__main__":
    raise SystemExit(main())
