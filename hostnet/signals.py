"""Hold signals back over a stretch that no exception may cut in two.

The door turns SIGTERM into an exception, and a handler may run between any two calls: between
creating a thing and noting how to undo it, between leaving a namespace and being back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` dresses the numbers up as enums, which takes half a millisecond


def hold() -> set[int]:
    """Block every signal of the calling thread; gives the mask for `release`.

    Handlers of signals that came before have run when this returns (or have raised, and then
    nothing is blocked).
    """
    return _signal.pthread_sigmask(_signal.SIG_BLOCK, _ALL)


def release(mask: set[int]) -> None:
    """Restore the mask; handlers of signals that came meanwhile run now, and may raise."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


_ALL = _signal.valid_signals()
