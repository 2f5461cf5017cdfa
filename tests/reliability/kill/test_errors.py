"""Every system call of ADD and DEL fails in turn, or SIGTERM comes with it: all or nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.kit.syscalls import Point, Send, Strike
from tests.reliability.kill import errors
from tests.reliability.kill.chains import NAMES
from tests.reliability.kill.test_killed import BY_CHILDREN
from tests.reliability.kill.world import World

SAMPLE = 1
STRIKES = {
    "errno": errors.failing,
    "EMFILE": errors.no_descriptors,
    "SIGTERM": errors.terminated,
}
SAMPLED = ("bridge, nftables", "bridge, iptables", "portmap, nftables", "host-local")
"""The chains that `make test` tries."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", NAMES)
def test_all_or_nothing(
    name: str,
    verb: str,
    strike: str,
    *,
    world: Callable[[str], World],
    whole: bool,
    most: int | None,
    record: Callable[[str, list[object]], None],
) -> None:
    if not whole and (name not in SAMPLED or (strike != "errno" and verb == "DEL")):
        pytest.skip("the sample has others")
    row = errors.struck(world(name), verb, STRIKES[strike], most)
    record("failed", [name, verb, strike, row.tried, row.failed, row.ended, len(row.wrong)])
    assert not row.wrong, "\n".join(row.wrong)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", BY_CHILDREN)
def test_a_killed_child_is_an_error_like_others(
    name: str,
    verb: str,
    *,
    world: Callable[[str], World],
    whole: bool,
    most: int | None,
    record: Callable[[str, list[object]], None],
) -> None:
    if not whole and name not in SAMPLED:
        pytest.skip("the sample has others")
    row = errors.without_children(world(name), verb, most)
    record("failed", [name, verb, "child killed", row.tried, row.failed, row.ended, len(row.wrong)])
    assert row.tried
    assert not row.wrong, "\n".join(row.wrong)


def test_a_signal_when_a_file_gets_its_name(world: Callable[[str], World]) -> None:
    """It comes when the file is there; tuning's, which is made by more than one call."""

    def at_the_rename(point: Point) -> Strike | None:
        return Send(signal.SIGTERM) if point.call == "rename" else None

    row = errors.struck(world("tuning"), "ADD", at_the_rename)
    assert (row.tried, row.failed, row.wrong) == (1, 1, [])
