"""Who holds which address: the directory and its index as one, for the holder of the lock.

Every answer is as true as reading all files would be. Where the index is not of this moment, or
what it says does not agree with a file, the directory is read once and a new index made. No index
is of this moment after a reboot: so the first call after one reads all files, and releases what
earlier boots have left.
"""

from __future__ import annotations

import os
import time
import zlib

from cni_host_local import boot
from cni_host_local.index import new_index, open_index
from cni_host_local.shards import BrokenIndexError
from cni_host_local.store import content_of, name_of, read_content, split_holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from cni.call import Attachment
    from cni.ranges import Span
    from cni_host_local.store import Store

    Keep: TypeAlias = Callable[[bytes, bytes], bool]
    """Whether a reservation stays: asked with the container's id and the interface."""

_SCAN_SHARE = 100
"""Reading all may take one part in so many of the time, where it is only to make sure."""


class Ledger:
    """The reservations in a directory whose lock is held.

    Addresses are numbers (`store.wide`). Call `save` after the last change. Raises OSError.
    removed: how many files scans have removed. problems: those they could not read or remove.
    """

    def __init__(self, store: Store, *, release: bool, keep: Keep | None = None) -> None:
        """release: whether a scan releases what earlier boots have left. keep: read every file, and
        remove those for which it is false and no others.
        """
        self._store = store
        self._release = release
        self._changed = False
        self.removed = 0
        self.problems: list[OSError] = []
        index = open_index(store.path, store.fd) if keep is None else None
        if index is None:
            self.rescan(keep)
        else:
            self._index = index

    # ---- questions -----------------------------------------------------------------------------

    def held_by(self, owner: Attachment) -> list[int]:
        """The attachment's addresses; where it has none, its container's in the older format.

        The reference goes the same two steps.
        """
        found = self._try_held_by(owner)
        if found is None:
            self.rescan()
            found = self._try_held_by(owner)
        return found or []

    def _try_held_by(self, owner: Attachment) -> list[int] | None:
        """None where the index and the files disagree."""
        content = content_of(owner)
        container_id, ifname = owner.container_id.encode(), owner.ifname.encode()
        exact: list[int] = []
        older: list[int] = []
        try:
            candidates = self._index.candidates(container_id)
        except BrokenIndexError:
            return None
        for address in candidates:
            found = self._store.read(name_of(address))
            if found is None:
                return None
            holder = split_holder(found)
            if holder == (container_id, ifname):
                exact.append(address)
            elif holder == (container_id, b""):
                older.append(address)
            elif content.startswith(found.strip(b"\0\r\n")):
                exact.append(address)  # cut short in place, where the index still knew whose it was
            elif holder is None or zlib.crc32(holder[0]) != zlib.crc32(container_id):
                return None
        return exact or older

    def release_earlier(self, owner: Attachment) -> None:
        """Release what the attachment itself holds from before the last boot.

        It is being made anew, so a namespace of the old one's name proves nothing.
        """
        for address in self.held_by(owner) if self._release else ():
            if self._store.is_of_earlier_boot(name_of(address)):
                self._store.remove(name_of(address))
                self.discard(address, owner)

    def next_free(self, spans: list[Span]) -> int | None:
        """The first free address in the spans."""
        try:
            return self._next_free(spans)
        except BrokenIndexError:
            self.rescan()
            return self._next_free(spans)

    def _next_free(self, spans: list[Span]) -> int | None:
        for low, high in spans:
            found = self._index.next_free(low, high)
            if found is not None:
                return found
        return None

    def worth_a_scan(self) -> bool:
        """Whether the last scan is long enough ago to look for what was freed unseen."""
        when, seconds = self._index.scanned
        return time.monotonic() - when > seconds * _SCAN_SHARE

    # ---- changes -------------------------------------------------------------------------------

    def add(self, address: int, owner: Attachment) -> None:
        """Note that the address' file has been made."""
        self._change(self._index.add, address, owner)

    def discard(self, address: int, owner: Attachment) -> None:
        """Note that the address' file has been removed."""
        self._change(self._index.discard, address, owner)

    def _change(
        self, change: Callable[[int, bytes], None], address: int, owner: Attachment
    ) -> None:
        self._changed = True
        try:
            change(address, owner.container_id.encode())
        except BrokenIndexError:
            self.rescan()  # which sees the change: the file was first

    def save(self) -> None:
        """Write the index, if anything changed."""
        if self._changed:
            self._index.save(self._store.fd)

    def rescan(self, keep: Keep | None = None) -> None:
        """Read every file, remove those that are torn or not to be kept, make a new index."""
        self._changed = True
        self._index = new_index(self._store.path, self._store.fd)
        self._index.fill(self._scan(keep))
        if keep is not None:
            self._index.scanned = (0.0, self._index.scanned[1])  # it released nothing of itself

    def _scan(self, keep: Keep | None) -> Iterator[tuple[int, bytes | None]]:
        store = self._store
        for name, address in store.addresses():
            holder: tuple[bytes, bytes] | None = None
            try:
                fd = store.open(name)
                if fd is None:
                    continue
                try:
                    holder = split_holder(read_content(fd))
                    stays = holder is not None and self._stays(fd, holder, keep)
                finally:
                    os.close(fd)
                if not stays:
                    store.remove(name)
                    self.removed += 1
                    continue
            except IsADirectoryError:
                pass  # no reservation, but in the way of one
            except OSError as error:
                # It cannot be read or removed: the address is taken, whoever holds it.
                error.filename = f"{store.path}/{name}"
                self.problems.append(error)
            yield address, holder[0] if holder else None

    def _stays(self, fd: int, holder: tuple[bytes, bytes], keep: Keep | None) -> bool:
        """Whether the reservation open at `fd` is kept by a scan."""
        mark = boot.mark_of(fd)
        if not mark and holder[1]:
            # The reference's, in its present format: there by now, so of this boot or before.
            # What somebody put there by hand looks otherwise, and is nobody's to release.
            boot.mark(fd)
        if keep is not None:
            return keep(*holder)
        gone = self._release and boot.is_earlier(mark)
        return not gone or boot.is_alive(self._store, *holder)
