"""One verb of one chain, killed at each of its system calls, and cleaned in each of three ways."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from typing import NamedTuple

from tests.kit.calls import PluginError
from tests.kit.syscalls import KILL_TREE, Outcome, Strike
from tests.reliability.kill.world import World

_HEAD_START = 0.3
"""Seconds that a DEL has before the orphan goes on; it ends in them if it does not wait for it."""
WAYS = ("DEL", "netns gone", "GC")
"""How it is cleaned: by DEL, by DEL when the namespace is gone, by GC with no valid attachment."""


class Row(NamedTuple):
    """What a chain's verb gave. dirty: after how many kills anything was there to be cleaned.

    left: for each way, what was left, each with its point.
    """

    name: str
    verb: str
    points: int
    tried: int
    dirty: int
    left: dict[str, list[str]]

    def cells(self) -> list[object]:
        """For the table."""
        counts = [len(self.left[way]) for way in WAYS]
        return [self.name, self.verb, self.points, self.tried, self.dirty, *counts]


def sample(points: int, most: int | None) -> list[int]:
    """`most` numbers of 1 to `points`, evenly apart; all of them for None."""
    if most is None or most >= points:
        return list(range(1, points + 1))
    return [1 + points * (2 * n + 1) // (2 * most) for n in range(most)]


def points_of(world: World, verb: str) -> Outcome:
    """The verb without a strike, and all cleaned after it."""
    reach(world, verb)
    outcome = world.strike(verb)
    assert outcome.status == 0, outcome.stdout
    if verb == "ADD":
        world.added(outcome.stdout)
        world.check()
    world.delete()
    left = world.left()
    assert not left, "\n".join(left)
    return outcome


def reach(world: World, verb: str) -> None:
    """What is there before the verb is called."""
    if verb == "ADD":
        world.prepare()
    else:
        world.add()


def killed(world: World, verb: str, most: int | None = None, strike: Strike = KILL_TREE) -> Row:
    """The row of a verb; `most` points of it."""
    if most is None:
        points_of(world, verb)  # after which caches are filled
    outcome = points_of(world, verb)
    names = outcome.calls
    left: dict[str, list[str]] = {way: [] for way in WAYS}
    dirty = 0
    chosen = sample(len(names), most)
    for at in chosen:
        for way in WAYS:
            reach(world, verb)
            before = world.state()
            struck = world.strike(verb, at, strike)
            if not struck.struck and struck.status:  # it may have needed fewer calls this time
                left[way].append(f"{verb} failed without a strike: {struck.stdout!r}")
            if way == WAYS[0]:
                dirty += (world.left(before) if verb == "ADD" else world.left()) != []
            found = _clean(world, way)
            if found:
                left[way].append(f"{way} after {verb} killed at {at} ({names[at - 1]}): {found}")
                reset(world)
    return Row(world.chain.name, verb, len(names), len(chosen), dirty, left)


def first(world: World, most: int | None) -> tuple[int, int, list[str]]:
    """Kills the first ADD of a host, which makes what attachments share; DEL, and one more ADD.

    How many points there are, how many were tried, what was then not as after any other DEL.
    """
    world.strip()
    world.prepare()
    outcome = world.strike("ADD")
    world.added(outcome.stdout)
    world.delete()
    found = world.left()
    assert not found, "\n".join(found)
    left: list[str] = []
    chosen = sample(len(outcome.points), most)
    for at in chosen:
        world.strip()
        world.prepare()
        world.strike("ADD", at, KILL_TREE)
        try:
            world.delete()
            world.add()
            world.check()
            world.delete()
            found = world.left()
        except (PluginError, AssertionError) as error:
            found = [f"it failed: {error}"]
        if found:
            left.append(f"first ADD killed at {at} ({outcome.calls[at - 1]}): {found}")
            reset(world)
    return len(outcome.points), len(chosen), left


def orphaned(world: World, verb: str, most: int | None) -> list[str]:
    """What is left where the plugin is killed while a child of it stands at one of its calls.

    DEL starts before the child goes on. It may wait for the child, so it has a process of its own.
    """
    points = points_of(world, verb).points
    theirs = [one.number for one in points if one.pid != points[0].pid]
    assert theirs, "it has no children"
    left: list[str] = []
    for at in (theirs[number - 1] for number in sample(len(theirs), most)):
        reach(world, verb)
        with world.start(verb, at) as held:
            assert held.reached(), f"{verb} does not get to {at}"
            held.kill()
            cleaner = os.fork()
            if cleaner == 0:
                try:
                    world.delete()
                finally:
                    os._exit(0)
            end = os.pidfd_open(cleaner)
            select.select([end], [], [], _HEAD_START)
            held.release()
            os.waitpid(cleaner, 0)
            os.close(end)
        found = world.left_in_the_end()
        if found:
            left.append(f"the child went on at {at} ({points[at - 1].call}): {found}")
            reset(world)
    return left


def _clean(world: World, way: str) -> list[str]:
    """What is left when it has been cleaned."""
    try:
        if way == "DEL":
            world.delete()
            return world.left()
        if way == "netns gone":
            world.delete(world.vanish())
            world.furnish()
            return world.left_in_the_end()
        world.collect()
        found = [] if world.chain.inside else world.left_in_the_end(host_only=True)
        world.vanish()
        world.furnish()
        return found or world.left_in_the_end()
    except PluginError as error:
        return [f"it failed: {error}"]


def reset(world: World) -> None:
    """Clean up as an administrator would, that the next point starts from the same."""
    try:
        world.delete()
    except PluginError:
        pass
    world.vanish()
    world.furnish()
    world.left_in_the_end()
    world.before = world.state()


def failures(rows: Iterable[Row]) -> list[str]:
    """All that was left."""
    return [one for row in rows for way in WAYS for one in row.left[way]]
