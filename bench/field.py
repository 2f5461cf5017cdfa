"""The field of the race: for each suite a network namespace that is its host, and one container.

Everything lives in network namespaces and in a mount namespace of the benchmark's own; nothing of
the machine's network is touched, and all is gone when the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.cpu import cpu_of
from bench.daemon import Daemon
from tests.kit.namespace import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    MS_PRIVATE,
    MS_REC,
    Namespace,
    libc,
    mount,
)

COLD = "cold"
WARM = "warm"
REFERENCE = "reference"
_SYSTEM_DIRECTORIES = (Path("/var/lib/cni"), Path("/run/cni"))


@dataclass(frozen=True)
class Suite:
    """One suite under test. directory: its executables. state: an empty directory for its files.

    size: how many other containers are on its host. daemon: what serves its calls, if anything.
    residents: of its host, the processes that a plugin needs besides.
    """

    name: str
    directory: Path
    host: Namespace
    container: Namespace
    state: Path
    size: int = 0
    daemon: Daemon | None = field(default=None, compare=False)
    residents: list[int] = field(default_factory=list, compare=False)

    def cpu(self) -> float:
        """Seconds of CPU time that have gone into calls so far without being a call's own."""
        return (self.daemon.cpu() if self.daemon else 0.0) + cpu_of(self.residents)

    @property
    def socket(self) -> str:
        """For CNID_SOCKET: empty without a daemon, so that the machine's own is not asked."""
        return str(self.daemon.socket) if self.daemon else ""


class Field:
    """Lays out hosts; `open_field` makes one and clears it away."""

    def __init__(self, scratch: Path, closing: ExitStack) -> None:
        self._scratch = scratch
        self._closing = closing
        self._count = 0

    def namespace(self) -> Namespace:
        """A new network namespace."""
        self._count += 1
        made = Namespace(self._scratch / f"ns{self._count}")
        self._closing.callback(made.close)
        return made

    def at_end(self, act: Callable[[], object]) -> None:
        """Do it when the field is cleared away, before what was made earlier goes."""
        self._closing.callback(act)

    def reference(self, directory: Path, size: int = 0) -> Suite:
        """A host of the reference suite's."""
        return self._suite(REFERENCE, directory, size)

    def ours(self, directory: Path, size: int = 0) -> tuple[Suite, Suite]:
        """A host of ours: cold and warm, which is the same but for a daemon that is asked."""
        cold = self._suite(COLD, directory, size)
        daemon = Daemon(directory / "cnid", cold.host, cold.state)
        self._closing.callback(daemon.stop)
        return cold, replace(cold, name=WARM, daemon=daemon)

    def _suite(self, name: str, directory: Path, size: int) -> Suite:
        self._count += 1
        state = self._scratch / str(self._count)
        state.mkdir()
        return Suite(name, directory, self.namespace(), self.namespace(), state, size)


def take_private_mounts() -> None:
    """Move the process into a mount namespace of its own, the suites' default directories empty."""
    for directory in _SYSTEM_DIRECTORIES:
        directory.mkdir(parents=True, exist_ok=True)
    libc("unshare", CLONE_NEWNS)
    mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
    for directory in _SYSTEM_DIRECTORIES:
        mount("none", directory, "tmpfs")


@contextmanager
def open_field() -> Iterator[Field]:
    """A field, cleared away at the end: daemons stopped, namespaces and files removed."""
    with tempfile.TemporaryDirectory(prefix="pycni-bench-") as scratch, ExitStack() as closing:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        closing.callback(os.close, home)
        try:
            yield Field(Path(scratch), closing)
        finally:
            libc("setns", home, CLONE_NEWNET)
