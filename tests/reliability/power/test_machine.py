"""Promises 3 and 4 for a whole machine: User-Mode-Linux is killed in the middle of its work.

The machine is an ordinary process with a disk in a file. SIGKILL takes all that its kernel has in
memory, and leaves in the file what it has written. Then it boots from that disk again: a true
reboot, with a boot id of its own and without namespaces, links and /run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host_local.network import remove_indexes
from tests.kit.calls import Runtime
from tests.kit.namespace import MNT_DETACH, Namespace, libc, mount
from tests.kit.tables import Publish
from tests.reliability.power import found
from tests.reliability.power.disk import FILE_SYSTEMS, Disk, FileSystem
from tests.reliability.power.machine import read_told
from tests.reliability.power.stream import Stream, Told

KERNEL = "linux.uml"
INIT = Path(__file__).with_name("init.sh")
SEED = 20261124
CUTS = 12  # of each file system, one after the other on one disk
CUT_AFTER = (3, 40)  # lines that the machine has told
BY_NAME = {one.name: one for one in FILE_SYSTEMS}
MACHINES = [BY_NAME[name] for name in ("ext4", "xfs")]
"""The kernel of User-Mode-Linux (6.1) has these built in. Its ext2 keeps no extended attributes,
and its ext4 without journal does not write a file's inode when the file is synced, as 6.18 does.
"""

_rows: list[tuple[object, ...]] = []


class Machine:
    """The machine, from boot to cut."""

    def __init__(self, system: FileSystem, image: Path, told: Path, seed: int) -> None:
        self._process = subprocess.Popen(
            [
                KERNEL,
                "rootfstype=hostfs",
                "rootflags=/",
                "rw",
                f"init={INIT}",
                f"ubd0={image}",
                "mem=256M",
                "con=null",
                "con0=null,fd:1",
                "quiet",
                f"PYCNI_SEED={seed}",
                f"PYCNI_TOLD={told}",
                f"PYCNI_KIND={system.kind}",
                f"PYCNI_FSCK={'yes' if system.fsck else ''}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.said: list[str] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def lines(self) -> Iterator[tuple[str, Any]]:
        """The words and documents of what it says; AssertionError for anything else."""
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").strip()
            if not line:
                continue
            self.said.append(line)
            word, _, document = line.partition(" ")
            if word in ("boot", "found", "use", "told"):
                yield word, json.loads(document)
        raise AssertionError("\n".join(["the machine ended of itself:", *self.said[-60:]]))

    def cut(self) -> None:
        """The power fails: kernel, its helpers and everything in it, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs, for the disk."""
    where = tmp_path / "place"
    where.mkdir()
    mount("none", where, "tmpfs")
    (where / "disk").mkdir()
    yield where
    libc("umount2", bytes(where), MNT_DETACH)


def _cut_once(
    system: FileSystem, image: Path, before: Told | None, dice: random.Random
) -> tuple[str, Told, list[str]]:
    """Boot, let it look and go on, cut; its boot id, what it told, and what was wrong."""
    file = image.with_suffix(".told")
    file.write_text(json.dumps({**vars(before), "gone": sorted(before.gone)}) if before else "")
    after = dice.randint(*CUT_AFTER)
    boot, told, wrong = "", Told(), []
    with Machine(system, image, file, dice.randrange(1 << 30)) as machine:
        for word, document in machine.lines():
            if word == "boot":
                boot = document
            elif word == "told":
                told = read_told(document)
                after -= 1
                if not after:
                    break
            else:
                wrong += document
    return boot, told, wrong


@pytest.mark.timeout(110)
def test_a_cut_of_the_whole_machine(place: Path, tmp_path: Path) -> None:
    """One boot, one cut; the disk is then looked at by this kernel, which is another boot too."""
    system = BY_NAME["ext4"]
    dice = random.Random(SEED)
    image = place / "image"
    system.make(image)
    _, told, _ = _cut_once(system, image, None, dice)
    disk = Disk(system, image, place / "disk")
    netns = Namespace(tmp_path / "netns")
    disk.boot()
    try:
        stream = Stream(Runtime(tmp_path), lambda _: netns, disk.where)
        assert found.problems(stream, told) == []
        assert found.use(stream, told, rebooted=True) == []
    finally:
        remove_indexes("net")
        disk.unmount()
        netns.close()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("system", MACHINES, ids=[one.name for one in MACHINES])
def test_cut_after_cut(system: FileSystem, whole: bool, place: Path, publish: Publish) -> None:
    """On one disk, which each boot finds as the last cut has left it."""
    if not whole:
        pytest.skip("with --whole: it boots a machine for each cut")
    dice = random.Random(SEED)
    image = place / "image"
    system.make(image)
    told: Told | None = None
    boots: set[str] = set()
    wrong: list[str] = []
    for _ in range(CUTS + 1):
        boot, told, found_wrong = _cut_once(system, image, told, dice)
        boots.add(boot)
        wrong += found_wrong
    assert len(boots) == CUTS + 1
    kinds = [line.partition(":")[0] for line in wrong]
    _rows.append((system.name, CUTS, *map(kinds.count, found.KINDS)))
    publish("power-machine", ("file system", "cuts", *found.KINDS), _rows)
    assert not wrong, wrong
