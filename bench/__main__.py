"""`python -m bench`: run it, show the table, write the JSON."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from rich.console import Console

from bench.cases import Row, against_reference, growth, race
from bench.field import open_field
from bench.fill import fill
from bench.report import Line, lines, machine, show, write

_ROOT = Path(__file__).resolve().parent.parent
_OURS = "pycni"
_REFERENCE = "reference"


def main() -> int:
    """Returns 1 when a bar was missed."""
    wanted = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    today = dt.datetime.now(tz=dt.UTC)
    about = {"date": today.strftime("%Y-%m-%d"), **machine()}
    with console.status("racing the reference"):
        rows = _race_reference(wanted)
    tables = [(f"pycni against {wanted.reference}", lines(rows, _REFERENCE))]
    if wanted.growth:
        with console.status("filling the growth cases"):
            grown = _race_growth(wanted)
        rows += grown
        tables.append(("pycni against itself, by containers already there", _growth_lines(grown)))
    show(console, about, tables)
    found = [line for _, some in tables for line in some]
    path = wanted.json or _ROOT / "bench" / "results" / f"{today:%Y-%m-%dT%H%M%S}.json"
    write(path, about, rows, found)
    console.print(f"every sample: {path}", style="dim")
    return int(any(line.verdict is False for line in found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("--ours", type=Path, default=_ROOT / "dist" / "bin", metavar="DIR")
    parser.add_argument("--reference", type=Path, default=Path("/usr/lib/cni"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=30, help="measurements of each (30)")
    parser.add_argument(
        "--growth",
        type=int,
        nargs="*",
        default=[1000, 10000],
        metavar="N",
        help="containers already there (1000 10000); none to leave the growth cases out",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="default: bench/results/DATE.json"
    )
    return parser.parse_args()


def _race_reference(wanted: argparse.Namespace) -> list[Row]:
    directories = {_OURS: wanted.ours, _REFERENCE: wanted.reference}
    rows: list[Row] = []
    with open_field(directories) as suites:
        for case in against_reference(_OURS, _REFERENCE):
            rows += race(case, suites, wanted.rounds)
    return rows


def _name(count: int) -> str:
    return f"{count:,} there"


def _race_growth(wanted: argparse.Namespace) -> list[Row]:
    counts = {_name(count): count for count in [0, *wanted.growth]}
    with open_field(dict.fromkeys(counts, wanted.ours)) as suites:
        for suite in suites:
            fill(suite, "bench", counts[suite.name])
        return race(growth(_name(0)), suites, wanted.rounds)


def _growth_lines(rows: list[Row]) -> list[Line]:
    return lines(rows, _name(0))


if __name__ == "__main__":
    raise SystemExit(main())
