"""What a reboot does to a host's state, without one: for the tests of host-local's reservations.

After a reboot the files of reservations are there, with the mark of the boot in which they were
made, and /run is empty. So this puts an earlier boot's mark on them and removes the index in /run.
Real reboots are in the second kernel (tests/reliability/power).
"""

from __future__ import annotations

import os
from pathlib import Path

from cni_host_local import boot
from tests.host_local.network import remove_indexes

EARLIER_BOOT = b"0123456789abcdef0123456789abcdef"


def machine() -> bytes:
    """This machine's part of a mark."""
    return boot.this_boot().partition(b".")[0]


def reboot(directory: Path, machine_id: bytes = b"") -> None:
    """Make every reservation that has a mark one of an earlier boot, of this machine or another."""
    mark = (machine_id or machine()) + b"." + EARLIER_BOOT
    for path in directory.iterdir():
        if boot.ATTRIBUTE in os.listxattr(path):
            os.setxattr(path, boot.ATTRIBUTE, mark)
    remove_indexes(directory.name)
