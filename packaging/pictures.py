"""Draws docs/pictures/*.svg, the ways of packets, from docs/pictures/scenes.toml: `make pictures`.

Everything is on a grid, so the pictures share a look, and the same scenes give the same bytes. Each
has its own background and obeys the reader's choice of light or dark.
"""

from __future__ import annotations

import html
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypedDict

    class Scene(TypedDict):
        """A picture; scenes.toml says what is in it."""

        about: str
        zones: list[tuple[str, int, int, int, int]]
        boxes: dict[str, tuple[int, int, str, str]]
        arrows: list[tuple[str, str, str]]


PICTURES = Path(__file__).parent.parent / "docs" / "pictures"

# All in pixels.
_WIDTH, _HEIGHT = 144, 48
_ACROSS, _DOWN = 48, 56
_MARGIN = 28
_PADDING = 14
_OUT = 40
"""How far an arrow out of the picture goes beyond the last column."""
_SIGNS = {"*": "made", "~": "gone"}
LONGEST = 18
"""Characters that fit into a box."""

_STYLE = """\
svg{--paper:#fff;--ink:#1f2328;--dim:#59636e;--zone:#f3f4f7;--box:#fff;--line:#8c959f;\
--made:#dfe6ff;--edge:#3f51b5;--stop:#cf222e}
@media(prefers-color-scheme:dark){svg{--paper:#16181d;--ink:#e6e8ec;--dim:#9aa4b2;--zone:#20242c;\
--box:#16181d;--line:#6b7685;--made:#28336b;--edge:#8c9eff;--stop:#ff7b72}}
text{font:14px system-ui,sans-serif;fill:var(--ink);text-anchor:middle}
.note{font-size:12px;fill:var(--dim)}
.title{font-size:12px;fill:var(--dim);text-anchor:start}
.paper{fill:var(--paper)}
.zone{fill:var(--zone)}
.box{fill:var(--box);stroke:var(--line)}
.made{fill:var(--made);stroke:var(--edge)}
.gone{fill:none;stroke:var(--line);stroke-dasharray:4}
.way{fill:none;stroke:var(--edge);stroke-width:2;marker-end:url(#head)}
.stop{stroke:var(--stop);stroke-dasharray:4;marker-end:url(#cross)}
#head path{fill:var(--edge)}
#cross path{fill:none;stroke:var(--stop);stroke-width:2}
"""
_MARKERS = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>'
    '<marker id="cross" viewBox="0 0 10 10" refX="5" refY="5" markerWidth="12" markerHeight="12"'
    ' markerUnits="userSpaceOnUse"><path d="M1 1 9 9M9 1 1 9"/></marker></defs>'
)


class Cell(NamedTuple):
    """A place on the grid."""

    column: int
    row: int

    @property
    def left(self) -> int:
        return _MARGIN + self.column * (_WIDTH + _ACROSS)

    @property
    def top(self) -> int:
        return _MARGIN + _PADDING + self.row * (_HEIGHT + _DOWN)

    @property
    def right(self) -> int:
        return self.left + _WIDTH

    @property
    def bottom(self) -> int:
        return self.top + _HEIGHT

    @property
    def middle(self) -> tuple[int, int]:
        return self.left + _WIDTH // 2, self.top + _HEIGHT // 2


def main() -> int:
    """Draw all of them."""
    for name, picture in draw_all().items():
        (PICTURES / name).write_text(picture)
    return 0


def draw_all() -> dict[str, str]:
    """Each picture by the name of its file."""
    return {f"{name}.svg": draw(scene) for name, scene in scenes().items()}


def scenes() -> dict[str, Scene]:
    """Those of the file, by name."""
    found: dict[str, Scene] = tomllib.loads((PICTURES / "scenes.toml").read_text())
    return found


def draw(scene: Scene) -> str:
    """The picture, as a document of its own."""
    cells = {key: Cell(column, row) for key, (column, row, _, _) in scene["boxes"].items()}
    leaves = any(not to for _, to, _ in scene["arrows"])
    end = max(cell.right for cell in cells.values())
    width = end + (_OUT if leaves else 0) + _MARGIN
    height = max(cell.bottom for cell in cells.values()) + _MARGIN
    about = html.escape(scene["about"])
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{about}</title>',
        f"<style>{_STYLE}</style>{_MARKERS}",
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
        *(_zone(*zone) for zone in scene["zones"]),
        *(part for box in scene["boxes"].values() for part in _box(*box)),
        *(_arrow(cells, end + _OUT, *arrow) for arrow in scene["arrows"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _zone(title: str, left: int, top: int, right: int, bottom: int) -> str:
    first, last = Cell(left, top), Cell(right, bottom)
    x, y = first.left - _PADDING, first.top - _PADDING
    width, height = last.right - first.left + 2 * _PADDING, last.bottom - first.top + 2 * _PADDING
    return (
        f'<rect class="zone" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        f'<text class="title" x="{x + 2}" y="{y - 5}">{html.escape(title)}</text>'
    )


def _box(column: int, row: int, text: str, note: str) -> Iterator[str]:
    cell = Cell(column, row)
    kind = f"box {_SIGNS.get(text[0], '')}".strip()
    x, y = cell.middle
    yield (
        f'<rect class="{kind}" x="{cell.left}" y="{cell.top}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" rx="5"/>'
    )
    yield f'<text x="{x}" y="{y - 2 if note else y + 5}">{html.escape(text.lstrip("*~"))}</text>'
    if note:
        yield f'<text class="note" x="{x}" y="{y + 15}">{html.escape(note)}</text>'


def _arrow(cells: dict[str, Cell], edge: int, start: str, to: str, note: str) -> str:
    """edge: where the picture ends, for arrows that lead out of it."""
    source = cells[start]
    kind = "way stop" if note.startswith("!") else "way"
    note = note.removeprefix("!")
    x, y = source.middle
    if not to:
        d, place = f"M{source.right} {y}H{edge}", ((source.right + edge) // 2, y - 6)
    elif cells[to].column == source.column:
        target = cells[to]
        down = target.row > source.row
        d = f"M{x} {source.bottom if down else source.top}V{target.top if down else target.bottom}"
        # Beside the line, and above the title of a zone that begins in between.
        place = (x + 36, (source.middle[1] + target.middle[1]) // 2 - 8)
    else:
        target = cells[to]
        right = target.column > source.column
        begins, ends = (source.right, target.left) if right else (source.left, target.right)
        turn = ends - _ACROSS // 2 if right else ends + _ACROSS // 2
        level = target.middle[1]
        d = f"M{begins} {y}H{ends}" if level == y else f"M{begins} {y}H{turn}V{level}H{ends}"
        place = ((begins + ends) // 2, y - 6)
    label = f'<text class="note" x="{place[0]}" y="{place[1]}">{html.escape(note)}</text>'
    return f'<path class="{kind}" d="{d}"/>' + (label if note else "")


if __name__ == "__main__":
    sys.exit(main())
