"""What /proc tells of a process."""

from __future__ import annotations

import os
import subprocess
import sys

from hostnet import process


def test_a_process_in_words() -> None:
    with open("/proc/self/comm", encoding="utf-8") as file:
        name = file.read().strip()
    assert process.described(os.getpid()) == f"process {os.getpid()} ({name})"
    assert process.described("self") == f"process self ({name})"


def test_the_memory_of_a_process() -> None:
    assert 1 << 10 < process.memory() < 1 << 22  # between a megabyte and four gigabytes


def test_a_process_that_has_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process.described(ended.pid) == f"process {ended.pid}"
    assert process.memory(ended.pid) == 0
