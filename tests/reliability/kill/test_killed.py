"""SIGKILL for a plugin at each of its system calls, then DEL or GC: nothing is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reliability.kill import matrix
from tests.reliability.kill.chains import NAMES
from tests.reliability.kill.world import World

SAMPLE = 1
SHARING = (
    *("bridge, nftables", "bridge, iptables", "bridge, l2", "ptp", "vxlan, l3", "vxlan, l2"),
    *("portmap, nftables", "portmap, iptables", "firewall, nftables", "firewall, iptables"),
)
SAMPLED = ("bridge, nftables", "bridge, iptables", "vxlan, l2")
"""The chains of which `make test` kills a first ADD, and lets a child go on."""
BY_CHILDREN = (
    "bridge, iptables",
    "portmap, iptables",
    "firewall, iptables",
    "bridge, foreign IPAM",
)


def _skip_unless(tried: bool) -> None:
    if not tried:
        pytest.skip("the sample has others")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("name", NAMES)
def test_killed_anywhere_and_cleaned(
    name: str,
    verb: str,
    world: Callable[[str], World],
    most: int | None,
    record: Callable[[str, list[object]], None],
) -> None:
    row = matrix.killed(world(name), verb, most)
    record("killed", row.cells())
    found = matrix.failures([row])
    assert not found, "\n".join(found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BY_CHILDREN)
def test_a_child_goes_on_when_the_plugin_is_killed(
    name: str, world: Callable[[str], World], whole: bool, most: int | None
) -> None:
    """DEL waits for it or comes after it, and what the child still writes is not left."""
    _skip_unless(whole or name in SAMPLED)
    found = matrix.orphaned(world(name), "ADD", most)
    assert not found, "\n".join(found)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SHARING)
def test_the_first_add_of_a_host_is_killed(
    name: str,
    world: Callable[[str], World],
    whole: bool,
    most: int | None,
    record: Callable[[str, list[object]], None],
) -> None:
    """What attachments share may be half made then: the next ADD completes it."""
    _skip_unless(whole or name in SAMPLED)
    points, tried, found = matrix.first(world(name), most)
    record("first", [name, points, tried, len(found)])
    assert not found, "\n".join(found)
