"""What each worker is at, in memory that they and the daemon share: nobody has to be told."""

from __future__ import annotations

import mmap

IDLE, BUSY, AWAY = range(3)
"""A worker waits for a call; serves one, or has served its last; starts, or is not there at all."""


class Slots:
    """A byte for each worker, which it writes itself."""

    def __init__(self, size: int) -> None:
        self._bytes = mmap.mmap(-1, size)
        self._bytes[:] = bytes([AWAY]) * size
        self._free = list(range(size))

    def take(self) -> int:
        """The number of one for a new worker."""
        return self._free.pop(0)

    def give_back(self, number: int) -> None:
        """Its worker is gone."""
        self[number] = AWAY
        self._free.append(number)

    def __getitem__(self, number: int) -> int:
        return self._bytes[number]

    def __setitem__(self, number: int, state: int) -> None:
        self._bytes[number] = state

    @property
    def any_idle(self) -> bool:
        """Whether somebody would accept a call now."""
        return self._bytes.find(bytes([IDLE])) >= 0
