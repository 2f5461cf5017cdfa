"""The graph as a tree in a terminal."""

from __future__ import annotations

from cnitool import show
from cnitool.state.model import OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnitool.graph.model import Box, Graph
    from cnitool.show import Branch

_STYLES = {"ok": "green", "conflict": "yellow", "unknown": "yellow", "gone": "red", "down": "red"}
_PEERS = 4


def draw(graph: Graph) -> None:
    """Print it."""
    show.Screen().tree(
        (
            graph.host,
            "bold",
            [
                *(_branch(one) for one in graph.uplinks),
                *(
                    _branch(
                        group.device,
                        [
                            *(_branch(one) for one in group.overlays),
                            *(_branch(one) for one in group.containers),
                        ],
                    )
                    for group in graph.groups
                ),
            ],
        )
    )


def _branch(box: Box, below: list[Branch] | None = None) -> Branch:
    state = "" if box.state == OK else f"  [{box.state}]"
    ports: list[Branch] = [(one, "cyan", []) for one in box.ports]
    text = f"{box.title}  {', '.join(_shown(box))}{state}"
    return text.rstrip(), _STYLES[box.state], [*ports, *(below or [])]


def _shown(box: Box) -> Iterator[str]:
    """The first lines: addresses and what is next to them; of many peers a few."""
    if box.kind != "overlay":
        yield from box.lines[:2]
        return
    yield from box.lines[: 2 + _PEERS]
    more = len(box.lines) - 2 - _PEERS
    if more > 0:
        yield f"and {more} more"
