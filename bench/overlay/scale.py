"""What an overlay of many hosts costs one of them, simulated: one kernel, peers that do not exist.

Dual stack, mode l3: a peer has a subnet of each family, which makes a route and a neighbour each,
one forwarding entry, and one element of the guard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

from cni_vxlan import identity
from cni_vxlan.reconcile import Peer, reconcile
from hostnet import link, vtepguard
from hostnet.netfilter import Netfilter
from hostnet.netlink import Netlink
from tests.kit.namespace import Namespace

SIZES = (10, 100, 1000, 5000)
_VNI, _PORT = 42, 4789
_ENTRIES = 6
"""Kernel entries for each peer: two routes, two neighbours, one forwarding entry, one element."""


@dataclass(frozen=True)
class Scale:
    """One size. Times in ms: tables are the routes, neighbours and entries; guard is nftables."""

    peers: int
    entries: int
    tables: float
    guard: float
    unchanged: float
    one_more: float
    gone: float


def measure(directory: Path) -> list[Scale]:
    """Each size on a host of its own. directory: an empty one."""
    return [_on_a_host(directory, size) for size in SIZES]


def _on_a_host(directory: Path, size: int) -> Scale:
    host = Namespace(directory / f"host{size}")
    try:
        host.command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
        host.command("ip", "address", "add", "198.18.0.1/15", "dev", "eth0")
        for name in ("wire", "eth0"):
            host.command("ip", "link", "set", name, "up")
        made = f"vxlan42 type vxlan id {_VNI} dev eth0 dstport {_PORT} nolearning local 198.18.0.1"
        host.command("ip", "link", "add", *made.split())
        host.command("ip", "link", "set", "vxlan42", "up")
        return host.run(_measure, size)
    finally:
        host.close()


def _measure(size: int) -> Scale:
    *peers, last = _peers(size + 1)
    with Netlink() as nl, Netfilter() as nf:
        device = link.get(nl, "vxlan42")

        def tables(wanted: list[Peer]) -> None:
            changes = reconcile(nl, device, "l3", wanted)
            if changes.problems:
                raise RuntimeError("; ".join(changes.problems))

        def guard(wanted: list[Peer]) -> None:
            addresses = [one.address for one in wanted]
            vtepguard.ensure(nf, _PORT, _VNI, peers=addresses, underlay="eth0", thorough=True)

        def both(wanted: list[Peer]) -> None:
            guard(wanted)
            tables(wanted)

        return Scale(
            size,
            size * _ENTRIES,
            tables=_timed(tables, peers),
            guard=_timed(guard, peers),
            unchanged=_timed(both, peers),
            one_more=_timed(both, [*peers, last]),
            gone=_timed(both, []),
        )


def _timed(act: Callable[[list[Peer]], None], peers: list[Peer]) -> float:
    start = time.perf_counter()
    act(peers)
    return (time.perf_counter() - start) * 1000


def _peers(count: int) -> Iterator[Peer]:
    """Of 198.18.0.0/15, the addresses for benchmarks (RFC 2544)."""
    for number in range(2, count + 2):
        address = IPv4Address("198.18.0.0") + number
        yield Peer(
            address,
            identity.vtep_mac(str(address), _VNI, 4),
            (
                IPv4Network((int(IPv4Address("10.0.0.0")) + number * 256, 24)),
                IPv6Network((0xFD00_0001 << 96 | number << 64, 64)),
            ),
        )
