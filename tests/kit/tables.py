"""The tables of docs/reliability.md: a test prints one, and puts it there when it is asked to.

A table stands between `<!-- table NAME -->` and `<!-- end NAME -->`, with a line below it that says
where and when it was measured.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"

Row = Sequence[object]
Publish = Callable[[str, Sequence[str], Sequence[Row]], None]
"""publish(name, headings, rows)."""


def markdown(headings: Sequence[str], rows: Sequence[Row]) -> str:
    """A table of Markdown; cells are escaped."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


def measured() -> str:
    """Where and when."""
    system = os.uname()
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{time.strftime('%Y-%m-%d')}, Linux {system.release}, Python {python}"


def put(document: Path, name: str, text: str) -> None:
    """Replace what stands between the table's two marks."""
    begin, end = f"<!-- table {name} -->\n", f"<!-- end {name} -->"
    before, found, rest = document.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"{document} has no {begin.strip()}"
    assert closed, f"{document} has no {end}"
    document.write_text(f"{before}{begin}{text}\n\n{measured()}\n{end}{after}")
