"""The graph as one HTML page that needs nothing else: picture, search, zoom, details."""

from __future__ import annotations

import html
from importlib import resources
from string import Template

from cnitool.graph import svg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnitool.graph.model import Graph


def draw(graph: Graph, moment: str) -> str:
    """The page. moment: when the host was looked at, in words."""
    files = resources.files("cnitool.graph")
    page = Template(files.joinpath("page.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=html.escape(f"Networks of {graph.host}"),
        picture=svg.draw(graph),
        script=files.joinpath("page.js").read_text(encoding="utf-8"),
        moment=html.escape(moment),
    )
