"""The caller's stdin, stdout and stderr as a worker has them, at its own 0, 1 and 2.

What is read and written is remembered for the log; and nothing is held in a buffer, where what one
caller did not take would come out at the next one's.
"""

from __future__ import annotations

import io
import os
import sys

_CHUNK = 65536
"""A pipe's; a config is smaller. Room for the longest would be mapped and unmapped each time."""


class Stdin:
    """Reads as the cold plugin's `sys.stdin.buffer` does. seen: what was read last."""

    def __init__(self) -> None:
        self.seen = b""

    def read(self, size: int) -> bytes:
        """All there is, until its end, or as much as `size` bytes. Raises OSError."""
        chunks: list[bytes] = []
        left = size
        while left > 0 and (chunk := os.read(0, min(left, _CHUNK))):
            chunks.append(chunk)
            left -= len(chunk)
        self.seen = b"".join(chunks)
        return self.seen


class Stdout:
    """seen: all that was written."""

    def __init__(self) -> None:
        self.seen = b""

    def write(self, data: bytes | memoryview) -> int:
        """As much as goes; gives how much. Raises OSError."""
        written = os.write(1, data)
        self.seen += bytes(data[:written])
        return written

    def flush(self) -> None:
        """Nothing is held back."""


class _Stderr(io.FileIO):
    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]  # no more is used
        """Write all of it, as a text stream expects of what is below it."""
        left = memoryview(data)
        while left:
            written = super().write(left)
            if not written:
                raise BlockingIOError("nobody reads it")
            left = left[written:]
        return len(data)


def lend_stderr() -> None:
    """Let `sys.stderr` write to whatever is at 2."""
    sys.stderr = io.TextIOWrapper(
        _Stderr(2, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True
    )
