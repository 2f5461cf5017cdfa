"""`cnitool graph`: in the terminal, or as a file of SVG or HTML."""

from __future__ import annotations

import os
import sys
import time

from cni.errors import IO_FAILURE, CniError
from cnitool import show
from cnitool.graph import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue
    from cnitool.graph.model import Box, Graph
    from cnitool.settings import Settings


def run(settings: Settings, network: str, *, svg: str, page: str, as_json: bool) -> int:
    """svg, page: files to write, `-` for stdout, empty for none. Raises CniError."""
    graph = model.read(settings, network)
    if as_json:
        show.document(document(graph))
    elif svg:
        from cnitool.graph import svg as picture

        _write(svg, picture.draw(graph))
    elif page:
        from cnitool.graph import page as pages

        _write(page, pages.draw(graph, show.moment(time.time())))
    else:
        from cnitool.graph import terminal

        terminal.draw(graph)
    return 0


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CniError(IO_FAILURE, f"{path} cannot be written: {error.strerror}") from None
    sys.stderr.write(f"written to {os.path.abspath(path)}\n")


def document(graph: Graph) -> dict[str, JsonValue]:
    """The graph as JSON."""
    return {
        "host": graph.host,
        "uplinks": [_box(one) for one in graph.uplinks],
        "groups": [
            {
                "device": _box(group.device),
                "overlays": [_box(one) for one in group.overlays],
                "containers": [_box(one) for one in group.containers],
            }
            for group in graph.groups
        ],
    }


def _box(box: Box) -> dict[str, JsonValue]:
    return {
        "name": box.name,
        "title": box.title,
        "details": [*box.lines],
        "ports": [*box.ports],
        "state": box.state,
    }
