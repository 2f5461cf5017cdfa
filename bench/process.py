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


@dataclass(frozen=True)
class Call:
    """A process to start. executable: the program, where that is another file than argv[0]."""

    path: Path
    environ: dict[str, str]
    stdin: bytes
    executable: Path | None = None


class Process:
    """A call under way, in the namespaces of the thread that started it. output: its stdout."""

    def __init__(self, call: Call) -> None:
        self._call = call
        with Path(os.devnull).open("rb") as null:
            read_in, write_in = os.pipe()
            self.output, write_out = os.pipe()
            os.write(write_in, call.stdin)  # a config is smaller than a pipe's 64 KiB
            os.close(write_in)
            self._began = time.perf_counter()
            self._pid = os.posix_spawn(
                call.executable or call.path,
                [str(call.path)],
                call.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, read_in, 0),
                    (os.POSIX_SPAWN_DUP2, write_out, 1),
                    (os.POSIX_SPAWN_DUP2, null.fileno(), 2),
                ],
            )
        os.close(write_out)
        os.close(read_in)

    def end(self) -> Timed:
        """Wait for the end. Raises RuntimeError with its words if it failed.

        wall counts from before the spawn to the reaping; cpu is what the kernel charged the process
        and the children it waited for.
        """
        output = b"".join(iter(lambda: os.read(self.output, 65536), b""))
        _, status, usage = os.wait4(self._pid, 0)
        wall = time.perf_counter() - self._began
        os.close(self.output)
        if status != 0:
            raise RuntimeError(
                f"{self._call.path} {self._call.environ['CNI_COMMAND']} ended with status "
                f"{os.waitstatus_to_exitcode(status)}: {output.decode(errors='replace').strip()}"
            )
        return Timed(wall, usage.ru_utime + usage.ru_stime, output)


def run(call: Call) -> Timed:
    """Run it to its end, as `Process` does."""
    return Process(call).end()
