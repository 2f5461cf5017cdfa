"""One timed plugin process: started as a runtime starts it, fed a config, measured to its end."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timed:
    """What one process, or a chain of them, cost. wall, cpu: seconds. output: the last stdout."""

    wall: float
    cpu: float
    output: bytes

    def __add__(self, other: Timed) -> Timed:
        return Timed(self.wall + other.wall, self.cpu + other.cpu, other.output)


def run(executable: Path, environ: dict[str, str], stdin: bytes) -> Timed:
    """Run it in the calling thread's namespaces. Raises RuntimeError with its words if it fails.

    wall counts from before the spawn to the reaping; cpu is what the kernel charged the process and
    the children it waited for.
    """
    with Path(os.devnull).open("rb") as null:
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        os.write(write_in, stdin)  # a config is smaller than a pipe's 64 KiB
        os.close(write_in)
        began = time.perf_counter()
        pid = os.posix_spawn(
            executable,
            [str(executable)],
            environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read_in, 0),
                (os.POSIX_SPAWN_DUP2, write_out, 1),
                (os.POSIX_SPAWN_DUP2, null.fileno(), 2),
            ],
        )
        os.close(write_out)
        output = b"".join(iter(lambda: os.read(read_out, 65536), b""))
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - began
    os.close(read_in)
    os.close(read_out)
    if status != 0:
        raise RuntimeError(
            f"{executable} {environ['CNI_COMMAND']} ended with status "
            f"{os.waitstatus_to_exitcode(status)}: {output.decode(errors='replace').strip()}"
        )
    return Timed(wall, usage.ru_utime + usage.ru_stime, output)
