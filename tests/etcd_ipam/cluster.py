"""A network as the tests see it: nodes with a config and the verbs, and the keys in etcd."""

from __future__ import annotations

from etcd_json import Etcd, put
from tests.kit.calls import Document, Runtime
from tests.kit.ipam_network import IpamNetwork
from tests.kit.namespace import Namespace

V4: Document = {"subnet": "10.1.2.0/24"}
V6: Document = {"subnet": "2001:db8:1::/64"}
DUAL: list[list[Document]] = [[V4], [V6]]


class Node(IpamNetwork):
    """One host of the cluster."""

    def __init__(
        self, runtime: Runtime, netns: Namespace, url: str, network: str, name: str = "n1"
    ) -> None:
        ipam: Document = {
            "type": "etcd-ipam",
            "endpoints": [url],
            "node": name,
            "ranges": [[V4]],
        }
        super().__init__(runtime, netns, network, ipam)

    def another(self, name: str, network: str = "") -> Node:
        """Another node, or another network on this one."""
        url = self.ipam["endpoints"][0]
        made = Node(self.runtime, self.netns, url, network or self.network, name)
        made.ipam = {**self.ipam, "node": name}
        return made


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
