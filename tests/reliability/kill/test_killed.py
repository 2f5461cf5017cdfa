"""SIGKILL for a plugin at each of its system calls, then DEL or GC: nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reliability.kill import matrix
from tests.reliability.kill.chains import NAMES
from tests.reliability.kill.world import World

import os

SAMPLE = int(os.environ.get("SAMPLE", "3"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", NAMES)
def test_killed_anywhere_and_cleaned(
    name: str, verb: str, world: Callable[[str], World], whole: bool
) -> None:
    row = matrix.killed(world(name), verb, None if whole else SAMPLE)
    print(row.cells())  # noqa: T201
    found = matrix.failures([row])
    assert not found, "\n".join(found)
