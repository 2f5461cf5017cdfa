"""How long to wait before another try: longer each time, never long, and never all at once."""

from __future__ import annotations


class Backoff:
    """first, most: seconds. A try that lasted longer than `most` was a success: begin anew."""

    def __init__(self, first: float = 0.2, most: float = 10.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def after(self, lasted: float) -> float:
        """Seconds to wait after a try that lasted so long.

        A random half is left out, so that a thousand hosts do not come back at one moment.
        """
        import random

        if lasted > self._most:
            self._next = self._first
        wait = self._next
        self._next = min(2 * self._next, self._most)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
