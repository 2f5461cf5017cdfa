"""The time that all of a release bears, so that one source makes the same bytes each time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_NO_TIME = 315532800  # 1980, the first that every format of archive can tell


def seconds() -> int:
    """SOURCE_DATE_EPOCH, else the time of the last commit; 1980 of a tree that has neither."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(_ROOT), "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return _NO_TIME
    return int(done.stdout)
