"""Promise 3: cut between any two system calls, and nothing that was told is lost.

`make test` cuts at a few points of each file system, `make test-power` at every one, or at every
fourth of the large ones. All is seeded.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.host_local import faults
from tests.host_local.network import remove_indexes
from tests.kit.calls import Runtime
from tests.kit.namespace import MNT_DETACH, Namespace, libc, mount
from tests.kit.tables import Publish
from tests.reliability.power import found
from tests.reliability.power.disk import FILE_SYSTEMS, Disk, FileSystem
from tests.reliability.power.stream import Stream, Told

CALLS = 24
POINTS = 4  # of a file system in the sample
AT_ONCE = 100  # copies of disks, which are in memory
WRITE_BACK = 0.02
"""How often the kernel writes everything back of itself, before an operation."""
SEED = 20261124

_rows: list[tuple[object, ...]] = []


class Cutter:
    """Counts the operations on files; at the chosen ones, keeps the disk and what was told."""

    def __init__(self, disk: Disk, stream: Stream, directory: Path, dice: random.Random) -> None:
        self._disk = disk
        self._stream = stream
        self._directory = directory
        self._dice = dice
        self._busy = False
        self.seen = 0
        self.cuts: list[tuple[int, Disk, Told]] = []

    def run(self, points: list[int]) -> None:
        """Run the stream from an empty disk, cut before each of these operations."""
        wanted = set(points)

        def before(_: int) -> None:
            if self._busy:
                return
            self._busy = True  # what follows uses the watched functions itself
            try:
                if self._dice.random() < WRITE_BACK:
                    self._disk.write_back()
                if self.seen in wanted:
                    image = self._directory / f"cut{self.seen}"
                    cut = self._disk.cut(image), self._stream.told.copy()
                    self.cuts.append((self.seen, *cut))
            finally:
                self._busy = False
            self.seen += 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faults, "OPERATIONS", (*faults.OPERATIONS, "rename", "setxattr"))
            faults.watch(patch, before)
            self._stream.run(CALLS, random.Random(SEED))
        remove_indexes(self._stream.name)


class World(NamedTuple):
    """Where the disks are made, and who uses them."""

    place: Path
    runtime: Runtime
    netns: Namespace

    def stream(self, disk: Disk) -> Stream:
        return Stream(self.runtime, lambda _: self.netns, disk.where)

    def run(self, system: FileSystem, points: list[int], seed: int) -> Cutter:
        """The stream on an empty disk, cut before each of these operations."""
        disk = Disk(system, self.place / "image", self.place / "disk")
        disk.make()
        try:
            cutter = Cutter(disk, self.stream(disk), self.place, random.Random(seed))
            cutter.run(points)
        finally:
            disk.unmount()
        return cutter

    def problems(self, disk: Disk, told: Told) -> list[str]:
        """What is wrong after this cut."""
        disk.boot()
        stream = self.stream(disk)
        try:
            return found.problems(stream, told) + found.use(stream, told)
        finally:
            remove_indexes(stream.name)
            disk.unmount()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Disks on a tmpfs, so that flushing them takes no time."""
    place = tmp_path / "place"
    place.mkdir()
    mount("none", place, "tmpfs")
    (place / "disk").mkdir()
    netns = Namespace(tmp_path / "netns")
    yield World(place, Runtime(tmp_path), netns)
    netns.close()
    libc("umount2", bytes(place), MNT_DETACH)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("system", FILE_SYSTEMS, ids=[one.name for one in FILE_SYSTEMS])
def test_every_cut(system: FileSystem, whole: bool, world: World, publish: Publish) -> None:
    if not os.path.exists("/dev/loop-control") or shutil.which(system.mkfs[0]) is None:
        pytest.skip(f"this machine cannot make a {system.name} of its own")
    operations = world.run(system, [], SEED).seen
    points = list(range(0, operations, system.every))
    if not whole:
        points = random.Random(SEED).sample(points[: len(points) * 3 // 4], POINTS)
    wrong: dict[int, list[str]] = {}
    for start in range(0, len(points), AT_ONCE):
        these = points[start : start + AT_ONCE]
        for point, disk, told in world.run(system, these, SEED + start).cuts:
            wrong[point] = world.problems(disk, told)
            disk.image.unlink()
    # The last operations of one run need not be there in the next, which scans more or less.
    assert len(wrong) >= len(points) * 0.8
    bad = {point: what for point, what in wrong.items() if what}
    kinds = [line.partition(":")[0] for what in bad.values() for line in what]
    _rows.append((system.name, CALLS, len(wrong), *map(kinds.count, found.KINDS)))
    publish("power-cuts", ("file system", "calls", "cuts", *found.KINDS), _rows)
    assert not bad, bad
