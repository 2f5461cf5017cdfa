"""A disk whose power can be cut: what it holds at a moment is copied, and nothing else survives.

A file system in a file, mounted by a loop device. What the file system has in memory is not in the
file; what it has written is. So a copy of the file, taken between two system calls of the only
process at work, is exactly what a disk holds that loses its power then. Unlike ext4's shutdown
ioctl this works with every file system, and the stream of calls goes on, to be cut again.

The file is on a tmpfs, where flushing costs nothing, and small, so that a copy takes milliseconds.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kit.namespace import libc

_MIB = 1 << 20
_FIXED = 1  # e2fsck(8): errors were corrected, as they are at every boot


@dataclass(frozen=True)
class FileSystem:
    """How one is made, and how the next boot mends it. every: each of so many points is cut at."""

    name: str
    kind: str
    mkfs: tuple[str, ...]
    size: int
    fsck: tuple[str, ...] = ()
    every: int = 1

    def make(self, image: Path) -> None:
        with image.open("wb") as file:
            file.truncate(self.size)
        subprocess.run([*self.mkfs, image], check=True, capture_output=True)

    def mend(self, image: Path) -> None:
        """What a machine does at boot before it mounts it."""
        if self.fsck:
            done = subprocess.run([*self.fsck, image], check=False, capture_output=True, text=True)
            assert done.returncode <= _FIXED, done.stdout


_E2FSCK = ("e2fsck", "-f", "-y")
# Each inode in a block of its own: one is not written because its neighbour is.
_MKE2FS = ("mke2fs", "-q", "-F", "-b", "1024", "-I", "1024")
FILE_SYSTEMS = (
    FileSystem("ext4", "ext4", (*_MKE2FS, "-t", "ext4"), 4 * _MIB),
    FileSystem(
        "ext4 without journal",
        "ext4",
        (*_MKE2FS, "-t", "ext4", "-O", "^has_journal"),
        2 * _MIB,
        _E2FSCK,
    ),
    FileSystem("ext2", "ext2", (*_MKE2FS, "-t", "ext2"), 2 * _MIB, _E2FSCK),
    FileSystem("btrfs", "btrfs", ("mkfs.btrfs", "-q"), 128 * _MIB, every=4),
    FileSystem("xfs", "xfs", ("mkfs.xfs", "-q"), 300 * _MIB, every=4),
)


class Disk:
    """A file system, mounted at `where` from `image`."""

    def __init__(self, system: FileSystem, image: Path, where: Path) -> None:
        self.system = system
        self.image = image
        self.where = where

    def make(self) -> None:
        self.system.make(self.image)
        self.mount()

    def mount(self) -> None:
        kind = self.system.kind
        subprocess.run(["mount", "-t", kind, "-o", "loop", self.image, self.where], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.where], check=True)

    def write_back(self) -> None:
        """Everything so far goes to the disk, as the kernel also does of itself now and then."""
        fd = os.open(self.where, os.O_RDONLY)
        try:
            libc("syncfs", fd)
        finally:
            os.close(fd)

    def cut(self, into: Path) -> Disk:
        """The disk as it would be found if the power failed now, not mounted."""
        size = os.stat(self.image).st_size
        with self.image.open("rb", buffering=0) as file, into.open("wb", buffering=0) as copy:
            copy.truncate(size)
            end = 0
            while (start := _seek(file.fileno(), end, os.SEEK_DATA)) >= 0:
                end = _seek(file.fileno(), start, os.SEEK_HOLE)
                os.lseek(copy.fileno(), start, os.SEEK_SET)
                os.sendfile(copy.fileno(), file.fileno(), start, end - start)
        return Disk(self.system, into, self.where)

    def boot(self) -> None:
        """Mend and mount it, as the machine does when the power is back."""
        self.system.mend(self.image)
        self.mount()


def _seek(fd: int, at: int, what: int) -> int:
    """The next data or hole; -1 where there is no data any more."""
    try:
        return os.lseek(fd, at, what)
    except OSError:
        return -1
