"""A network as the tests see it: nodes with a config and the verbs, and the keys in etcd."""

from __future__ import annotations

from typing import Any

import pytest

from etcd_json import Etcd, put
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.namespace import Namespace

V4: Document = {"subnet": "10.1.2.0/24"}
V6: Document = {"subnet": "2001:db8:1::/64"}
DUAL: list[list[Document]] = [[V4], [V6]]


class Node:
    """One host of the cluster. `ipam` may be changed at will."""

    def __init__(
        self, runtime: Runtime, netns: Namespace, url: str, network: str, name: str = "n1"
    ) -> None:
        self.runtime = runtime
        self._netns = netns
        self.network = network
        self.ipam: Document = {
            "type": "etcd-ipam",
            "endpoints": [url],
            "node": name,
            "ranges": [[V4]],
        }
        self.extra: Document = {}
        self.version = "1.1.0"

    @property
    def config(self) -> Document:
        return {
            "cniVersion": self.version,
            "name": self.network,
            "type": "etcd-ipam",
            "ipam": self.ipam,
            **self.extra,
        }

    def ranges(self, *sets: list[Document]) -> None:
        self.ipam["ranges"] = list(sets)

    def another(self, name: str, network: str = "") -> Node:
        """Another node, or another network on this one."""
        url = self.ipam["endpoints"][0]
        made = Node(self.runtime, self._netns, url, network or self.network, name)
        made.ipam = {**self.ipam, "node": name}
        return made

    # ---- verbs ---------------------------------------------------------------------------------

    def result(self, container: str = "c1", ifname: str = "eth0", args: str = "") -> Document:
        """ADD; the whole result."""
        return self.runtime.add(
            self.config, container=container, ifname=ifname, netns=self._netns, args=args
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
        self.runtime.call("CHECK", config, container=container, ifname=ifname, netns=self._netns)

    def gc(self, *valid: tuple[str, str]) -> None:
        self.runtime.gc(self.config, list(valid))

    def status(self) -> None:
        self.runtime.status(self.config)

    def fails(self, verb: str, *args: Any, **kwargs: Any) -> PluginError:
        """The error that a verb answers with."""
        with pytest.raises(PluginError) as caught:
            getattr(self, verb)(*args, **kwargs)
        return caught.value


class Keys:
    """What is in etcd below a network's prefix."""

    def __init__(self, etcd: Etcd, network: str) -> None:
        self.etcd = etcd
        self.prefix = f"/pycni/{network}/"

    @property
    def all(self) -> dict[str, str]:
        """Every key without the prefix, and its value."""
        entries, _ = self.etcd.list(self.prefix)
        return {one.key.removeprefix(self.prefix): one.value for one in entries}

    def put(self, key: str, value: str) -> None:
        """Write a key as a person would, behind the plugin's back."""
        self.etcd.put(self.prefix + key, value)

    def fill(self, addresses: list[str], node: str = "n9") -> None:
        """Give addresses to containers of a node."""
        network = self.prefix.split("/")[2]
        for start in range(0, len(addresses), 60):
            changes = []
            for address in addresses[start : start + 60]:
                owner = f"{node}/{address.replace(':', '.').strip('.')}/eth0"
                changes.append(put(f"{self.prefix}addr/{address}", f"{network}/{owner}"))
                changes.append(put(f"{self.prefix}owner/{owner}", f"{network} {address}"))
            self.etcd.transact([], changes)
