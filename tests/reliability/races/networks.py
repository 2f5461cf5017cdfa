"""The networks that the races are about: every kind of state a plugin keeps, several in a chain."""

from __future__ import annotations

import json
from typing import Any

from libcni import NetworkConfigList, network_from_bytes
from tests.kit import iptables
from tests.kit.host import Host

UPLINK = "uplink"
"""The host's interface with an underlay address: macvlan's master, and below the overlay."""
UNDERLAY = "192.0.2.1"
Document = dict[str, Any]


def ipam(host: Host, *subnets: str, **keys: Any) -> Document:
    """host-local, with a range set of each of the subnets."""
    ranges = [[{"subnet": one}] for one in subnets]
    return {"type": "host-local", "dataDir": str(host.state / "ipam"), "ranges": ranges, **keys}


def _chain(name: str, *plugins: Document) -> NetworkConfigList:
    document = {"cniVersion": "1.1.0", "name": name, "plugins": list(plugins)}
    return network_from_bytes(json.dumps(document).encode())


def _portmap(**keys: Any) -> Document:
    return {"type": "portmap", "capabilities": {"portMappings": True}, **keys}


def web(host: Host) -> NetworkConfigList:
    """What podman and nerdctl write, and all that can stand behind it."""
    bridge = {
        "type": "bridge",
        "bridge": "race-web",
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam(host, "10.1.0.0/16", "fd00:1::/64"),
    }
    rates = {"ingressRate": 8_000_000, "egressRate": 8_000_000}
    tuning = {
        "type": "tuning",
        "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"},
        "mtu": 1400,
        "dataDir": str(host.state / "tuning"),
    }
    firewall = {"type": "firewall", "ingressPolicy": "same-bridge"}
    return _chain("web", bridge, _portmap(), firewall, tuning, {"type": "bandwidth", **rates})


def published(host: Host) -> NetworkConfigList:
    """The usual three."""
    bridge = {"type": "bridge", "bridge": "race-web", "isGateway": True, "ipMasq": True}
    section = ipam(host, "10.7.0.0/16", routes=[{"dst": "0.0.0.0/0"}])
    return _chain("published", {**bridge, "ipam": section}, _portmap(), {"type": "firewall"})


def pruned(host: Host) -> NetworkConfigList:
    """A bridge that goes with the last container and comes with the next."""
    bridge = {"type": "bridge", "bridge": "race-pruned", "isGateway": True, "pruneBridge": True}
    return _chain("pruned", {**bridge, "ipam": ipam(host, "10.8.0.0/16")})


def small(host: Host) -> NetworkConfigList:
    """A range hardly larger than the crowd, so that addresses come back at once."""
    section = ipam(host, "10.2.0.0/24")
    bridge = {"type": "bridge", "bridge": "race-small", "isGateway": True, "ipMasq": True}
    return _chain("small", {**bridge, "ipam": section})


def routed(host: Host) -> NetworkConfigList:
    section = ipam(host, "10.3.0.0/16", routes=[{"dst": "0.0.0.0/0"}])
    return _chain("routed", {"type": "ptp", "ipMasq": True, "ipam": section}, _portmap())


def lan(host: Host) -> NetworkConfigList:
    section = ipam(host, "10.4.0.0/16")
    return _chain("lan", {"type": "macvlan", "master": UPLINK, "mode": "bridge", "ipam": section})


def overlay(host: Host) -> NetworkConfigList:
    """A segment whose device and bridge go with the last container and come with the next."""
    vxlan = {
        "type": "vxlan",
        "vni": 42,
        "mode": "l2",
        "peers": {"type": "multicast", "group": "239.1.1.1"},
        "ipam": ipam(host, "10.5.0.0/16"),
    }
    return _chain("overlay", vxlan)


def by_iptables(host: Host) -> NetworkConfigList:
    bridge = {
        "type": "bridge",
        "bridge": "race-old",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": "iptables",
        "ipam": ipam(host, "10.6.0.0/16"),
    }
    backend = {"backend": "iptables"}
    return _chain("old", bridge, _portmap(**backend), {"type": "firewall", **backend})


NFTABLES = (web, small, pruned, routed, lan, overlay)
EVERY = (*NFTABLES, by_iptables)


def connect(host: Host) -> None:
    """Give the host its uplink, and say what of the networks outlives their containers."""
    wire = host.container("wire")
    host.command(
        *("ip", "link", "add", UPLINK, "mtu", "1500", "type", "veth"),
        *("peer", "name", "wire", "netns", str(wire)),
    )
    wire.command("ip", "link", "set", "wire", "up")
    host.command("ip", "address", "add", f"{UNDERLAY}/24", "dev", UPLINK)
    host.command("ip", "link", "set", UPLINK, "up")
    host.command("ip", "route", "add", "default", "via", "192.0.2.254", "dev", UPLINK)
    for bridge in ("race-web", "race-small", "race-old"):
        host.share_bridge(bridge)
    host.share_nft()
    host.share_locks()
    iptables.share(host)
    # What all containers share stays, as with the reference.
    for table, chain in (("nat", "CNI-HOSTPORT-*"), ("filter", "CNI-*"), ("raw", "*")):
        host.share(f"nft chain ip* {table} {chain}", f"nft rule ip* {table} *")


def disconnect(host: Host) -> None:
    host.command("ip", "link", "delete", UPLINK)
