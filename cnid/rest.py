"""How long the daemon waits before it starts a process again that has died."""

from __future__ import annotations

import time

_FIRST_SECONDS = 1.0
_MOST_SECONDS = 30.0
_LONG_SECONDS = 60.0
"""Who lived so long was well: a first rest is enough for the next one."""


class Rest:
    """Longer after each life that was short."""

    def __init__(self) -> None:
        self._next = _FIRST_SECONDS
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it may be started."""
        return time.monotonic() >= self._until

    def begin(self, lived: float) -> None:
        """After a life of so many seconds."""
        if lived > _LONG_SECONDS:
            self._next = _FIRST_SECONDS
        self._until = time.monotonic() + self._next
        self._next = min(2 * self._next, _MOST_SECONDS)

    def begin_longest(self) -> None:
        """After what will hardly go better soon."""
        self._until = time.monotonic() + _MOST_SECONDS
