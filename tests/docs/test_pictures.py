"""The pictures are what their scenes say, and fit."""

from __future__ import annotations

import runpy
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.docs.pages import ROOT, read

PICTURES = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def drawer() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "packaging" / "pictures.py"))


def test_they_are_as_committed(drawer: dict[str, Any]) -> None:
    drawn = drawer["draw_all"]()
    assert drawn == {path.name: path.read_text() for path in PICTURES.glob("*.svg")}, (
        "run make pictures"
    )


def test_they_are_xml_and_load_nothing(drawer: dict[str, Any]) -> None:
    for name, picture in drawer["draw_all"]().items():
        tags = {one.tag for one in ET.fromstring(picture).iter()}
        assert all(tag.startswith("{http://www.w3.org/2000/svg}") for tag in tags), name
        assert "{http://www.w3.org/2000/svg}image" not in tags, name
        assert picture.count("http") == 1, name


def test_scenes_hold_together(drawer: dict[str, Any]) -> None:
    for name, scene in drawer["scenes"]().items():
        boxes = scene["boxes"]
        assert all(start in boxes for start, _, _ in scene["arrows"]), name
        assert all(not to or to in boxes for _, to, _ in scene["arrows"]), name
        places = [(column, row) for column, row, _, _ in boxes.values()]
        assert len(set(places)) == len(places), name
        for _, _, text, note in boxes.values():
            assert max(len(text.lstrip("*~")), len(note) - 2) <= drawer["LONGEST"], (name, text)


def test_the_page_shows_them_all() -> None:
    shown = [link for link in read(ROOT / "docs" / "data-paths.md").links if link.endswith(".svg")]
    assert sorted(shown) == sorted(f"pictures/{path.name}" for path in PICTURES.glob("*.svg"))
