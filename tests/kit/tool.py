"""cnitool called as a function, which leaves the process as it was."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from cnitool.main import main


def cnitool(argv: Sequence[str]) -> int:
    """Its exit status. It is the process's main program otherwise, and keeps its signals."""
    kept = {one: signal.getsignal(one) for one in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    try:
        return main(argv)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
