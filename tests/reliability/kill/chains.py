"""The plugins, and the networks by which each is tried: what the matrices have a row for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

Document = dict[str, Any]

FOREIGN = "foreign-local"
"""An IPAM plugin that is not the suite's own and is executed: host-local, copied."""
DEVICE = (
    "link add hd0 address 02:00:5e:00:00:01 type veth peer name hd1 address 02:00:5e:00:00:02",
    "link set hd0 up",
)
UNDERLAY = (
    "link add eth0 mtu 1500 type veth peer name wire",
    "address add 192.0.2.1/24 dev eth0",
    "address add 2001:db8::1/64 dev eth0 nodad",
    "link set wire up",
    "link set eth0 up",
    "route add default via 192.0.2.254 dev eth0",
)
_NODES = [
    {"address": f"192.0.2.{n}", "subnets": [f"10.244.{n}.0/24", f"fd00:1:0:{n}::/64"]}
    for n in (1, 2, 3)
]
_RATES = {
    "ingressRate": 20_000_000,
    "ingressBurst": 800_000,
    "egressRate": 40_000_000,
    "egressBurst": 1_600_000,
}
_PORTS = [
    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
    {"hostPort": 8053, "containerPort": 53, "protocol": "udp"},
]


class Chain(NamedTuple):
    """A network whose last plugin is killed; those before it are called, and not killed.

    furniture: commands of `ip` that give the host what the plugin needs, its links first. inside:
    whether all that an attachment has is in its namespace, which GC is not told.
    """

    name: str
    plugins: tuple[Document, ...]
    furniture: tuple[str, ...] = ()
    inside: bool = False


def chains(data: Path) -> dict[str, Chain]:
    """All of them by name. data: where IPAM plugins and tuning keep what they keep."""
    local = {
        "type": "host-local",
        "dataDir": str(data),
        "ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]],
    }
    static = {
        "type": "static",
        "addresses": [{"address": "10.1.0.2/16", "gateway": "10.1.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    pair = {"type": "ptp", "ipam": static}
    bridge = {"type": "bridge", "bridge": "cni0", "ipMasq": True, "isDefaultGateway": True}
    overlay = {"type": "vxlan", "vni": 42, "peers": {"type": "static", "nodes": _NODES}}
    published = {"type": "portmap", "runtimeConfig": {"portMappings": _PORTS}}
    l2 = {
        "mode": "l2",
        "peers": {"type": "static", "nodes": [{"address": one["address"]} for one in _NODES]},
    }
    found = (
        Chain("bridge, nftables", ({**bridge, "ipam": local},)),
        Chain("bridge, pruned", ({**bridge, "pruneBridge": True, "ipam": local},)),
        Chain("bridge, iptables", ({**bridge, "ipam": local, "ipMasqBackend": "iptables"},)),
        Chain("bridge, foreign IPAM", ({**bridge, "ipam": {**local, "type": FOREIGN}},)),
        Chain(
            "bridge, l2", ({"type": "bridge", "bridge": "cni0", "macspoofchk": True, "ipam": {}},)
        ),
        Chain("ptp", ({"type": "ptp", "ipMasq": True, "ipam": local},)),
        Chain("macvlan", ({"type": "macvlan", "master": "hd0", "ipam": local},), DEVICE, True),
        Chain(
            "host-device", ({"type": "host-device", "device": "hd0", "ipam": local},), DEVICE, True
        ),
        Chain("tap", ({"type": "tap", "ipam": local},), (), True),
        Chain(
            "vxlan, l3",
            (
                {
                    **overlay,
                    "network": ["10.244.0.0/16", "fd00:1::/48"],
                    "ipMasq": True,
                    "ipam": {"type": "host-local", "dataDir": str(data)},
                },
            ),
            UNDERLAY,
        ),
        Chain("vxlan, l2", ({**overlay, **l2, "ipam": local},), UNDERLAY),
        Chain("host-local", ({"type": "host-local", "ipam": local},)),
        Chain("static", ({"type": "static", "ipam": static},)),
        Chain("portmap, nftables", (pair, {**published, "backend": "nftables"})),
        Chain("portmap, iptables", (pair, {**published, "backend": "iptables"})),
        Chain("firewall, nftables", (pair, {"type": "firewall", "backend": "nftables"})),
        Chain("firewall, iptables", (pair, {"type": "firewall", "backend": "iptables"})),
        Chain(
            "tuning",
            (
                pair,
                {
                    "type": "tuning",
                    "dataDir": str(data),
                    "mac": "02:00:00:00:00:77",
                    "mtu": 1400,
                    "promisc": True,
                    "txQLen": 2000,
                    "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"},
                },
            ),
        ),
        Chain("bandwidth", (pair, {"type": "bandwidth", **_RATES})),
        Chain("sbr", (pair, {"type": "sbr"})),
        Chain("loopback", ({"type": "loopback"},)),
    )
    return {one.name: one for one in found}


NAMES = tuple(chains(Path("/")))
