"""SIGKILL for a plugin at each of its system calls, then DEL or GC: nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reliability.kill import matrix
from tests.reliability.kill.chains import NAMES
from tests.reliability.kill.world import World

SAMPLE = 1
BY_CHILDREN = (
    "bridge, iptables",
    "portmap, iptables",
    "firewall, iptables",
    "bridge, foreign IPAM",
)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", NAMES)
def test_killed_anywhere_and_cleaned(
    name: str,
    verb: str,
    world: Callable[[str], World],
    whole: bool,
    record: Callable[[str, list[object]], None],
) -> None:
    row = matrix.killed(world(name), verb, None if whole else SAMPLE)
    record("killed", row.cells())
    found = matrix.failures([row])
    assert not found, "\n".join(found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BY_CHILDREN)
def test_a_child_goes_on_when_the_plugin_is_killed(
    name: str, world: Callable[[str], World], whole: bool
) -> None:
    """DEL waits for it or comes after it, and what the child still writes is not left."""
    found = matrix.orphaned(world(name), "ADD", 20 if whole else SAMPLE)
    assert not found, "\n".join(found)
