"""`make docs`: the site has every page, is built without a warning, and loads nothing from afar."""

from __future__ import annotations

import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages

NAMED = re.compile(r"^ +- .*: (\S+\.md)$", re.MULTILINE)
PYTHON = ROOT / ".venv-docs" / "bin" / "python"


def nav() -> list[str]:
    """The pages that the nav names. By their form: nothing here reads YAML."""
    return NAMED.findall((ROOT / "mkdocs.yml").read_text().split("\nnav:\n", 1)[1])


def test_the_nav_names_every_page_once() -> None:
    assert sorted(nav()) == sorted(map(str, pages())), "mkdocs.yml: nav"


class Loading(HTMLParser):
    """What a browser would fetch by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("src", "srcset", "href" if tag == "link" else "poster"):
            self.found.add(given.get(name) or "")


def test_the_site(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if request.config.getoption("--whole"):
        subprocess.run([ROOT / "packaging" / "prepare", "docs"], check=True)
    if not PYTHON.exists():
        pytest.skip("no .venv-docs: `make docs` makes it, or --whole")
    site = tmp_path / "site"
    built = subprocess.run(
        [PYTHON, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", site],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    for page in nav():
        path = Path(page)
        html = site / path.parent / ("index" if path.stem == "README" else path.stem)
        text = html.with_name(html.name + ".html").read_text()
        loading = Loading()
        loading.feed(text)
        assert not [one for one in loading.found if re.match(r"(https?:)?//", one)], page
