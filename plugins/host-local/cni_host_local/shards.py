"""The index's files: small ones of which a call reads few, each with a checksum.

And the proof that an index is of today: the mark that `mark` sets on the directory, which no one
else's change leaves in place. See `index` for what it all is for.
"""

from __future__ import annotations

import os
import time
import zlib

from cni_host_local.boot import boot_id


class BrokenIndexError(Exception):
    """A file of the index is missing or damaged: somebody meddled with it. Build it anew."""


class Shards:
    """The files of one kind, `KIND.0` and on. Read when they are asked for, written by `write`."""

    def __init__(self, directory: str, kind: str, present: int = 0) -> None:
        self._prefix = f"{directory}/{kind}."
        self._contents: dict[int, bytes] = {}
        self.changed: set[int] = set()
        self.present = present
        """A bit for each file that exists: one that is missing is no empty one."""

    def get(self, number: int) -> bytes:
        """A file's content, empty where there is none. Raises BrokenIndexError."""
        content = self._contents.get(number)
        if content is None:
            content = b""
            if self.present >> number & 1:
                content = read_checked(f"{self._prefix}{number:x}")
            self._contents[number] = content
        return content

    def put(self, number: int, content: bytes) -> None:
        self._contents[number] = content
        self.changed.add(number)

    def write(self) -> None:
        """Write what changed. Raises OSError."""
        for number in self.changed:
            path = f"{self._prefix}{number:x}"
            content = self._contents[number]
            if content:
                write_checked(path, content)
                self.present |= 1 << number
            else:
                remove(path)
                self.present &= ~(1 << number)
        self.changed.clear()


def read_checked(path: str) -> bytes:
    """What `write_checked` wrote. Raises BrokenIndexError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
    except OSError as error:
        raise BrokenIndexError from error
    content = data[4:]
    if len(data) < 4 or int.from_bytes(data[:4], "big") != zlib.crc32(content):
        raise BrokenIndexError
    return content


def write_checked(path: str, content: bytes) -> None:
    """Write a file anew, in place: its directory's lock is held, and a torn one is found out."""
    data = zlib.crc32(content).to_bytes(4, "big") + content
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.ftruncate(fd, os.write(fd, data))
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove a file, if it is there. Raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def state_of(status: os.stat_result) -> str:
    """Which directory it is, in which state, since which boot. Raises OSError."""
    return (
        f"{boot_id()} {status.st_dev} {status.st_ino} {status.st_nlink} "
        f"{status.st_mtime_ns} {status.st_ctime_ns}"
    )


def mark(fd: int) -> str:
    """Set a directory's modification time to now, to the nanosecond; gives its state.

    The kernel's own stamps are those of its last tick, or finer and later than now, so none is
    the same. Empty where the file system keeps no nanoseconds: two states could look alike there.
    """
    now = time.time_ns()
    os.utime(fd, ns=(now, now))
    status = os.fstat(fd)
    return state_of(status) if status.st_mtime_ns == now else ""
