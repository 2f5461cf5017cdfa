"""A supervisor for each test, the world of a chain, and the rows of the tables.

The whole matrix runs in several processes (pytest-xdist), so that rows go to files, and the process
that started the others makes the tables of them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit import tables
from tests.kit.host import Host
from tests.kit.syscalls import Supervisor
from tests.reliability.kill.world import World

_ROWS = "PYCNI_KILL_ROWS"
_HEADINGS = {
    "killed": (
        *("plugin", "verb", "system calls", "killed at", "left before DEL", "left after DEL"),
        *("netns gone, then DEL", "GC instead of DEL"),
    ),
    "first": ("plugin", "system calls", "killed at", "left after DEL, ADD and DEL"),
    "failed": (
        *("plugin", "verb", "fault", "tried", "the verb failed", "ended by libnftables"),
        "not as promised",
    ),
    "warm": (
        "plugin",
        "verb",
        "system calls",
        "killed at",
        "error 11",
        "left before DEL",
        "left after DEL",
    ),
}


def pytest_configure(config: pytest.Config) -> None:
    """Give the processes a directory for their rows."""
    if config.getoption("--whole") and not hasattr(config, "workerinput"):
        os.environ[_ROWS] = tempfile.mkdtemp(prefix="pycni-kill-")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Print the tables, and put them into the document if that was asked for."""
    directory = os.environ.get(_ROWS, "")
    if not directory or hasattr(session.config, "workerinput"):
        return
    del os.environ[_ROWS]
    for name, headings in _HEADINGS.items():
        found = sorted(Path(directory).glob(f"{name}.*"))
        rows = [json.loads(one.read_text()) for one in found]
        rows.sort(key=lambda row: (str(row[0]), str(row[1])))
        text = tables.markdown(headings, rows)
        print(f"\n{name}\n{text}")  # noqa: T201 for the reader of the run
        if rows and session.config.getoption("--tables"):
            tables.put(tables.DOCUMENT, name, text)
    shutil.rmtree(directory)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str, list[object]], None]:
    """record(table, row): a row of the whole matrix."""

    def record(table: str, row: list[object]) -> None:
        if directory := os.environ.get(_ROWS):
            name = "".join(c if c.isalnum() else "-" for c in request.node.name)
            Path(directory, f"{table}.{name}").write_text(json.dumps(row))

    return record


@pytest.fixture
def most(request: pytest.FixtureRequest, whole: bool) -> int | None:
    """How many points of a verb are tried, evenly apart; None for each.

    Of the whole matrix POINTS in the environment says it, for who has no half hour.
    """
    sample: int = request.module.SAMPLE
    return (int(os.environ.get("POINTS", "0")) or None) if whole else sample


@pytest.fixture
def supervisor(_leak_check: None) -> Iterator[Supervisor]:
    with Supervisor() as made:
        yield made


@pytest.fixture
def world(host: Host, tmp_path: Path, supervisor: Supervisor) -> Iterator[Callable[[str], World]]:
    """world(name of a chain): its host, furnished."""
    made: list[World] = []

    def make(name: str) -> World:
        made.append(World(host, tmp_path, supervisor, name))
        return made[-1]

    yield make
    for one in made:
        one.close()
