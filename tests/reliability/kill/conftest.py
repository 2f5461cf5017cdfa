"""A supervisor for each test, and the world of a chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.host import Host
from tests.kit.syscalls import Supervisor
from tests.reliability.kill.world import World


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
