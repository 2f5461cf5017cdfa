"""What /proc tells of a process."""

from __future__ import annotations


def described(pid: int | str) -> str:
    """It, in words, with its name if it is still there: `process 4711 (flanneld)`."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"process {pid} ({file.read().strip()})"
    except OSError:
        return f"process {pid}"


def memory(pid: int | str = "self") -> int:
    """KiB that it takes of the machine's memory: PSS, in which what several share counts in parts.

    0 where that cannot be known. Source: proc(5), smaps_rollup.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0
