"""The caller's stdin, stdout and stderr as a worker has them, at its own 0, 1 and 2.

What is read and written is remembered for the log; and nothing is held in a buffer, where what one
caller did not take would come out at the next one's.
"""

from __future__ import annotations

import io
import sys


class Stdin(io.BufferedReader):
    """Reads as the cold plugin's `sys.stdin.buffer` does. seen: what was read last."""

    def __init__(self) -> None:
        super().__init__(io.FileIO(0, closefd=False))
        self.seen = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """As BufferedReader's."""
        data = super().read(size)
        self.seen = data or b""
        return data


class Stdout(io.FileIO):
    """seen: all that was written."""

    def __init__(self) -> None:
        super().__init__(1, "wb", closefd=False)
        self.seen = b""

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]  # no more is used
        """As FileIO's."""
        written = super().write(data)
        self.seen += bytes(data[:written])
        return written


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
