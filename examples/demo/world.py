"""The demo's stage: a client, a host, containers; each a network namespace of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

from tests.kit import leaks
from tests.kit.namespace import CLONE_NEWNS, MS_PRIVATE, MS_REC, Namespace, libc, mount

CLIENT, UPLINK = "192.0.2.2", "192.0.2.1"  # TEST-NET-1, RFC 5737
# Where the plugins keep their state; the demo sees empty ones of its own.
STATE = (Path("/var/lib/cni"), Path("/run/cni"))


class World:
    """`with World() as world:` the client and the host exist, and this thread is on the host."""

    def __enter__(self) -> World:
        for directory in STATE:
            directory.mkdir(parents=True, exist_ok=True)
        libc("unshare", CLONE_NEWNS)
        mount("none", Path("/"), "none", MS_REC | MS_PRIVATE)
        for directory in STATE:
            mount("none", directory, "tmpfs")
        self._directory = tempfile.TemporaryDirectory(prefix="pycni-demo-")
        self._namespaces: list[Namespace] = []
        self.client, self.host = self.namespace("client"), self.namespace("host")
        wire = ("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0")
        self.host.command(*wire, "netns", str(self.client))
        for ns, name, address in (
            (self.host, "uplink", UPLINK),
            (self.client, "eth0", CLIENT),
        ):
            ns.command("ip", "address", "add", f"{address}/24", "dev", name)
            ns.command("ip", "link", "set", name, "up")
        self.host.enter()
        self._before = self._everything()
        return self

    def namespace(self, name: str) -> Namespace:
        """A new namespace, at a path such as a container runtime makes."""
        made = Namespace(Path(self._directory.name) / name)
        self._namespaces.append(made)
        return made

    def left(self) -> list[str]:
        """What is on the host now and was not before: links, addresses, routes, rules, files."""
        return sorted(self._everything() - self._before)

    def _everything(self) -> set[str]:
        return leaks.of_namespace() | leaks.of_directories(STATE)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self._namespaces:
            one.close()
        self._directory.cleanup()
