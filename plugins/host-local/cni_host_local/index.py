"""An index over an address directory, so that no call reads all of it: a cache, never the truth.

It lives in /run (a reboot makes it worthless, and removes it) in files of three kinds:

    stamp        of which directory, in which state, this is the index; which other files there are
    holders.XXX  for every container whose id's CRC-32 ends in XXX: that CRC-32 and an address
    used.XX      which addresses are taken: bitmaps of 65,536 addresses each

The state of a directory is told by its modification time. After each change of ours `save` sets
that to the present nanosecond and remembers it; whoever else makes or removes a file, with the
lock or without, has the kernel set it to another one, and a writer that was killed leaves another
one too. So one fstat() proves that the directory holds the names that the index knows. It does not
prove what is in the files: what the index says is checked against the file before it is used.
"""

from __future__ import annotations

import os
import time
import zlib
from _struct import (
    Struct,
)  # `struct` itself is one more file to find and load, and only passes it on

from cni_host_local.shards import (
    BrokenIndexError,
    Shards,
    mark,
    read_checked,
    remove,
    state_of,
    write_checked,
)
from hostnet import directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = "/run/cni/ipam-index"
_FORMAT = "pycni-ipam-index-1"

FEW = 4
"""So many addresses are read as fast as an index of them, so there is none."""

_HOLDER_FILES = 1024  # with 60,000 addresses held, about 60 entries each
_ENTRY = Struct("!I16s")
_USED_FILES = 256
_PAGE = Struct("!14sHH")
"""A page's number, its first byte that is not zero, how many bytes follow."""
_PAGE_BITS = 16
_PAGE_MASK = (1 << _PAGE_BITS) - 1


class Index:
    """Which addresses of a directory are taken, and which of them may be a container's.

    Addresses are numbers unique over both families (`store.wide`). Nothing is written before
    `save`. Methods raise BrokenIndexError. held: how many addresses are taken. scanned: when all of
    the directory was last read (time.monotonic) and how long that took, in seconds.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._holders = Shards(directory, "holders")
        self._used = Shards(directory, "used")
        self._pages: dict[int, dict[int, int]] = {}
        self._new = True
        self.held = 0
        self.scanned = (0.0, 0.0)

    # ---- questions -----------------------------------------------------------------------------

    def candidates(self, container_id: bytes) -> list[int]:
        """The container's addresses, in rare cases also of one whose id has the same CRC-32."""
        key = zlib.crc32(container_id)
        return [
            int.from_bytes(address, "big")
            for found, address in _ENTRY.iter_unpack(self._holders.get(key % _HOLDER_FILES))
            if found == key
        ]

    def next_free(self, low: int, high: int) -> int | None:
        """The first address from `low` to `high` that is not taken."""
        while low <= high:
            taken = self._page(low >> _PAGE_BITS) >> (low & _PAGE_MASK)
            # The lowest zero bit. One beyond the page's end only says that the page is full.
            found = low + (~taken & (taken + 1)).bit_length() - 1
            last = low | _PAGE_MASK
            if found <= last:
                return found if found <= high else None
            low = last + 1
        return None

    # ---- changes -------------------------------------------------------------------------------

    def add(self, address: int, container_id: bytes) -> None:
        """The address is taken by the container."""
        self._take(address >> _PAGE_BITS, 1 << (address & _PAGE_MASK))
        key = zlib.crc32(container_id)
        number = key % _HOLDER_FILES
        entry = _ENTRY.pack(key, address.to_bytes(16, "big"))
        self._holders.put(number, self._holders.get(number) + entry)

    def discard(self, address: int, container_id: bytes) -> None:
        """The container's address is free."""
        page, bit = address >> _PAGE_BITS, 1 << (address & _PAGE_MASK)
        taken = self._page(page)
        if taken & bit:
            self._set_page(page, taken & ~bit)
            self.held -= 1
        key = zlib.crc32(container_id)
        number = key % _HOLDER_FILES
        entry = _ENTRY.pack(key, address.to_bytes(16, "big"))
        entries = self._holders.get(number)
        pieces = (entries[at : at + len(entry)] for at in range(0, len(entries), len(entry)))
        self._holders.put(number, b"".join(piece for piece in pieces if piece != entry))

    def fill(self, entries: Iterable[tuple[int, bytes | None]]) -> None:
        """Take many addresses into an empty index; None where nobody knows by which container."""
        start = time.monotonic()
        lows: dict[int, list[int]] = {}
        holders: dict[int, list[bytes]] = {}
        for address, container_id in entries:
            lows.setdefault(address >> _PAGE_BITS, []).append(address & _PAGE_MASK)
            if container_id is not None:
                key = zlib.crc32(container_id)
                entry = _ENTRY.pack(key, address.to_bytes(16, "big"))
                holders.setdefault(key % _HOLDER_FILES, []).append(entry)
        for page, numbers in lows.items():
            bitmap = bytearray(max(numbers) // 8 + 1)
            for low in numbers:
                bitmap[low >> 3] |= 1 << (low & 7)
            self._take(page, int.from_bytes(bitmap, "little"))
        for number, pieces in holders.items():
            self._holders.put(number, b"".join(pieces))
        now = time.monotonic()
        self.scanned = (now, now - start)

    # ---- bitmaps -------------------------------------------------------------------------------

    def _take(self, page: int, bits: int) -> None:
        before = self._page(page)
        self._set_page(page, before | bits)
        self.held += (bits & ~before).bit_count()

    def _page(self, page: int) -> int:
        return self._pages_beside(page).get(page, 0)

    def _set_page(self, page: int, taken: int) -> None:
        pages = self._pages_beside(page)
        pages[page] = taken
        self._used.put(_used_file(page), b"")  # `save` packs it: one page may be set many times

    def _pages_beside(self, page: int) -> dict[int, int]:
        """The pages of the file that holds this one."""
        number = _used_file(page)
        pages = self._pages.get(number)
        if pages is None:
            pages = self._pages[number] = dict(_unpack(self._used.get(number)))
        return pages

    # ---- files ---------------------------------------------------------------------------------

    def save(self, fd: int) -> None:
        """Write what changed, and mark the directory open at `fd` as one in this state.

        Call it with the directory's lock held. It never fails: without an index the next call
        reads the directory.
        """
        try:
            state = ""
            if self.held > FEW:
                if self._new:
                    self._clear()
                    self._new = False
                state = self._write(fd)
        except OSError:
            state = ""
        if not state:
            self.remove()

    def _write(self, fd: int) -> str:
        for number in self._used.changed:
            self._used.put(number, b"".join(_pack(self._pages[number])))
        self._used.write()
        self._holders.write()
        state = mark(fd)
        if state:
            words = (
                f"{self.held} {self._holders.present:x} {self._used.present:x} "
                f"{self.scanned[0]:.6f} {self.scanned[1]:.6f}"
            )
            write_checked(f"{self._directory}/stamp", f"{_FORMAT} {state}\n{words}\n".encode())
        return state

    def read_stamp(self, state: str) -> bool:
        """Go on with the index on the disk, if it is that of a directory in this state."""
        try:
            header, words, _ = read_checked(f"{self._directory}/stamp").decode().split("\n")
            if header != f"{_FORMAT} {state}":
                return False
            held, holders, used, when, seconds = words.split(" ")
        except (BrokenIndexError, ValueError):
            return False
        self.held = int(held)
        self._holders.present = int(holders, 16)
        self._used.present = int(used, 16)
        self.scanned = (float(when), float(seconds))
        self._new = False
        return True

    def _clear(self) -> None:
        if os.path.isdir(self._directory):
            self._empty()
        else:
            directory.make(self._directory, 0o700)

    def _empty(self) -> None:
        remove(f"{self._directory}/stamp")
        for name in os.listdir(self._directory):
            remove(f"{self._directory}/{name}")

    def remove(self) -> None:
        """Remove it from the disk, and its directories where nothing else is in them."""
        try:
            self._empty()
            os.rmdir(self._directory)
            os.rmdir(ROOT)
        except OSError:
            pass


def _used_file(page: int) -> int:
    return zlib.crc32(page.to_bytes(14, "big")) % _USED_FILES


def _pack(pages: dict[int, int]) -> Iterator[bytes]:
    for page, taken in pages.items():
        if taken:
            zeros = ((taken & -taken).bit_length() - 1) // 8
            bitmap = (taken >> 8 * zeros).to_bytes((taken.bit_length() + 7) // 8 - zeros, "little")
            yield _PAGE.pack(page.to_bytes(14, "big"), zeros, len(bitmap)) + bitmap


def _unpack(content: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(content):
        page, zeros, length = _PAGE.unpack_from(content, at)
        at += _PAGE.size + length
        taken = int.from_bytes(content[at - length : at], "little")
        yield int.from_bytes(page, "big"), taken << 8 * zeros


def open_index(path: str, fd: int) -> Index | None:
    """The index of the directory at `path`, open at `fd`; None where there is none of today.

    Call it with the directory's lock held.
    """
    status = os.fstat(fd)
    index = _index_of(path, status)
    return index if index.read_stamp(state_of(status)) else None


def new_index(path: str, fd: int) -> Index:
    """An empty one, to `fill`; `save` puts it in the old one's place."""
    return _index_of(path, os.fstat(fd))


def _index_of(path: str, status: os.stat_result) -> Index:
    # By device and inode: two paths to one directory share an index, and its lock guards that.
    return Index(f"{ROOT}/{os.path.basename(path)}.{status.st_dev:x}.{status.st_ino:x}")
