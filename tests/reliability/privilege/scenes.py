"""A call of each plugin that this kernel can serve, with what it needs around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace

IPAM = {"type": "static", "addresses": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1"}]}


class Scene:
    """A host, a runtime on it and a container, for one plugin."""

    def __init__(self, host: Host, runtime: Runtime, ns: Namespace) -> None:
        self.host = host
        self.runtime = runtime
        self.ns = ns
        self.config: Document = {}

    def network(self, plugin: str, **keys: Any) -> None:
        """The config of the plugin's calls."""
        self.config = {"cniVersion": "1.1.0", "name": "net", "type": plugin, **keys}

    def veth(self, name: str, ns: Namespace, inner: str, *addresses: str) -> None:
        """A pair from the host to a namespace, both ends up."""
        self.host.command(
            *("ip", "link", "add", name, "type", "veth", "peer", "name", inner, "netns", str(ns))
        )
        self.host.command("ip", "link", "set", name, "up")
        ns.command("ip", "link", "set", inner, "up")
        for one in addresses:
            ns.command("ip", "address", "add", one, "dev", inner, "nodad")

    def call(self, verb: str, **keys: Any) -> Document | None:
        """Call the plugin; its result."""
        return self.runtime.call(verb, {**self.config, **keys}, netns=self.ns)


def _uplink(scene: Scene) -> None:
    scene.veth("dev0", scene.host.container("wire"), "wire0")


def _inside(scene: Scene) -> None:
    """The container with an interface, as the plugin before left it."""
    scene.veth("port0", scene.ns, "eth0", "10.9.0.2/24")
    scene.host.command("ip", "address", "add", "10.9.0.1/24", "dev", "port0")
    previous = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "port0"}, {"name": "eth0", "sandbox": str(scene.ns)}],
        "ips": [{"interface": 1, "address": "10.9.0.2/24", "gateway": "10.9.0.1"}],
    }
    scene.config = {**scene.config, "prevResult": previous}


def _bridge(scene: Scene) -> None:
    scene.network("bridge", bridge="br0", isGateway=True, ipMasq=True, macspoofchk=True, ipam=IPAM)


def _ptp(scene: Scene) -> None:
    scene.network("ptp", ipMasq=True, ipam=IPAM)


def _macvlan(scene: Scene) -> None:
    _uplink(scene)
    scene.network("macvlan", master="dev0", ipam=IPAM)


def _host_device(scene: Scene) -> None:
    _uplink(scene)
    scene.network("host-device", device="dev0", ipam=IPAM)


def _tap(scene: Scene) -> None:
    scene.network("tap", ipam=IPAM)


def _loopback(scene: Scene) -> None:
    scene.ns.command("ip", "link", "set", "lo", "down")  # else ADD has nothing to do
    scene.network("loopback")


def _vxlan(scene: Scene) -> None:
    _uplink(scene)
    scene.host.command("ip", "address", "add", "192.0.2.1/24", "dev", "dev0")
    nodes = [
        {"address": f"192.0.2.{number}", "subnets": [f"10.244.{number}.0/24"]} for number in (1, 2)
    ]
    scene.network(
        "vxlan",
        vni=42,
        network=["10.244.0.0/16"],
        peers={"type": "static", "nodes": nodes},
        ipam={"type": "host-local", "dataDir": str(scene.host.state)},
    )


def _host_local(scene: Scene) -> None:
    ipam = {"type": "host-local", "subnet": "10.9.0.0/24", "dataDir": str(scene.host.state)}
    scene.network("host-local", ipam=ipam)


def _static(scene: Scene) -> None:
    scene.network("static", ipam=IPAM)


def _portmap(scene: Scene, **keys: Any) -> None:
    ports = [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]
    scene.network("portmap", runtimeConfig={"portMappings": ports}, **keys)
    _inside(scene)


def _portmap_iptables(scene: Scene) -> None:
    _portmap(scene, backend="iptables")


def _firewall(scene: Scene) -> None:
    scene.network("firewall", backend="nftables")
    _inside(scene)


def _tuning(scene: Scene) -> None:
    sysctls = {"net.ipv4.conf.IFNAME.arp_filter": "1"}
    scene.network("tuning", sysctl=sysctls, mtu=1400, dataDir=str(scene.host.state))
    _inside(scene)


def _bandwidth(scene: Scene) -> None:
    rates = {f"{way}{key}": 8_000_000 for way in ("ingress", "egress") for key in ("Rate", "Burst")}
    scene.network("bandwidth", **rates)
    _inside(scene)


def _sbr(scene: Scene) -> None:
    scene.network("sbr")
    _inside(scene)


ADMIN = frozenset({"CAP_NET_ADMIN"})
ENTER = frozenset({"CAP_SYS_ADMIN"})
RAW = frozenset({"CAP_NET_RAW"})
NOTHING: frozenset[str] = frozenset()
VERBS = ("ADD", "CHECK", "DEL", "GC", "STATUS")


class Case(NamedTuple):
    """A plugin's scene, and the capabilities that each of VERBS fails without."""

    prepare: Callable[[Scene], None]
    needs: tuple[frozenset[str], ...]
    iptables: str = ""

    @property
    def all(self) -> frozenset[str]:
        """Of all verbs."""
        return frozenset().union(*self.needs)


_LINK = (ADMIN | ENTER, ENTER, ADMIN | ENTER, NOTHING)
_BRIDGED = (ADMIN | ENTER, ADMIN | ENTER, ADMIN, ADMIN)
_FILTER = (ADMIN,) * len(VERBS)
_IPAM = (NOTHING,) * len(VERBS)

CASES = {
    "bridge": Case(_bridge, (*_BRIDGED, ADMIN)),
    "ptp": Case(_ptp, (*_BRIDGED, ADMIN)),
    "vxlan": Case(_vxlan, (*_BRIDGED, ADMIN)),
    "macvlan": Case(_macvlan, (*_LINK, ADMIN)),
    "host-device": Case(_host_device, (*_LINK, NOTHING)),
    "tap": Case(_tap, (*_LINK, NOTHING)),
    "loopback": Case(_loopback, (*_LINK, NOTHING)),
    "host-local": Case(_host_local, _IPAM),
    "static": Case(_static, _IPAM),
    "portmap": Case(_portmap, _FILTER),
    "portmap by iptables-nft": Case(_portmap_iptables, _FILTER, "nft"),
    "portmap by iptables-legacy": Case(_portmap_iptables, (*(ADMIN | RAW,) * 4, ADMIN), "legacy"),
    "firewall": Case(_firewall, _FILTER),
    # What DEL may not give back it tells on stderr.
    "tuning": Case(_tuning, (ADMIN | ENTER, ENTER, ENTER, NOTHING, NOTHING)),
    "bandwidth": Case(_bandwidth, (ADMIN | ENTER, ENTER, ADMIN | ENTER, NOTHING, ADMIN)),
    "sbr": Case(_sbr, (*_LINK, NOTHING)),
}
