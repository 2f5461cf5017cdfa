"""Who gives a sign of life in etcd: so that two machines of one name, or one twice, are told apart.

Read from /etc/machine-id, the kernel's boot_id and the network namespace, since a machine may play
several hosts.
"""

from __future__ import annotations

import os
from _blake2 import blake2s

from cni.record import record


@record
class Origin:
    """machine: what stays over a reboot. boot: one host at one time."""

    machine: str
    boot: str


def this_host() -> Origin:
    """This host: the machine by a hash of its id, which is nobody's business (machine-id(5))."""
    boot = _line("/proc/sys/kernel/random/boot_id")
    machine = _line("/etc/machine-id") or boot
    digest = blake2s(machine.encode(), digest_size=8, person=b"pycni vx").hexdigest()
    return Origin(digest, f"{boot}/{os.stat('/proc/thread-self/ns/net').st_ino}")


def _line(path: str) -> str:
    """The first line of a file; empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""
