"""The graph as an SVG picture: a row for each device, its containers in a grid beside it.

Positions follow from the order of the groups and boxes alone, so the same state gives the same
picture. Every box carries the whole of what it stands for in `<title>` (what a browser shows under
the pointer) and in data attributes (what the page searches).
"""

from __future__ import annotations

import html
import math
from importlib import resources

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.graph.model import Box, Graph, Group

# All in pixels.
_MARGIN = 24
_WIDTH = 220
_GAP = 16
_GUTTER = 64
"""Between devices and containers: room for the lines."""
_HEAD = 26
_LINE = 16
_MOST_COLUMNS = 8
_SHOWN_LINES = {"uplink": 3, "device": 3, "overlay": 4, "container": 2}
_SHOWN_PORTS = 2
_CHARACTERS = 30
"""What fits into a line of a box."""


@record
class Place:
    """A box with its corner and height."""

    box: Box
    x: int
    y: int
    height: int

    @property
    def middle(self) -> int:
        return self.y + self.height // 2


def draw(graph: Graph) -> str:
    """The picture, as a document of its own."""
    places: list[Place] = []
    lines: list[str] = []
    y = _MARGIN + _HEAD
    if graph.uplinks:
        y = _row_of_uplinks(graph, places, y) + 2 * _GAP
    for group in graph.groups:
        y = _group(group, places, lines, y) + 2 * _GAP
    width = max((one.x + _WIDTH for one in places), default=_WIDTH) + _MARGIN
    height = y - _GAP + _MARGIN
    body = "\n".join([*lines, *map(_box, places)])
    title = html.escape(graph.host)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="Networks of {title}">\n'
        f"<style>{_style()}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}"/>\n'
        f'<g class="drawing">\n'
        f'<text class="host" x="{_MARGIN}" y="{_MARGIN + 10}">{title}</text>\n'
        f"{body}\n</g>\n</svg>\n"
    )


def _style() -> str:
    return resources.files("cnitool.graph").joinpath("picture.css").read_text(encoding="utf-8")


# ---- where things are


def _row_of_uplinks(graph: Graph, places: list[Place], y: int) -> int:
    made = [
        Place(box, _MARGIN + number * (_WIDTH + _GAP), y, _height(box))
        for number, box in enumerate(graph.uplinks)
    ]
    places += made
    return y + max(one.height for one in made)


def _group(group: Group, places: list[Place], lines: list[str], y: int) -> int:
    """Place a device with its overlays below it, and its containers; gives the lower edge."""
    device = Place(group.device, _MARGIN, y, _height(group.device))
    places.append(device)
    lower = y + device.height
    for box in group.overlays:
        overlay = Place(box, _MARGIN, lower + _GAP, _height(box))
        lines.append(_line("tunnel", _MARGIN + _WIDTH // 2, lower, 0, _GAP))
        places.append(overlay)
        lower = overlay.y + overlay.height
    return max(lower, _containers(group, device, places, lines))


def _containers(group: Group, device: Place, places: list[Place], lines: list[str]) -> int:
    """A grid beside the device; one line leads to each row."""
    if not group.containers:
        return device.y
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(group.containers)))))
    left = _MARGIN + _WIDTH + _GUTTER
    bus = left - _GUTTER // 2
    y = device.y
    middles: list[int] = []
    for start in range(0, len(group.containers), columns):
        row = group.containers[start : start + columns]
        height = max(map(_height, row))
        for number, box in enumerate(row):
            places.append(Place(box, left + number * (_WIDTH + _GAP), y, height))
        last = left + (len(row) - 1) * (_WIDTH + _GAP)
        middle = y + height // 2
        middles.append(middle)
        lines.append(_line("wire", bus, middle, last - bus, 0))
        y += height + _GAP
    lines.append(_line("wire", _MARGIN + _WIDTH, device.middle, bus - _MARGIN - _WIDTH, 0))
    middles.append(device.middle)
    lines.append(_line("wire", bus, min(middles), 0, max(middles) - min(middles)))
    return y - _GAP


def _height(box: Box) -> int:
    return _HEAD + _LINE * len(list(_texts(box))) + 8


# ---- what they look like


def _line(kind: str, x: int, y: int, across: int, down: int) -> str:
    return f'<path class="{kind}" d="M{x} {y}l{across} {down}"/>'


def _texts(box: Box) -> Iterator[tuple[str, str]]:
    """(class, text) of the lines that a box has room for."""
    most = _SHOWN_LINES[box.kind]
    for text in box.lines[:most]:
        yield "detail", text
    if len(box.lines) > most and box.kind == "overlay":
        yield "detail", f"and {len(box.lines) - most} more"
    for text in box.ports[:_SHOWN_PORTS]:
        yield "port", text
    if len(box.ports) > _SHOWN_PORTS:
        yield "port", f"and {len(box.ports) - _SHOWN_PORTS} more"


def _box(place: Place) -> str:
    box = place.box
    everything = "\n".join([box.title, *box.lines, *box.ports])
    state = "" if box.state == "ok" else f" [{box.state}]"
    texts = [_text("title", place.x + 10, place.y + 18, box.title + state)]
    for number, (kind, text) in enumerate(_texts(box)):
        texts.append(_text(kind, place.x + 10, place.y + _HEAD + 12 + number * _LINE, text))
    return (
        f'<g class="box {box.kind} {box.state}" tabindex="0" '
        f'data-name="{_attribute(box.name)}" data-text="{_attribute(everything)}">'
        f"<title>{html.escape(everything)}</title>"
        f'<rect x="{place.x}" y="{place.y}" width="{_WIDTH}" height="{place.height}" rx="6"/>'
        + "".join(texts)
        + "</g>"
    )


def _text(kind: str, x: int, y: int, text: str) -> str:
    short = text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
    return f'<text class="{kind}" x="{x}" y="{y}">{html.escape(short)}</text>'


def _attribute(text: str) -> str:
    """Line ends too: an XML reader makes spaces of them."""
    return html.escape(text).replace("\n", "&#10;")
