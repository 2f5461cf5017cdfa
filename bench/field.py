"""The field of the race: for each suite a network namespace that is its host, and one container.

Everything lives in network namespaces and in a mount namespace of the benchmark's own; nothing of
the machine's network is touched, and all is gone when the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit.namespace import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    MS_PRIVATE,
    MS_REC,
    Namespace,
    libc,
    mount,
)

_SYSTEM_DIRECTORIES = (Path("/var/lib/cni"), Path("/run/cni"))


@dataclass(frozen=True)
class Suite:
    """One suite under test. directory: its executables. state: an empty directory for its files."""

    name: str
    directory: Path
    host: Namespace
    container: Namespace
    state: Path


@contextmanager
def open_field(directories: dict[str, Path]) -> Iterator[list[Suite]]:
    """Lay out the field for suites given as name -> directory of executables."""
    for directory in _SYSTEM_DIRECTORIES:
        directory.mkdir(parents=True, exist_ok=True)
    libc("unshare", CLONE_NEWNS)
    mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
    for directory in _SYSTEM_DIRECTORIES:
        mount("none", directory, "tmpfs")
    suites: list[Suite] = []
    with tempfile.TemporaryDirectory(prefix="pycni-bench-") as scratch:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            for number, (name, executables) in enumerate(directories.items()):
                place = Path(scratch) / str(number)
                place.mkdir()
                host, container = Namespace(place / "host"), Namespace(place / "container")
                suites.append(Suite(name, executables, host, container, place))
            yield suites
        finally:
            libc("setns", home, CLONE_NEWNET)
            os.close(home)
            for suite in suites:
                suite.container.close()
                suite.host.close()
