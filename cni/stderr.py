"""Words for whoever watches stderr."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Write to stderr. That nobody reads it, or that it is closed, is no failure of a call."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # None, a broken pipe, a closed file
        pass
