"""A stream of ADDs and DELs in this process, each of which can be cut between two system calls.

It does what a runtime does: call the plugin through the door, keep the result in libcni's cache,
and then tell that the container is there. What it has told is noted, to be held against what is
found after the cut.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from libcni import network_from_bytes
from libcni.attachment import Attachment
from libcni.cache import Cache
from tests.kit.calls import Document, Runtime
from tests.kit.namespace import Namespace

SUBNET = "10.9.0.0/28"
ROOM = 13
"""Addresses of the range: sixteen without network, gateway and broadcast address."""


@dataclass
class Told:
    """What the runtime was told. there: addresses by container. asked: whose last verb is open."""

    there: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    asked: str = ""

    def copy(self) -> Told:
        return Told(dict(self.there), set(self.gone), self.asked)


class Stream:
    """A runtime on a network whose files are all below `where`."""

    def __init__(
        self,
        runtime: Runtime,
        netns_of: Callable[[str], Namespace],
        where: Path,
        plugin: Document | None = None,
        tell: Callable[[Told], None] = lambda told: None,
    ) -> None:
        """plugin: what calls host-local, by default nobody: it is called itself. tell: is called
        with what was told before and after each verb."""
        self._runtime = runtime
        self._netns_of = netns_of
        self._tell = tell
        self.name = "net"
        self.data = where / "networks"
        self.directory = self.data / self.name
        self.cache = Cache(str(where))
        ipam = {"type": "host-local", "dataDir": str(self.data), "subnet": SUBNET}
        one = {"type": "host-local", **(plugin or {}), "ipam": ipam}
        whole = {"cniVersion": "1.1.0", "name": self.name, "plugins": [one]}
        self._list = network_from_bytes(json.dumps(whole).encode())
        self._config: Document = {"cniVersion": "1.1.0", "name": self.name, **one}
        self.told = Told()

    def add(self, container: str) -> str:
        """ADD as libcni does it; the address."""
        self.told.gone.discard(container)
        self._ask(container)
        attachment = Attachment(container, str(self._netns_of(container)))
        self.cache.prepare(self.name, attachment.key)
        result = self._runtime.add(self._config, container=container, netns=attachment.netns)
        self.cache.store(self._list, attachment, result)
        address: str = result["ips"][0]["address"]
        self.told.there[container] = address
        self._ask("")
        return address

    def delete(self, container: str) -> None:
        """DEL as libcni does it, the namespace being gone."""
        self.told.there.pop(container, None)
        self._ask(container)
        self._runtime.delete(self._config, container=container)
        self.cache.remove(self.name, Attachment(container).key)
        self.told.gone.add(container)
        self._ask("")

    def _ask(self, container: str) -> None:
        self.told.asked = container
        self._tell(self.told)

    def gc(self) -> None:
        self._runtime.gc(self._config, [])

    def status(self) -> None:
        self._runtime.status(self._config)

    def run(self, calls: int, dice: random.Random) -> None:
        """So many ADDs and DELs of containers that come, go, and sometimes come back."""
        for number in range(calls):
            there = list(self.told.there)
            if there and (len(there) == ROOM or dice.random() < 0.45):
                self.delete(dice.choice(there))
            elif self.told.gone and dice.random() < 0.2:
                self.add(dice.choice(sorted(self.told.gone)))
            else:
                self.add(f"c{number}")
