"""User-Mode-Linux: a kernel as an ordinary program, on this machine's file system (hostfs).

Debian's has what the kernels of small virtual machines are built without: VLAN filtering of
bridges, links of the kinds ipvlan, vlan, vrf and dummy, and a network card that may be taken away.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

KERNEL = "linux.uml"


def boot(init: Path, *options: str, seconds: float) -> str:
    """Boot it, wait until it halts by itself; what its console has said.

    init: its first process, which gets those options as variables that no kernel knows. seconds:
    after which it is ended.
    """
    console = ("con=null", "con0=null,fd:1", "quiet")
    root = ("rootfstype=hostfs", "rootflags=/", "rw")
    with subprocess.Popen(
        [KERNEL, *root, *console, f"init={init}", "mem=512M", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as kernel:
        try:
            said, _ = kernel.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(kernel.pid, signal.SIGKILL)  # it is several processes
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            said, _ = kernel.communicate()
    return said.decode(errors="replace")
