"""The page in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnitool.graph import page
from cnitool.graph.model import Box, Graph, Group
from tests.cnitool.graph.graphs import HOSTILE, graph
from tests.kit.browser import PROGRAMS, Browser, find_program

VIEW = "document.querySelector('#view svg').getAttribute('viewBox').split(' ').map(Number)"
ABOUT = "document.getElementById('about').textContent"
BRIGHT = "document.querySelectorAll('.box:not(.faded)').length"
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
MANY = 500
QUICK = 1.0
"""Seconds in which a person gets an answer from a page with 500 containers, whatever else runs."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_program() is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed; Ubuntu has them only as a snap")
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


def opened(browser: Browser, directory: Path, drawn: Graph) -> None:
    path = directory / "graph.html"
    path.write_text(page.draw(drawn, "2026-01-02 03:04:05"))
    browser.said.clear()
    browser.open(path.as_uri())


def search(browser: Browser, text: str) -> None:
    browser.evaluate("document.getElementById('search').value = ''")
    browser.evaluate("document.getElementById('search').focus()")
    browser.type(text)


def view(browser: Browser) -> list[float]:
    found: list[float] = browser.evaluate(VIEW)
    return found


def place(browser: Browser, selector: str) -> tuple[float, float]:
    """The middle of an element on the screen."""
    x, y = browser.evaluate(
        f"(() => {{ const r = document.querySelector('{selector}').getBoundingClientRect();"
        "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    return x, y


def click(browser: Browser, selector: str) -> None:
    x, y = place(browser, selector)
    for kind in ("mousePressed", "mouseReleased"):
        browser.mouse(kind, x, y, button="left", clickCount=1)


def test_it_renders(browser: Browser, tmp_path: Path) -> None:
    """All boxes have a size, the texts are inside, and nothing is on the console."""
    opened(browser, tmp_path, graph(5))
    assert browser.evaluate("document.title") == "Networks of node1"
    assert browser.evaluate("document.querySelectorAll('.box').length") == 9
    sizes = browser.evaluate(
        "Array.from(document.querySelectorAll('.box > rect')).map(r => r.getBoundingClientRect())"
        ".every(r => r.width > 50 && r.height > 15)"
    )
    assert sizes
    outside = browser.evaluate(
        "Array.from(document.querySelectorAll('.box')).filter(box => {"
        "const frame = box.querySelector('rect').getBBox();"
        "return Array.from(box.querySelectorAll('text')).some(text => {"
        "const t = text.getBBox();"
        "return t.x < frame.x || t.x + t.width > frame.x + frame.width"
        " || t.y < frame.y || t.y + t.height > frame.y + frame.height; }); })"
        ".map(box => box.dataset.name)"
    )
    assert outside == []
    assert browser.said == []


def test_boxes_do_not_cover_each_other(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, graph(30))
    covered = browser.evaluate(
        "(() => { const all = Array.from(document.querySelectorAll('.box > rect'))"
        ".map(r => r.getBBox()); let n = 0;"
        "for (const a of all) for (const b of all) if (a !== b && a.x < b.x + b.width &&"
        " b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height) n++;"
        "return n; })()"
    )
    assert covered == 0


def test_search(browser: Browser, tmp_path: Path) -> None:
    """By any word of a box, several at once; what fits is told, shown and looked at."""
    opened(browser, tmp_path, graph(30))
    before = view(browser)
    search(browser, "10.1.0.17/")
    assert browser.evaluate(BRIGHT) == 1
    assert browser.evaluate("document.getElementById('count').textContent") == "1 of 34"
    assert browser.evaluate(ABOUT).startswith("c17\n10.1.0.17/16")
    assert view(browser) != before
    search(browser, "NET :10003/")
    assert browser.evaluate(ABOUT).startswith("c3\n")
    search(browser, "no such thing")
    assert browser.evaluate(BRIGHT) == 0
    browser.evaluate(
        "document.getElementById('search').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))"
    )
    assert browser.evaluate(BRIGHT) == 34
    assert browser.said == []


def test_zoom_and_move(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, graph(30))
    whole = view(browser)
    click(browser, "#closer")
    closer = view(browser)
    assert closer[2] == pytest.approx(whole[2] * 0.8)
    assert closer[2] / closer[3] == pytest.approx(whole[2] / whole[3])
    x, y = place(browser, "#view")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
    assert view(browser)[2] < closer[2]
    before = view(browser)
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x + 60, y + 30, button="left", buttons=1)
    browser.mouse("mouseReleased", x + 60, y + 30, button="left")
    after = view(browser)
    assert after[:2] != before[:2]
    assert after[2:] == before[2:]
    click(browser, "#farther")
    click(browser, "#whole")
    assert view(browser) == whole
    browser.evaluate("document.activeElement.blur()")
    browser.key("+")
    assert view(browser)[2] == pytest.approx(whole[2] * 0.8)
    browser.key("0")
    assert view(browser) == whole
    assert browser.said == []


def test_a_box_tells_all(browser: Browser, tmp_path: Path) -> None:
    """What has no room in it too: all peers of an overlay."""
    opened(browser, tmp_path, graph(3))
    click(browser, ".overlay rect")
    assert browser.evaluate(ABOUT).count("peer 192.0.2.") == 7
    assert browser.evaluate("document.querySelectorAll('.overlay text').length") == 6


def test_five_hundred_containers_stay_usable(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, graph(MANY))
    acts: list[tuple[str, Any]] = [
        ("search", lambda: search(browser, "10.1.1.99/")),
        ("zoom", lambda: click(browser, "#closer")),
        ("the whole", lambda: click(browser, "#whole")),
    ]
    for name, act in acts:
        start = time.monotonic()
        act()
        # Two frames: the page has been drawn with what the act changed.
        answer = browser.send(
            "Runtime.evaluate",
            expression=TWO_FRAMES,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer
        assert time.monotonic() - start < QUICK, name
    assert browser.evaluate(ABOUT).startswith("c349\n")
    assert browser.said == []


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    """Whatever a runtime calls its containers, none of it runs."""
    box = Box("container", HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,))
    drawn = Graph(HOSTILE, (), (Group(Box("device", HOSTILE, HOSTILE), (), (box,)),))
    opened(browser, tmp_path, drawn)
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    assert browser.evaluate("document.querySelector('.container').dataset.name") == HOSTILE
    click(browser, ".container rect")
    assert browser.evaluate(ABOUT) == "\n".join([HOSTILE] * 3)
    assert browser.said == []
