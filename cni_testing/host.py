"""The throwaway host: a network namespace the test moves into, and its containers."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from tests.kit import leaks
from tests.kit.namespace import CLONE_NEWNET, Namespace, libc

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
