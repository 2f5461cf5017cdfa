"""The project's Markdown pages, read as what they are made of: blocks, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
_SKIPPED = {"dist", "build"}
_TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True)
class Block:
    """A fenced block. line: where it begins, from 1. title: of its first line, or empty."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Page:
    """A page: its blocks, the anchors of its headings, the targets of its links and images."""

    path: Path
    blocks: tuple[Block, ...]
    anchors: frozenset[str]
    links: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    def block(self, title: str) -> Block:
        """The one of this title."""
        (found,) = (one for one in self.blocks if one.title == title)
        return found


@cache
def pages() -> tuple[Page, ...]:
    """All pages that are the project's own."""
    tops = [one for one in ROOT.iterdir() if one.name not in _SKIPPED and one.name[0] != "."]
    below = [path for top in tops if top.is_dir() for path in top.rglob("*.md")]
    return tuple(map(read, sorted([*ROOT.glob("*.md"), *below])))


@cache
def read(path: Path) -> Page:
    """One page."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text())
    blocks, headings, links = [], [], []
    for at, token in enumerate(tokens):
        if token.type == "fence" and token.map:
            language, _, rest = token.info.strip().partition(" ")
            titled = _TITLE.search(rest)
            title = titled[1] if titled else ""
            blocks.append(Block(path, token.map[0] + 1, language, title, token.content))
        elif token.type == "heading_open":
            headings.append(_text(tokens[at + 1]))
        links += [_target(one) for one in token.children or () if one.type in _LINKS]
    return Page(path, tuple(blocks), frozenset(_anchors(headings)), tuple(links))


_LINKS = ("link_open", "image")


def _target(token: Token) -> str:
    return str(token.attrs["href" if token.type == "link_open" else "src"])


def _text(token: Token) -> str:
    return "".join(one.content for one in token.children or ())


def _anchors(headings: list[str]) -> list[str]:
    """As GitHub makes them: a heading that comes again gets a number."""
    found: list[str] = []
    for heading in headings:
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        times = sum(re.fullmatch(rf"{re.escape(plain)}(-\d+)?", one) is not None for one in found)
        found.append(f"{plain}-{times}" if times else plain)
    return found
