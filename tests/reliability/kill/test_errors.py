"""Every system call of ADD and DEL fails in turn, or SIGTERM comes with it: all or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.reliability.kill import errors
from tests.reliability.kill.chains import NAMES
from tests.reliability.kill.world import World

SAMPLE = int(os.environ.get("SAMPLE", "3"))

STRIKES = {
    "errno": errors.failing,
    "EMFILE": errors.no_descriptors,
    "SIGTERM": errors.terminated,
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", NAMES)
def test_all_or_nothing(
    name: str, verb: str, strike: str, world: Callable[[str], World], whole: bool
) -> None:
    row = errors.struck(world(name), verb, STRIKES[strike], None if whole else SAMPLE)
    print(row[:4])  # noqa: T201
    assert not row.wrong, "\n".join(row.wrong)
