"""Every plugin that a reference may have too: how it is called, and what its ADD may cost.

One entry for each, or for each way of using it that costs something else. Interface plugins have
`static` as their IPAM plugin, which costs least, so that what is seen is theirs. Plugins that come
behind another in a chain get the result of a `bridge`, which is called once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import furnish, lan
from bench.attachment import Config, host_local, portmap
from bench.cases import START, Bar
from bench.field import REFERENCE, Field, Suite
from bench.furnish import DEVICE, WIRE
from bench.process import Timed

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


@dataclass(frozen=True)
class Entry:
    """A plugin, called alone or in a chain.

    way: how it is used, where it is in the table more than once. cold: the bar of its cold ADD.
    chained: it comes behind a bridge. kind: of a link that the kernel has to have. program: what
    has to be installed besides. ifname: of the container's interface. furnish: makes on a host,
    once, what the plugin expects there. renew: undoes before each measurement what the last DEL has
    left. their_check: whether the reference's CHECK can be called. kernel: does, without any
    plugin, the one thing for which an ADD waits for the kernel, whoever asks.
    """

    config: Callable[[Suite], Config]
    way: str = ""
    cold: Bar | None = None
    chained: bool = False
    kind: str = ""
    program: str = ""
    ifname: str = "eth0"
    furnish: Callable[[Suite, Field], None] | None = None
    renew: Callable[[Suite], None] | None = None
    their_check: bool = True
    kernel: Callable[[Suite], Timed] | None = None


def _of(plugin: str, *parts: Config, **keys: str | int | bool) -> Callable[[Suite], Config]:
    config: Config = {"type": plugin, **keys}
    for part in parts:
        config |= part
    return lambda _suite: config


def _dhcp(suite: Suite) -> Config:
    return {"type": "dhcp", "daemonSocketPath": str(lan.socket_of(suite))}


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
    "macvlan": [Entry(_of("macvlan", _IPAM, master=WIRE), kind="macvlan", furnish=furnish.wire)],
    "ipvlan": [Entry(_of("ipvlan", _IPAM, master=WIRE), kind="ipvlan", furnish=furnish.wire)],
    "vlan": [Entry(_of("vlan", _IPAM, master=WIRE, vlanId=5), kind="vlan", furnish=furnish.wire)],
    "host-device": [
        Entry(_of("host-device", _IPAM, device=DEVICE), furnish=furnish.device, kernel=furnish.move)
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
    "dhcp": [Entry(_dhcp, furnish=lan.furnish, program=lan.SERVER)],
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
            renew=furnish.without_shaping,
        )
    ],
    "sbr": [Entry(_of("sbr"), "", _AS_START, chained=True, renew=furnish.main_routes)],
    "vrf": [
        Entry(
            _of("vrf", vrfname="bench"),
            "",
            _AS_START,
            chained=True,
            kind="vrf",
            renew=furnish.main_routes,
        )
    ],
}
ENTRIES = {**_INTERFACES, **_IPAMS, **_CHAINED}
"""By plugin, in the order of the table."""

PLUGINS = tuple(ENTRIES)
