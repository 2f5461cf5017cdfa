"""The ways to let hosts know each other: the network's config, and who must run for it."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kit.etcd import EtcdServer
from tests.kit.frr import Frr
from tests.kit.underlay import ROUTER, Node, Underlay

if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

POOLS: list[JsonValue] = ["10.244.0.0/16", "fd00:1::/48"]
CONFIG = Path("/etc/cni/net.d/demo.conflist")


class Engine:
    """How the demo runs one engine. about: a line that says what the hosts know each other by."""

    mode = "l3"
    about = ""

    def __init__(self, underlay: Underlay, plugins: Path) -> None:
        self.underlay = underlay
        self.plugins = plugins

    def peers(self) -> dict[str, JsonValue]:
        """The key `peers`, the same on every host."""
        raise NotImplementedError

    def start(self, running: ExitStack) -> None:
        """Start what must run, to be ended with `running`."""

    def network(self, node: Node) -> dict[str, JsonValue]:
        """The network's config on a host."""
        plugin: dict[str, JsonValue] = {
            "type": "vxlan",
            "vni": 42,
            "mode": self.mode,
            "peers": self.peers(),
            "isDefaultGateway": True,
            "ipMasq": True,
            "ipam": {"type": "host-local"},
        }
        if self.mode == "l3":
            plugin["network"] = POOLS
        else:
            plugin["ipam"] = {"type": "host-local", "ranges": _ranges(node)}
        portmap: dict[str, JsonValue] = {
            "type": "portmap",
            "capabilities": {"portMappings": True},
        }
        return {"cniVersion": "1.1.0", "name": "demo", "plugins": [plugin, portmap]}


class Static(Engine):
    """Every host's config lists all hosts; nothing runs."""

    about = "a list in the config, the same on every host; nothing else runs"

    def peers(self) -> dict[str, JsonValue]:
        return {
            "type": "static",
            "nodes": [
                {
                    "address": node.four,
                    "subnets": [f"10.244.{node.number}.0/24", f"fd00:1:0:{node.number}::/64"],
                }
                for node in self.underlay.nodes
            ],
        }


class Multicast(Engine):
    """The kernel asks the group."""

    mode = "l2"
    about = "the multicast group 239.1.1.1; nothing else runs"

    def peers(self) -> dict[str, JsonValue]:
        return {"type": "multicast", "group": "239.1.1.1"}


class Evpn(Engine):
    """FRR on every host."""

    mode = "l2"
    about = "BGP EVPN: FRR's zebra and bgpd on every host"

    def peers(self) -> dict[str, JsonValue]:
        return {"type": "evpn"}

    def start(self, running: ExitStack) -> None:
        nodes = self.underlay.nodes
        for node in nodes:
            running.enter_context(Frr(node, [one.four for one in nodes if one is not node]))


class Etcd(Engine):
    """etcd beside the switch, and on every host cnid, which runs the watcher."""

    about = "etcd, which also leases each host its subnet; cnid on every host"

    def __init__(self, underlay: Underlay, plugins: Path) -> None:
        super().__init__(underlay, plugins)
        self.etcd = EtcdServer(underlay.switch, underlay.directory / "etcd", ROUTER[0])

    def peers(self) -> dict[str, JsonValue]:
        return {"type": "etcd", "endpoints": [self.etcd.url]}

    def start(self, running: ExitStack) -> None:
        running.enter_context(self.etcd)
        for node in self.underlay.nodes:
            daemon = node.popen(str(self.plugins / "cnid"), stderr=subprocess.DEVNULL)
            running.callback(end, daemon)


ENGINES: dict[str, type[Engine]] = {
    "static": Static,
    "multicast": Multicast,
    "evpn": Evpn,
    "etcd": Etcd,
}


def _ranges(node: Node) -> JsonValue:
    """Of one segment, a part for each host; the gateway is the same everywhere."""
    return [
        [
            {
                "subnet": subnet,
                "rangeStart": f"{base}{node.number}1",
                "rangeEnd": f"{base}{node.number}9",
                "gateway": gateway,
            }
        ]
        for subnet, base, gateway in (
            ("10.42.0.0/24", "10.42.0.", "10.42.0.254"),
            ("fd42::/64", "fd42::", "fd42::fe"),
        )
    ]


def install(engine: Engine, node: Node) -> None:
    """Write the network's config where runtimes and the watcher of a host look for it."""
    text = json.dumps(engine.network(node), indent=2)
    node.run(CONFIG.write_text, text)


def end(process: subprocess.Popen[str]) -> None:
    """Ask a process to end, and wait for it."""
    process.terminate()
    process.wait(timeout=10)
