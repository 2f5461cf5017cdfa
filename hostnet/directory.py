"""Directories for what is kept, whatever the umask is."""

from __future__ import annotations

import os

_OPEN = 0o755


def make(path: str, mode: int) -> None:
    """Make a directory, and those above it that are missing, which everybody may look into.

    os.makedirs() leaves the latter to the umask: with none, which some runtimes have, everybody
    could replace what is in them. Raises OSError, FileExistsError where something else is there.
    """
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    if above and not os.path.isdir(above):
        make(above, _OPEN)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
