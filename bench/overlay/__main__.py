"""`make bench-overlay`: measure, show the tables, write the JSON."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.field import take_private_mounts
from bench.overlay import attach, scale, throughput, watching
from bench.overlay.attach import Cost
from bench.overlay.scale import Scale
from bench.overlay.throughput import Rate
from bench.overlay.watching import Watched
from bench.report import machine

_ROOT = Path(__file__).resolve().parents[2]
_MARKS = {None: "", True: "[green]✓[/]", False: "[red]✗[/]"}


def main() -> int:
    """Returns 1 when a bar was missed."""
    parser = argparse.ArgumentParser(prog="make bench-overlay ARGS=", description=__doc__)
    parser.add_argument("--ours", type=Path, default=_ROOT / "dist" / "bin", metavar="DIR")
    parser.add_argument("--rounds", type=int, default=30, help="ADDs of each (30)")
    parser.add_argument("--transfers", type=int, default=5, help="transfers of each (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: bench/results/…")
    wanted = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    today = dt.datetime.now(tz=dt.UTC)
    about = {"date": today.strftime("%Y-%m-%d"), **machine()}
    take_private_mounts()
    with tempfile.TemporaryDirectory(prefix="pycni-bench-") as directory:
        with console.status("attaching"):
            costs = attach.measure(wanted.ours, wanted.rounds)
        with console.status("transferring"):
            rates = throughput.measure(Path(directory), wanted.transfers)
        with console.status("simulating hosts"):
            scales = scale.measure(Path(directory))
        with console.status("watching etcd"):
            watched = watching.measure(Path(directory), wanted.ours)
    console.print(", ".join(f"{what} {value}" for what, value in about.items()), style="dim")
    for table in (_costs(costs), _rates(rates), _scales(scales), _watched(watched)):
        console.print(table)
    path = wanted.json or _ROOT / "bench" / "results" / "overlay" / f"{today:%Y-%m-%dT%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = {
        "machine": about,
        "attach": [asdict(one) for one in costs],
        "throughput": [asdict(one) for one in rates],
        "scale": [asdict(one) for one in scales],
        "watching": [asdict(one) for one in watched],
    }
    path.write_text(json.dumps(measured, indent=1) + "\n")
    console.print(f"written: {path}", style="dim")
    verdicts = [one.verdict for some in (costs, rates, watched) for one in some]
    return int(False in verdicts)


def _table(title: str, *columns: str) -> Table:
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in columns:
        made.add_column(name, justify="right" if made.columns else "left", no_wrap=True)
    return made


def _costs(costs: Sequence[Cost]) -> Table:
    made = _table("An attachment: median ms", "", "verb", "bridge", "vxlan (l3, static)", "", "bar")
    for one in costs:
        more = f"{one.overlay / one.bridge:.2f}x, {one.overlay - one.bridge:+.1f} ms"
        bar = f"{one.bar} {_MARKS[one.verdict]}".strip()
        made.add_row(one.suite, one.verb, f"{one.bridge:.1f}", f"{one.overlay:.1f}", more, bar)
    return made


def _rates(rates: Sequence[Rate]) -> Table:
    made = _table("TCP between two hosts", "underlay", "way", "Gbit/s", "of by hand", "")
    for one in rates:
        bar = f"≥ {throughput.BAR:g}x {_MARKS[one.verdict]}" if one.verdict is not None else ""
        made.add_row(f"IPv{one.family}", one.how, f"{one.gigabits:.2f}", f"{one.ratio:.2f}x", bar)
    return made


def _scales(scales: Sequence[Scale]) -> Table:
    made = _table(
        "Hosts of an overlay (l3, dual stack), on one of them: ms",
        "other hosts",
        "kernel entries",
        "tables\nfrom nothing",
        "guard\nfrom nothing",
        "look,\nall right",
        "look,\none more",
        "all gone",
    )
    for one in scales:
        times = (one.tables, one.guard, one.unchanged, one.one_more, one.gone)
        cells = (f"{one.peers:,}", f"{one.entries:,}", *(f"{time:,.1f}" for time in times))
        made.add_row(*cells)
    return made


def _watched(watched: Sequence[Watched]) -> Table:
    made = _table(
        "The watcher, with the other hosts in etcd",
        "other hosts",
        "all programmed, ms",
        "one change, ms",
        "memory, MB",
        "CPU so far, s",
        "",
    )
    for one in watched:
        cells = (f"{one.everything:,.0f}", f"{one.one:.0f}", f"{one.memory:.0f}", f"{one.cpu:.2f}")
        made.add_row(f"{one.hosts:,}", *cells, _MARKS[one.verdict])
    return made


if __name__ == "__main__":
    raise SystemExit(main())
