"""A switch with which one thread ends a call that another one is in."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class Cancel:
    """Ends the call it was given to, at once and with every process the plugin started.

    `cancel()` may come from any thread, from a signal handler, before the call or during it; the
    call then raises CniError(TRY_AGAIN_LATER). Close it, or use it with `with`, when no call uses
    it any more. It cannot be switched back.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.cancelled = False

    def cancel(self) -> None:
        """Switch it."""
        self.cancelled = True
        os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        """A descriptor that becomes readable, for `select` and its like."""
        return self._fd

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    def __enter__(self) -> Cancel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
