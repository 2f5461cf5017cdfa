"""A stage for two calls of which one is held: a host that is new each time, and whole chains.

The calls are functions for a forked child, as `tests.kit.syscalls` takes them: the plugins' code
through the door, one process for a chain, with no interpreter's start in between.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libcni import NetworkConfigList
from tests.kit import leaks
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import CLONE_NEWNET, in_thread, libc
from tests.reliability.races.networks import UNDERLAY, UPLINK

CONTAINERS = ("a", "b", "n")
"""Those of the two calls, and a neighbour."""


class Containers:
    """Their namespaces, which go from one stage to the next: a context."""

    def __enter__(self) -> dict[str, int]:
        self._files = in_thread(lambda: {name: _open_new_namespace() for name in CONTAINERS})
        return self._files

    def __exit__(self, *_: object) -> None:
        for fd in self._files.values():
            os.close(fd)


def _open_new_namespace() -> int:
    libc("unshare", CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Stage:
    """A new host that the calling thread is in, with one network and the containers a, b and n.

    A context; afterwards the thread is in `host`.
    """

    def __init__(
        self,
        host: Host,
        runtime: Runtime,
        make: Callable[[Host], NetworkConfigList],
        containers: dict[str, int],
    ) -> None:
        self._host = host
        self._runtime = runtime
        self._make = make
        self._pid = os.getpid()
        self._namespaces = containers

    def __enter__(self) -> Stage:
        libc("unshare", CLONE_NEWNET)
        self.known: dict[str, tuple[Document, int]] = {}
        commands = (
            f"link add {UPLINK} type veth peer name wire",
            f"address add {UNDERLAY}/24 dev {UPLINK}",
            "link set lo up",
            "link set wire up",
            f"link set {UPLINK} up",
            "route add default via 192.0.2.254",
        )
        subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
        network = self._make(self._host)
        self.name = network.name
        head = {"cniVersion": network.version, "name": network.name}
        self.plugins: list[Document] = [{**one.config.raw, **head} for one in network.plugins]
        return self

    def __exit__(self, *_: object) -> None:
        self._host.enter()
        for one in self._host.state.iterdir():
            shutil.rmtree(one)

    # ---- what a runtime does, in the calling process

    def _call(self, verb: str, plugin: Document, who: str) -> Document | None:
        netns = f"/proc/{self._pid}/fd/{self._namespaces[who]}"  # the test's, in a child too
        return self._runtime.call(verb, plugin, container=who, netns=netns)

    def _chain(self, port: int) -> list[Document]:
        mappings = [{"hostPort": port, "containerPort": 80}] if port else []
        more = {"portmap": {"runtimeConfig": {"portMappings": mappings}}}
        return [{**one, **more.get(one["type"], {})} for one in self.plugins]

    def add(self, who: str, port: int = 0) -> Document:
        """ADD of the whole chain; where it fails, DEL of all of it, and PluginError."""
        result: Document | None = None
        try:
            for plugin in self._chain(port):
                known = {} if result is None else {"prevResult": result}
                result = self._call("ADD", {**plugin, **known}, who)
        except PluginError:
            self.delete(who)
            raise
        assert result is not None
        return result

    def delete(self, who: str) -> None:
        for plugin in reversed(self._chain(0)):
            self._call("DEL", plugin, who)

    def check(self, who: str) -> None:
        """Against what `attach` or `attached` knows."""
        result, port = self.known[who]
        for plugin in self._chain(port):
            self._call("CHECK", {**plugin, "prevResult": result}, who)

    def attach(self, who: str) -> None:
        """ADD before anything is held."""
        self.attached(who, self.add(who))

    def attached(self, who: str, result: Document, port: int = 0) -> None:
        """Note what an ADD in a child answered."""
        self.known[who] = result, port

    def gc(self, *valid: str) -> None:
        for plugin in self._chain(0):
            self._runtime.gc(plugin, [(one, "eth0") for one in valid])

    def status(self) -> None:
        for plugin in self.plugins:
            self._runtime.status(plugin)

    # ---- what is there

    def state(self) -> list[str]:
        """All that is on the host and in its files, what is there twice twice.

        Without link-local addresses and their routes, which come when the kernel likes.
        """
        rules = subprocess.run(
            ["nft", "--stateless", "list", "ruleset"], text=True, capture_output=True, check=True
        )
        there = [one for one in leaks.of_namespace() if not one.startswith("nft")]
        there += leaks.of_directories((self._host.state, Path("/run/cni")))
        there = [one for one in there if "fe80:" not in one and "ff00:" not in one]
        return sorted([*there, *rules.stdout.splitlines()])


def child(act: Callable[[], Document | None]) -> Callable[[], int]:
    """The call as a target: its result, or its error document, is what it prints."""

    def target() -> int:
        try:
            document: Any = act()
        except PluginError as error:
            os.write(1, json.dumps(error.document).encode())
            return 1
        if document is not None:
            os.write(1, json.dumps(document).encode())
        return 0

    return target
