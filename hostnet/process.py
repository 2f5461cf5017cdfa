"""What /proc tells of a process."""

from __future__ import annotations

import os

_CAP_NET_ADMIN = 1 << 12  # <linux/capability.h>


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


def may_shape_networks(pid: int | str) -> bool:
    """Whether it may change what this process may: root or its user, with CAP_NET_ADMIN, here.

    True where that cannot be known: it is gone, or /proc tells nothing of it.
    """
    user, capabilities = 0, _CAP_NET_ADMIN
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("Uid:"):
                    user = int(line.split()[2])
                elif line.startswith("CapEff:"):
                    capabilities = int(line.split()[1], 16)
        if user not in (0, os.geteuid()) or not capabilities & _CAP_NET_ADMIN:
            return False
        theirs = os.stat(f"/proc/{pid}/ns/user")  # whose root it may be
        return os.path.samestat(theirs, os.stat("/proc/self/ns/user"))
    except OSError:
        return True
