"""The key `peers`: which engine tells a host about the others, and what it has to be told.

One record for each engine. Only their keys are read here; what an engine then does is in the
module of its verb.
"""

from __future__ import annotations

import itertools
from ipaddress import IPv4Network, IPv6Network

from cni.errors import INVALID_CONFIG, CniError
from cni.ip import is_inside, parse_interface
from cni.jsonvalue import wrong_value
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from cni.ip import Address, Network
    from cni.jsonvalue import JsonObject
    from wiring.etcd_settings import Settings

    Peers: TypeAlias = "Static | Multicast | Evpn | Etcd | Flannel"

MODES = {
    "static": ("l3", "l2"),
    "multicast": ("l2",),
    "evpn": ("l2",),
    "etcd": ("l3", "l2"),
    "flannel": ("l3",),
}
"""The engines, each with its modes, of which the first is the default."""
SUBNET_FILE = "/run/flannel/subnet.env"
_LENGTHS = {4: 24, 6: 64}
_SUBNET = "a subnet such as 10.244.1.0/24 or fd00:1:0:1::/64"
_SUBNETS = 'the host\'s subnets, such as ["10.244.1.0/24", "fd00:1:0:1::/64"]'


@record
class StaticNode:
    """A host: its VTEP's address and, in mode l3, its subnets, at most one of each family."""

    address: Address
    subnets: tuple[Network, ...] = ()


@record
class Static:
    """All hosts, this one among them."""

    nodes: tuple[StaticNode, ...]
    engine = "static"


@record
class Multicast:
    """The group that what has no known place is sent to."""

    group: Address
    engine = "multicast"


@record
class Evpn:
    """FRR, which reads everything from the device."""

    engine = "evpn"


@record
class Etcd:
    """lengths: the prefix length of a node's subnet by family, for each family with a pool."""

    settings: Settings
    lengths: tuple[tuple[int, int], ...] = ()
    engine = "etcd"


@record
class Flannel:
    """subnet_file: the path of what flanneld writes for its CNI plugin."""

    subnet_file: str
    engine = "flannel"


def read(config: JsonObject, network: str, mode: str, pools: tuple[Network, ...]) -> Peers:
    """The key `peers` of a whole config.

    pools: the overlay's networks, none in mode l2. Raises CniError(INVALID_CONFIG) for the first
    key that is wrong.
    """
    peers = config.object("peers")
    engine = read_engine(config)
    if engine == "static":
        return Static(_nodes(peers, mode, pools))
    if engine == "multicast":
        return Multicast(_group(peers))
    if engine == "evpn":
        return Evpn()
    if engine == "flannel":
        return Flannel(_subnet_file(peers))
    from wiring import etcd_settings

    return Etcd(etcd_settings.read(peers, network), _lengths(peers, pools))


def read_engine(config: JsonObject) -> str:
    """`peers.type` of a whole config; static where it says nothing."""
    return config.object("peers").choice("type", tuple(MODES), "static")


def default_mode(engine: str) -> str:
    """The mode where the config names none; "l3" also for an engine that there is not."""
    return MODES.get(engine, ("l3",))[0]


def subnet(place: str, text: str) -> Network:
    """A subnet without host bits. Raises CniError(INVALID_CONFIG)."""
    # A list may have thousands: what is plainly right takes a fifth of the time this way.
    if text.rpartition("/")[2].isdecimal() and text.isascii() and "%" not in text:
        try:
            return IPv4Network(text) if ":" not in text else _not_mapped(IPv6Network(text))
        except ValueError:
            pass
    try:
        given = parse_interface(text)
    except ValueError:
        raise wrong_value(place, text, _SUBNET) from None
    if given.ip != given.network.network_address:
        raise wrong_value(place, text, f"no host bits set; the network is {given.network}")
    return given.network


def _not_mapped(found: IPv6Network) -> IPv6Network:
    """Raises ValueError for IPv4 in the guise of IPv6, which Go and so `cni.ip` take for IPv4."""
    if found.network_address.ipv4_mapped is not None:
        raise ValueError
    return found


def subnets(config: JsonObject, key: str) -> tuple[Network, ...]:
    """A list of subnets, at most one of each family. Raises CniError(INVALID_CONFIG)."""
    found: dict[int, Network] = {}
    for index, text in enumerate(config.strings(key)):
        place = f"{config.place(key)}[{index}]"
        one = subnet(place, text)
        if one.version in found:
            raise wrong_value(
                place, text, f"one IPv{one.version} subnet, beside {found[one.version]}"
            )
        found[one.version] = one
    return tuple(found[version] for version in sorted(found))


def _nodes(peers: JsonObject, mode: str, pools: tuple[Network, ...]) -> tuple[StaticNode, ...]:
    items = peers.objects("nodes")
    if not items:
        raise peers.wrong(
            "nodes", 'a list of all hosts, this one too, such as [{"address": "192.0.2.1"}]'
        )
    nodes = tuple(_node(item, mode, pools) for item in items)
    places: dict[Address, str] = {}
    for item, node in zip(items, nodes, strict=True):
        if node.address in places:
            raise item.wrong("address", f"an address of its own, {places[node.address]} has it")
        if node.address.version != nodes[0].address.version:
            raise item.wrong(
                "address",
                f"an IPv{nodes[0].address.version} address as the first node's: all VTEPs of a "
                "network are of one family",
            )
        places[node.address] = item.where
    _refuse_overlap(nodes)
    return nodes


def _node(item: JsonObject, mode: str, pools: tuple[Network, ...]) -> StaticNode:
    address = vtep(item, "address")
    if address is None:
        raise item.wrong("address", "the address of the host's VTEP such as 192.0.2.1")
    if any(address in pool for pool in pools):
        raise item.wrong("address", 'an address outside "network": the overlay cannot carry itself')
    if mode == "l2":
        if item.items("subnets"):
            raise item.wrong(
                "subnets",
                'none in mode "l2", whose hosts share one segment: give each host ranges of its '
                'own in "ipam"',
            )
        return StaticNode(address)
    found = subnets(item, "subnets")
    if not found:
        raise item.wrong("subnets", _SUBNETS)
    for one in found:
        _check_subnet(item, one, pools)
    return StaticNode(address, found)


def _check_subnet(item: JsonObject, one: Network, pools: tuple[Network, ...]) -> None:
    if one.prefixlen > one.max_prefixlen - 2:
        raise item.wrong(
            "subnets",
            f"prefix lengths of at most {one.max_prefixlen - 2}: {one} is too small to allocate "
            "from",
        )
    if not any(is_inside(one, pool) for pool in pools):
        raise item.wrong(
            "subnets", f'subnets of "network" ({", ".join(map(str, pools))}), and {one} is none'
        )


def _refuse_overlap(nodes: Iterable[StaticNode]) -> None:
    """In order of their addresses, two subnets that overlap have no third one between them."""
    everything = sorted(
        (one.version, int(one.network_address), one.prefixlen, one, node.address)
        for node in nodes
        for one in node.subnets
    )
    for before, after in itertools.pairwise(everything):
        if before[0] == after[0] and after[3].network_address in before[3]:
            raise CniError(
                INVALID_CONFIG,
                f'key "peers.nodes": found {before[3]} of {before[4]} and {after[3]} of '
                f"{after[4]}, which overlap, expected subnets of each node's own",
            )


def vtep(config: JsonObject, key: str) -> Address | None:
    """The address of a VTEP; None where the key is missing. Raises CniError(INVALID_CONFIG)."""
    address = config.address(key)
    if address is None:
        return None
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise config.wrong(key, "a unicast address that other hosts reach")
    if address.version == 6 and address.is_link_local:
        raise config.wrong(key, "an address that is the same on every link, and no link-local one")
    return address


def _group(peers: JsonObject) -> Address:
    group = peers.address("group")
    if group is None or not group.is_multicast:
        raise peers.wrong("group", "a multicast address such as 239.1.1.1 or ff05::4789")
    return group


def _subnet_file(peers: JsonObject) -> str:
    path = peers.string("subnetFile") or SUBNET_FILE
    if not path.startswith("/"):
        raise peers.wrong("subnetFile", f"an absolute path such as {SUBNET_FILE}")
    return path


def _lengths(peers: JsonObject, pools: tuple[Network, ...]) -> tuple[tuple[int, int], ...]:
    lengths = peers.object("subnetLength")
    found = []
    for pool in pools:
        version, most = pool.version, pool.max_prefixlen - 2
        length = lengths.integer(str(version), _LENGTHS[version], 0, pool.max_prefixlen)
        if not pool.prefixlen <= length <= most:
            default = "" if lengths.has(str(version)) else f" (it is {length} by default)"
            raise lengths.wrong(
                str(version),
                f"the prefix length of a node's subnet, from {pool.prefixlen}, that of its pool "
                f"{pool}, to {most}{default}",
            )
        found.append((version, length))
    return tuple(found)
