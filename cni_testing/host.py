"""The throwaway host: a network namespace the test moves into, and its containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from cni_testing import leaks
from cni_testing.namespace import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    MNT_DETACH,
    MS_PRIVATE,
    MS_REC,
    Namespace,
    libc,
    mount,
)

# Where the suite keeps things when a config names no directory; private to the test session.
SYSTEM_DIRECTORIES = (Path("/run/cni"), Path("/var/lib/cni"))


class Host(Namespace):
    """The namespace in which the test's own thread is until the end of the test.

    `state` is an empty directory for dataDir, cache and the like. What the test leaves behind in
    the host, in its containers, in `state` and in the default directories fails it, except what
    it declared as shared.
    """

    _alike: ClassVar[set[str] | None] = None

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        super().__init__(directory / "host")
        self.state = directory / "state"
        self.state.mkdir()
        self.containers: list[Namespace] = []
        self._shared: list[str] = []
        self._before: dict[str, set[str]] = {"this machine": self._files_and_processes()}
        self._before["the host"] = self._fresh(self)
        self.enter()

    def container(self, name: str = "") -> Namespace:
        """A new namespace for a container, at a path a runtime could have made."""
        made = Namespace(self._directory / (name or f"container{len(self.containers)}"))
        self.containers.append(made)
        self._before[str(made.path)] = self._fresh(made)
        return made

    @classmethod
    def _fresh(cls, made: Namespace) -> set[str]:
        """What a new namespace holds. They are all alike, and looking takes several processes."""
        if cls._alike is None:
            cls._alike = made.run(leaks.of_namespace)
        return cls._alike

    def share(self, *patterns: str) -> None:
        """Let things outlive the test whose line (see `leaks`) matches one of these."""
        self._shared += patterns

    def share_bridge(self, name: str) -> None:
        """Let a bridge stay, with its addresses and routes."""
        self.share(f"link {name} *", f"address dev {name} *", f"route * dev {name} *")

    def share_nft(self, table: str = "*") -> None:
        """Let a table stay with its chains, rules and empty maps; elements are never shared."""
        for what in ("chain", "rule", "map", "set"):
            self.share(f"nft {what} * {table} *")
        self.share(f"nft table * {table}")

    def share_locks(self) -> None:
        """Let the reference's own files stay in an address directory."""
        self.share("file */lock", "file */last_reserved_ip.*")

    def leaks(self) -> list[str]:
        """What is there now and was not before, and the other way round."""
        now = {
            "this machine": self._files_and_processes(),
            "the host": self.run(leaks.of_namespace),
        }
        for one in self.containers:
            if one.path.exists():
                now[str(one.path)] = one.run(leaks.of_namespace)
        found: list[str] = []
        for where, lines in now.items():
            before = self._before[where]
            found += [f"left in {where}: {line}" for line in sorted(lines - before)]
            found += [f"lost from {where}: {line}" for line in sorted(before - lines)]
        return [one for one in found if not self._is_shared(one.split(": ", 1)[1])]

    def _is_shared(self, line: str) -> bool:
        return any(fnmatchcase(line, pattern) for pattern in self._shared)

    def _files_and_processes(self) -> set[str]:
        return leaks.of_directories((self.state, *SYSTEM_DIRECTORIES)) | leaks.of_process()

    def leave(self) -> None:
        """Move the thread back to where it was and remove every namespace."""
        libc("setns", self._home, CLONE_NEWNET)
        os.close(self._home)
        for one in (*self.containers, self):
            one.close()


@contextmanager
def throwaway(directory: Path) -> Iterator[Host]:
    """A host for the body, in which the calling thread then is.

    AssertionError at the end tells what the body has left behind and not declared as shared.
    """
    made = Host(directory)
    try:
        yield made
        left = made.leaks()
    finally:
        made.leave()
    assert not left, "\n".join(["the test left the namespaces different:", *left])


@contextmanager
def private_mounts() -> Iterator[None]:
    """A mount namespace of the process's own, the suite's default directories empty in it.

    For good: no bind mount of a namespace outlives the process. The machine gets the directories
    if it has not got them, and keeps them: removing one would take away what another session has
    mounted there.
    """
    for directory in SYSTEM_DIRECTORIES:
        directory.mkdir(parents=True, exist_ok=True)
    libc("unshare", CLONE_NEWNS)
    mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
    for directory in SYSTEM_DIRECTORIES:
        mount("none", directory, "tmpfs")
    yield
    for directory in SYSTEM_DIRECTORIES:
        libc("umount2", bytes(directory), MNT_DETACH)
