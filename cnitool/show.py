"""How commands show what they found: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from rich.console import Console

    from cni.jsonvalue import JsonValue

    Branch: TypeAlias = "tuple[str, str, Sequence[Branch]]"
    """A line, its style, and the lines below it."""

NOTHING = "-"
_BOLD, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[33m", "\x1b[0m"
_WIDE = 500
_STEPS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def document(value: JsonValue) -> None:
    """Print JSON."""
    sys.stdout.write(json.dumps(value, indent=4) + "\n")


def stamp(seconds: float | None) -> str | None:
    """A time as JSON has it: UTC, RFC 3339."""
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def moment(seconds: float | None) -> str:
    """A time as a person reads it."""
    if seconds is None:
        return NOTHING
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def ago(seconds: float) -> str:
    """How long that is ago, in the largest unit: `3 hours ago`."""
    passed = max(0, int(time.time() - seconds))
    for length, unit in _STEPS:
        if passed >= length:
            number = passed // length
            return f"{number} {unit} ago" if number == 1 else f"{number} {unit}s ago"
    return "just now"


def in_colours() -> bool:
    """Whether a person looks who has not refused colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def pairs(rows: Iterable[tuple[str, str]], marked: str) -> None:
    """A word and what there is to it, line by line; an empty word goes on with the last one.

    marked: the word whose lines want attention. Without rich, whose import takes longer than all
    else in a command that shows no table.
    """
    found = list(rows)
    width = max((len(word) for word, _ in found), default=0)
    colours = in_colours()
    for word, text in found:
        begin, end = (_BOLD, _PLAIN) if colours else ("", "")
        mark = _YELLOW if word == marked and colours else ""
        sys.stdout.write(f"{begin}{word.ljust(width)}{end}  {mark}{text}{end}\n")


class Screen:
    """Tables and lines on stdout; colours only on a terminal (and not with NO_COLOR)."""

    def __init__(self) -> None:
        # Half of the start-up time of everything else here, so only where a person looks.
        from rich.console import Console

        # A pipe has no width to fit in, and whoever reads it wants whole names.
        self._console: Console = Console(
            width=None if sys.stdout.isatty() else _WIDE, highlight=False
        )

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        right: Sequence[str] = (),
    ) -> None:
        """right: the columns of numbers."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            made.add_column(column, overflow="fold", justify="right" if column in right else "left")
        for row in rows:
            made.add_row(*map(Text, row))
        self._console.print(made)

    def tree(self, root: Branch) -> None:
        """A tree of lines."""
        from rich.text import Text
        from rich.tree import Tree

        def grow(into: Tree, branches: Sequence[Branch]) -> None:
            for text, style, below in branches:
                grow(into.add(Text(text, style=style), guide_style="dim"), below)

        text, style, below = root
        made = Tree(Text(text, style=style), guide_style="dim")
        grow(made, below)
        self._console.print(made)

    def line(self, text: str = "", style: str = "") -> None:
        from rich.text import Text

        self._console.print(Text(text, style=style))


def problems(found: Iterable[object]) -> None:
    """What could not be read, on stderr."""
    for problem in found:
        sys.stderr.write(f"{problem}\n")
