"""Every plugin that the reference may have too: how it is called, and what its ADD may cost.

One entry for each, or for each way of using it that costs something else. Interface plugins have
`static` as their IPAM plugin, which costs least, so that what is seen is theirs. Plugins that come
behind another in a chain get the result of a `bridge`, which is called once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.attachment import Config, host_local, portmap
from bench.cases import START, Bar
from bench.field import REFERENCE, Suite
from bench.process import Timed
from hostnet import link

WARM_BAR = Bar(0.5, REFERENCE)
_AS_IPTABLES = Bar(1.0, REFERENCE)
"""Where the reference executes iptables."""
_AS_START = Bar(6.0, START)
"""Where it does not."""

_STATIC: Config = {
    "type": "static",
    "addresses": [{"address": "10.88.0.2/16", "gateway": "10.88.0.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
}
_BRIDGE: Config = {
    "type": "bridge",
    "bridge": "bench0",
    "isGateway": True,
    "hairpinMode": True,
    "ipam": _STATIC,
}
_MASQUERADE: Config = {"ipMasq": True}
_BY_IPTABLES: Config = {"backend": "iptables"}
_MASQUERADE_BY_IPTABLES: Config = {"ipMasq": True, "ipMasqBackend": "iptables"}
_WIRE = "wire0"
_DEVICE = "device0"
_SPARE = "spare0"


@dataclass(frozen=True)
class Entry:
    """A plugin, called alone or in a chain.

    way: how it is used, where it is in the table more than once. cold: the bar of its cold ADD.
    chained: it comes behind a bridge. kind: of a link that the kernel has to have. ifname: of the
    container's interface. furnish: makes on a host, once, what the plugin expects there. renew:
    undoes before each measurement what the last DEL has left. their_check: whether the reference's
    CHECK can be called. kernel: does, without any plugin, the one thing for which an ADD waits for
    the kernel, whoever asks.
    """

    config: Callable[[Suite], Config]
    way: str = ""
    cold: Bar | None = None
    chained: bool = False
    kind: str = ""
    ifname: str = "eth0"
    furnish: Callable[[Suite], None] | None = None
    renew: Callable[[Suite], None] | None = None
    their_check: bool = True
    kernel: Callable[[Suite], Timed] | None = None


def _of(plugin: str, *parts: Config, **keys: str | int | bool) -> Callable[[Suite], Config]:
    config: Config = {"type": plugin, **keys}
    for part in parts:
        config |= part
    return lambda _suite: config


def _wire(suite: Suite) -> None:
    _pair(suite, _WIRE)


def _device(suite: Suite) -> None:
    _pair(suite, _DEVICE)


def _move(suite: Suite) -> Timed:
    """A device that is up into the container, and back again, which is not timed."""
    with (
        suite.host.open() as host,
        suite.container.open() as container,
        host.netlink() as outside,
        container.netlink() as inside,
    ):
        if link.find(outside, _SPARE) is None:
            _pair(suite, _SPARE)
        spare = link.get(outside, _SPARE)
        link.change(outside, spare.index, up=True)
        began = time.perf_counter()
        link.change(outside, spare.index, netns_fd=container.fileno())
        wall = time.perf_counter() - began
        link.change(inside, link.get(inside, _SPARE).index, netns_fd=host.fileno())
    return Timed(wall, 0.0, b"")


def _pair(suite: Suite, name: str) -> None:
    """A link of the host's that is up and has a carrier."""
    other = f"{name}-peer"
    suite.host.command("ip", "link", "add", name, "type", "veth", "peer", "name", other)
    for end in (name, other):
        suite.host.command("ip", "link", "set", end, "up")


def _routes(suite: Suite) -> None:
    """As the bridge left them: sbr moves them to a table of their own, and its DEL the rules only.

    Without this the reference finds routes of its own from last time, and fails.
    """
    ip = ("ip", "-4", "route")
    suite.container.command(*ip, "flush", "table", "100", check=False)
    suite.container.command(
        *ip, "replace", "10.88.0.0/16", "dev", "eth0", "scope", "link", "src", "10.88.0.2"
    )
    suite.container.command(*ip, "replace", "default", "via", "10.88.0.1", "dev", "eth0")


def _shaping(suite: Suite) -> None:
    """None, as the bridge left it: bandwidth's DEL leaves the host's end to whoever deletes it.

    Without this the reference finds its own queueing discipline from last time, and fails.
    """
    ports = suite.host.command("ip", "-json", "link", "show", "master", "bench0").stdout
    for port in json.loads(ports):
        for side in ("root", "ingress"):
            suite.host.command("tc", "qdisc", "del", "dev", port["ifname"], side, check=False)


BEFORE: Config = _BRIDGE
"""The plugin whose result the chained ones get."""

_IPAM: Config = {"ipam": _STATIC}
_INTERFACES = {
    "bridge": [
        Entry(_of("bridge", _BRIDGE)),
        Entry(_of("bridge", _BRIDGE, _MASQUERADE), "ipMasq", _AS_IPTABLES),
        Entry(_of("bridge", _BRIDGE, _MASQUERADE_BY_IPTABLES), "ipMasq by iptables", _AS_IPTABLES),
    ],
    "ptp": [
        Entry(_of("ptp", _IPAM)),
        Entry(_of("ptp", _IPAM, _MASQUERADE), "ipMasq", _AS_IPTABLES),
    ],
    "macvlan": [Entry(_of("macvlan", _IPAM, master=_WIRE), kind="macvlan", furnish=_wire)],
    "ipvlan": [Entry(_of("ipvlan", _IPAM, master=_WIRE), kind="ipvlan", furnish=_wire)],
    "vlan": [Entry(_of("vlan", _IPAM, master=_WIRE, vlanId=5), kind="vlan", furnish=_wire)],
    "host-device": [
        Entry(_of("host-device", _IPAM, device=_DEVICE), furnish=_device, kernel=_move)
    ],
    "dummy": [Entry(_of("dummy", _IPAM), kind="dummy")],
    "tap": [Entry(_of("tap", _IPAM), kind="tun")],
    "loopback": [Entry(_of("loopback"), ifname="lo")],
}
_ON_TMPFS: Config = {"dataDir": "/run/cni/networks"}
_IPAMS = {
    "host-local": [
        Entry(host_local),
        Entry(lambda suite: host_local(suite) | _ON_TMPFS, "on a tmpfs"),  # syncing costs nothing
    ],
    "static": [Entry(_of("static", _STATIC))],
}
_BURST: Config = {"ingressBurst": 10_000_000, "egressBurst": 10_000_000}
_SYSCTL: Config = {"sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}
_CHAINED = {
    "portmap": [  # 1.1.1's CHECK wants a chain of IPv6 for a container that has no such address
        Entry(lambda _suite: portmap(8080), "", _AS_IPTABLES, chained=True, their_check=False),
        Entry(
            lambda _suite: portmap(8080) | _BY_IPTABLES,
            "by iptables",
            _AS_IPTABLES,
            chained=True,
            their_check=False,
        ),
    ],
    "firewall": [
        Entry(_of("firewall"), "", _AS_IPTABLES, chained=True),
        Entry(_of("firewall", _BY_IPTABLES), "by iptables", _AS_IPTABLES, chained=True),
    ],
    "tuning": [Entry(_of("tuning", _SYSCTL, mtu=1400), "", _AS_START, chained=True)],
    "bandwidth": [
        Entry(
            _of("bandwidth", _BURST, ingressRate=100_000_000, egressRate=100_000_000),
            "",
            _AS_START,
            chained=True,
            kind="ifb",
            renew=_shaping,
        )
    ],
    "sbr": [Entry(_of("sbr"), "", _AS_START, chained=True, renew=_routes)],
    "vrf": [Entry(_of("vrf", vrfname="bench"), "", _AS_START, chained=True, kind="vrf")],
}
ENTRIES = {**_INTERFACES, **_IPAMS, **_CHAINED}
"""By plugin, in the order of the table."""

NOT_COMPARED = {"dhcp": "its ADD waits for a server of the network, and not for the plugin"}
"""Plugins of both suites that are not measured, with the reason."""


PLUGINS = (*ENTRIES, *NOT_COMPARED)
