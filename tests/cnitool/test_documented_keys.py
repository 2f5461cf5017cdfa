"""The tables of `validate` know every key that a plugin's page documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnitool import known
from tests.cnitool.conftest import ROOT

PAGES = sorted((ROOT / "plugins").glob("*/README.md"))
ROW = re.compile(r"^\| `(?P<key>[A-Za-z0-9]+)` \|", re.MULTILINE)


def documented(page: Path) -> set[str]:
    """The first column of the tables of keys: those that have a column `default`."""
    keys: set[str] = set()
    for block in page.read_text().split("\n\n"):
        if re.match(r"^\|.*\bkey\b.*\bdefault\b", block):
            keys |= {match["key"] for match in ROW.finditer(block)}
    return keys


@pytest.mark.parametrize("page", PAGES, ids=[page.parent.name for page in PAGES])
def test_every_documented_key_is_known(page: Path) -> None:
    name = page.parent.name
    table = {**known.PLUGIN, **known.PLUGINS[name]} if name in known.PLUGINS else known.IPAM[name]
    names = set(table)
    # Keys of runtimeConfig, of ranges and the like are in tables of their own there and here.
    for kind in table.values():
        while isinstance(kind, list):
            kind = kind[0]  # noqa: PLW2901 - unwrapping it
        if isinstance(kind, dict):
            names |= set(kind)
    assert documented(page) <= names
