"""One overlay over several hosts with any engine: its config on each, who must run, containers.

`ENGINES` names every way to run an overlay; `each_engine` parametrises a test on them.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path
from subprocess import DEVNULL, Popen
from types import TracebackType
from typing import NamedTuple

import pytest

from cni_vxlan import watchstate
from tests.cnid.daemon import CNID
from tests.kit.calls import Document
from tests.kit.etcd import EtcdServer
from tests.kit.frr import Frr, needs_frr
from tests.kit.namespace import Namespace
from tests.kit.probe import transfer, wait_reach
from tests.kit.underlay import ROUTER, Node, Underlay, batch

FOUR, SIX = "10.244.{}.0/24", "fd00:1:0:{}::/64"
"""A node's subnets in mode l3, by its number."""
STRETCHED = ("10.42.0.0/24", "fd42::/64")
"""The one segment of mode l2, in which a node's containers have what ends in N1 to N9."""
GROUPS = {4: "239.1.1.1", 6: "ff05::42"}
FLANNEL_VNI = 1


class Engine(NamedTuple):
    """One way to run an overlay. family: the underlay's."""

    peers: str
    mode: str
    family: int

    def __str__(self) -> str:
        return f"{self.peers}-{self.mode}-ipv{self.family}"

    @property
    def largest(self) -> int:
        """The overlay's MTU on an underlay of 1500 octets; flannel's has either family."""
        return 1450 if self.family == 4 and self.peers != "flannel" else 1430


ENGINES = {
    str(one): one
    for one in (
        Engine("static", "l3", 4),
        Engine("static", "l3", 6),
        Engine("static", "l2", 4),
        Engine("static", "l2", 6),
        Engine("multicast", "l2", 4),
        Engine("multicast", "l2", 6),
        Engine("evpn", "l2", 4),
        Engine("flannel", "l3", 4),
        Engine("etcd", "l3", 4),
        Engine("etcd", "l3", 6),
        Engine("etcd", "l2", 4),
    )
}

each_engine = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(one, id=name, marks=[needs_frr] if one.peers == "evpn" else [])
        for name, one in ENGINES.items()
    ],
)


class Container(NamedTuple):
    """A container that is attached. four, six: its addresses without prefix lengths."""

    node: Node
    ns: Namespace
    name: str
    result: Document
    four: str
    six: str

    @property
    def addresses(self) -> tuple[str, str]:
        return self.four, self.six


class Overlay:
    """`with Overlay(underlay, engine) as overlay:` a network, `vni` its VNI and part of its name.

    keys: more of the plugin's config, such as {"ipMasq": True}. etcd, where the engine is that, is
    on the switch; watchers and FRR are on every node.
    """

    _names = itertools.count(1)

    def __init__(
        self, underlay: Underlay, engine: Engine, vni: int = 42, /, **keys: object
    ) -> None:
        self.underlay = underlay
        self.engine = engine
        self.vni = FLANNEL_VNI if engine.peers == "flannel" else vni
        self.name = f"overlay{self.vni}"
        self.listed: list[Node] = []
        """Of static peers; empty for all."""
        self._keys = keys
        self.frr: dict[str, Frr] = {}
        self.watchers: dict[str, Popen[str]] = {}
        self.etcd = EtcdServer(
            underlay.switch, underlay.directory / "etcd", ROUTER[engine.family == 6]
        )

    @property
    def device(self) -> str:
        return f"flannel.{self.vni}" if self.engine.peers == "flannel" else f"vxlan{self.vni}"

    @property
    def bridge(self) -> str:
        return f"vxbr{self.vni}"

    def config(self, node: Node) -> Document:
        """The plugin's config on a node; only IPAM ranges of mode l2 and flannel's differ."""
        engine = self.engine
        found: Document = {
            "cniVersion": "1.1.0",
            "name": self.name,
            "type": "vxlan",
            "vni": self.vni,
            "mode": engine.mode,
            "peers": self._peers(),
            "ipam": {"type": "host-local"},
            **self._keys,
        }
        if engine.mode == "l2" and engine.peers == "etcd":
            found["ipam"] = {
                "type": "etcd-ipam",
                "ranges": [[{"subnet": one}] for one in STRETCHED],
            }
        elif engine.mode == "l2":
            found["ipam"]["ranges"] = [
                [{"subnet": subnet, "rangeStart": first, "rangeEnd": last}]
                for subnet, first, last in _ranges(node)
            ]
        elif engine.peers != "flannel":
            found["network"] = ["10.244.0.0/16", "fd00:1::/48"]
        if engine.peers == "etcd" and engine.family == 6 and node.four:
            found["local"] = node.six  # since it would choose IPv4
        elif node.stays:
            found["local"] = node.four
        return found

    def _peers(self) -> Document:
        engine = self.engine
        if engine.peers == "static":
            nodes = [self._static(node) for node in self.listed or self.underlay.nodes]
            return {"type": "static", "nodes": nodes}
        if engine.peers == "multicast":
            return {"type": "multicast", "group": GROUPS[engine.family]}
        if engine.peers == "etcd":
            return {"type": "etcd", "endpoints": [self.etcd.url]}
        return {"type": engine.peers}

    def _static(self, node: Node) -> Document:
        found: Document = {"address": node.address(self.engine.family)}
        if self.engine.mode == "l3":
            found["subnets"] = [one.format(node.number) for one in (FOUR, SIX)]
        return found

    def attach(self, node: Node, name: str = "") -> Container:
        """ADD one more container on a node."""
        name = name or f"c{next(self._names)}"
        ns = node.container(name)
        result = node.runtime.add(self.config(node), container=name, netns=ns)
        four, six = (one["address"].partition("/")[0] for one in result["ips"])
        return Container(node, ns, name, result, four, six)

    def detach(self, container: Container) -> None:
        """DEL a container."""
        config = self.config(container.node)
        container.node.runtime.delete(config, container=container.name, netns=container.ns)

    def check(self, container: Container) -> None:
        """CHECK a container."""
        container.node.runtime.check(
            self.config(container.node),
            container.result,
            container=container.name,
            netns=container.ns,
        )

    def tables(self, node: Node) -> set[str]:
        """What a node's kernel knows of its peers: forwarding entries, neighbours, routes."""
        fdb = node.command("bridge", "fdb", "show", "dev", self.device).stdout
        found = {f"fdb {line.strip()}" for line in fdb.splitlines() if " dst " in line}
        for family in ("-4", "-6"):
            for what in ("neigh", "route"):
                lines = node.command("ip", family, what, "show", "dev", self.device).stdout
                found |= {f"{what} {line.strip()}" for line in lines.splitlines()}
        return found

    def start(self, node: Node) -> None:
        """Start what must run on a node before its first container."""
        if self.engine.peers == "evpn":
            others = [one.four for one in self.underlay.nodes if one is not node]
            frr = self.frr.setdefault(node.name, Frr(node, others))
            frr.start()
        elif self.engine.peers == "etcd":
            self.watch(node)
        elif self.engine.peers == "flannel":
            flanneld(node, self.underlay.nodes)

    def stop(self, node: Node) -> None:
        """End what runs on a node, without a word to anybody."""
        if node.name in self.frr:
            self.frr[node.name].stop()
        if watcher := self.watchers.pop(node.name, None):
            watcher.kill()
            watcher.wait()

    def watch(self, node: Node) -> None:
        """Install the config on a node, and start the watcher there."""
        node.run(self.install, node)
        self.watchers[node.name] = node.popen(*CNID, "overlay", stdout=DEVNULL, stderr=DEVNULL)

    def install(self, node: Node) -> None:
        """Write the config to where runtimes and the watcher look for it; to be run on the node."""
        config = self.config(node)
        top = {key: config.pop(key) for key in ("cniVersion", "name")}
        conflist = Path("/etc/cni/net.d", f"{self.name}.conflist")
        # In one step: the watcher looks at any time.
        conflist.with_suffix(".new").write_text(json.dumps({**top, "plugins": [config]}))
        conflist.with_suffix(".new").rename(conflist)

    def said(self, node: Node) -> Document:
        """What the watcher on a node says about the network; empty where none answers yet."""
        try:
            return dict(node.run(watchstate.network, self.name))
        except OSError:
            return {}

    def wait_said(self, node: Node, seconds: float = 10, **facts: object) -> None:
        """Wait until the watcher says these, such as state="synced", peers=2."""
        deadline = time.monotonic() + seconds
        while not facts.items() <= (found := self.said(node)).items():
            assert time.monotonic() < deadline, f"{node.name}: {found}, expected {facts}"

    def _stop_all(self) -> None:
        for node in self.underlay.nodes:
            self.stop(node)
        self.etcd.kill()

    def __enter__(self) -> Overlay:
        try:
            if self.engine.peers == "etcd":
                self.etcd.start()
            for node in self.underlay.nodes:
                self.start(node)
            for one in self.frr.values():
                one.wait_peers()
            for node in self.underlay.nodes:
                if node.name in self.watchers:
                    self.wait_said(node, state="absent")
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_all()


def meet(containers: Iterable[Container], *, data: bool = False, seconds: float = 5) -> None:
    """Every container reaches every other one by both families; data: also over TCP.

    seconds: for each of these to come true.
    """
    for origin, target in itertools.permutations(containers, 2):
        for address in target.addresses:
            wait_reach(origin.ns, address, seconds)
            if data:
                assert transfer(origin.ns, target.ns, address, megabytes=1) > 0


def _ranges(node: Node) -> list[tuple[str, str, str]]:
    four, six = STRETCHED
    tens = node.number
    return [
        (four, f"10.42.0.{tens}1", f"10.42.0.{tens}9"),
        (six, f"fd42::{tens}1", f"fd42::{tens}9"),
    ]


def flanneld(node: Node, nodes: Iterable[Node]) -> None:
    """Leave on a node what flanneld 0.26 does: a device for each family, the peers, its file.

    What is on the IPv6 device has an IPv6 underlay. FLANNEL_MTU is that of IPv4 all the same.
    """
    for family, device, subnet in ((4, "flannel.1", FOUR), (6, "flannel-v6.1", SIX)):
        base = subnet.partition("/")[0]
        kind = (
            f"vxlan id {FLANNEL_VNI} dstport 8472 local {node.address(family)} dev eth0 nolearning"
        )
        commands = [
            f"link add {device} address {_flannel_mac(node, family)} type {kind}",
            f"address add {base.format(node.number)} dev {device} noprefixroute",
            f"link set {device} up",
        ]
        entries = []
        for peer in (one for one in nodes if one is not node):
            mac, at = _flannel_mac(peer, family), base.format(peer.number)
            entries.append(f"fdb add {mac} dev {device} dst {peer.address(family)} self permanent")
            commands.append(f"neigh add {at} lladdr {mac} dev {device} nud permanent")
            commands.append(f"route add {subnet.format(peer.number)} via {at} dev {device} onlink")
        batch(node, *commands)
        batch(node, *entries, program="bridge")
    node.run(_write_subnet_env, node)


def _flannel_mac(node: Node, family: int) -> str:
    return f"02:f1:00:00:{family:02x}:{node.number:02x}"


def _write_subnet_env(node: Node) -> None:
    Path("/run/flannel").mkdir(exist_ok=True)
    Path("/run/flannel/subnet.env").write_text(
        "FLANNEL_NETWORK=10.244.0.0/16\n"
        f"FLANNEL_SUBNET=10.244.{node.number}.1/24\n"
        "FLANNEL_IPV6_NETWORK=fd00:1::/48\n"
        f"FLANNEL_IPV6_SUBNET=fd00:1:0:{node.number}::1/64\n"
        "FLANNEL_MTU=1450\n"
        "FLANNEL_IPMASQ=true\n"
    )
