"""Boots User-Mode-Linux on this tree, has it measure, and reads what it found."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.every import Measured
from bench.second_kernel.inside import RESULT
from tests.kit.second_kernel import KERNEL, boot

_INIT = Path(__file__).with_name("init.sh")
_SECONDS = 600
_LAST = 2000
"""Characters of what the console has said that are told where nothing was measured."""


def measure(ours: Path, reference: Path, plugins: Sequence[str], rounds: int) -> Measured:
    """Race these there. Where that cannot be, all of them are left out, with the reason."""
    missing = [program for program in (KERNEL, "modprobe") if not shutil.which(program)]
    if missing:
        why = (
            "this kernel has no such links, and User-Mode-Linux cannot be booted: no "
            f"{', '.join(missing)} here (Debian's user-mode-linux and kmod)"
        )
        return Measured(left_out=dict.fromkeys(plugins, why))
    with tempfile.TemporaryDirectory(prefix="pycni-bench-") as results, _on_one_cpu():
        said = boot(
            _INIT,
            f"PYCNI_OURS={ours.resolve()}",
            f"PYCNI_REFERENCE={reference.resolve()}",
            f"PYCNI_RESULTS={results}",
            f"PYCNI_PLUGINS={','.join(plugins)}",
            f"PYCNI_ROUNDS={rounds}",
            seconds=_SECONDS,
        )
        file = Path(results) / RESULT
        if file.exists():
            found: Measured = pickle.loads(file.read_bytes())  # noqa: S301 (our own)
            there = {name: f"in User-Mode-Linux: {why}" for name, why in found.left_out.items()}
            return replace(found, left_out=there)
    why = f"User-Mode-Linux gave no result; it said: {said[-_LAST:].strip()}"
    return Measured(left_out=dict.fromkeys(plugins, why), failed=set(plugins))


@contextmanager
def _on_one_cpu() -> Iterator[None]:
    """For this thread and what it starts.

    The kernel there and a process in it hand over to each other at each system call and each page
    fault. From one CPU to another that takes up to twice as long, now and then.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
