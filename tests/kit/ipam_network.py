"""An IPAM plugin on one network, called by itself: no interface plugin is before it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.namespace import Namespace


class IpamNetwork:
    """A network's config and the verbs. `ipam`, `extra` and `version` may be changed at will."""

    def __init__(self, runtime: Runtime, netns: Namespace, network: str, ipam: Document) -> None:
        self.runtime = runtime
        self.netns = netns
        self.network = network
        self.plugin = ipam["type"]
        self.ipam = ipam
        self.extra: Document = {}
        self.version = "1.1.0"

    @property
    def config(self) -> Document:
        return {
            "cniVersion": self.version,
            "name": self.network,
            "type": self.plugin,
            "ipam": self.ipam,
            **self.extra,
        }

    def ranges(self, *sets: list[Document]) -> None:
        self.ipam["ranges"] = list(sets)

    def result(self, container: str = "c1", ifname: str = "eth0", args: str = "") -> Document:
        """ADD; the whole result."""
        return self.runtime.add(
            self.config, container=container, ifname=ifname, netns=self.netns, args=args
        )

    def add(self, container: str = "c1", ifname: str = "eth0", args: str = "") -> str:
        """ADD; the addresses without prefix length, joined by blanks."""
        ips = self.result(container, ifname, args)["ips"]
        return " ".join(one["address"].partition("/")[0] for one in ips)

    def delete(self, container: str = "c1", ifname: str = "eth0") -> None:
        self.runtime.delete(self.config, container=container, ifname=ifname)

    def check(
        self, container: str = "c1", ifname: str = "eth0", result: Document | None = None
    ) -> None:
        config = self.config if result is None else {**self.config, "prevResult": result}
        self.runtime.call("CHECK", config, container=container, ifname=ifname, netns=self.netns)

    def gc(self, *valid: tuple[str, str]) -> None:
        self.runtime.gc(self.config, list(valid))

    def status(self) -> None:
        self.runtime.status(self.config)

    def fails(self, verb: str, *args: Any, **kwargs: Any) -> PluginError:
        """The error that a verb answers with."""
        with pytest.raises(PluginError) as caught:
            getattr(self, verb)(*args, **kwargs)
        return caught.value
