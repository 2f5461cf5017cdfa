"""Runs in User-Mode-Linux, started by init.sh: measures, and writes it down for `lane`."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from bench.every import measure
from bench.field import take_private_mounts

RESULT = "measured"


def main() -> None:
    """Arguments: a directory with the suites and a place for the result, the plugins, rounds."""
    directory, plugins, rounds = sys.argv[1:]
    place = Path(directory)
    take_private_mounts()
    measured = measure(
        place / "ours", place / "reference", plugins.split(","), int(rounds), lambda _: None
    )
    (place / "results" / RESULT).write_bytes(pickle.dumps(measured))


if __name__ == "__main__":
    main()
