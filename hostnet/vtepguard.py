"""Guard VXLAN networks: packets for a VNI of ours are accepted from its VTEPs only.

    table inet pycni_vxlan {
        set guarded { port . VNI }              our networks
        set open    { device . port . VNI }     VTEPs unknown (multicast, EVPN): by this device only
        set near    { device . port . VNI }     VTEPs known: the device they are reached by
        set peers4  { port . VNI . ipv4_addr }  the known VTEPs
        set peers6  { port . VNI . ipv6_addr }
        set ports   { protocol . port }         for what has a port and no VNI
        chain input { type filter hook input priority -300; … }
    }

The VNI is matched where RFC 7348 has it, 12 bytes after the start of the UDP header, since a port
is shared: by networks of ours, each with VTEPs of its own, and by those of others (flannel, Docker,
a hand-made device). A VNI that is not of ours is none of our business and passes. So does all that
is not to this host (the hook is `input`), and what is not UDP costs one comparison, other UDP one
look-up.

VXLAN has no authentication. What this keeps out are strangers, not those who can send with the
address of a VTEP: that is up to the underlay, or IPsec below it. Only whoever is attached to this
host by a veth pair or a bridge, its containers above all, is not believed to be a VTEP unless that
device is the underlay.

The hook comes before any ordinary filter, and asks neither connection tracking nor routes. IPv4
fragments are whole packets by then, and those of IPv6 are not: the first one is judged, and where
it ends before the VNI, which no honest sender's does, it is dropped.

To compare 5,000 peers with those in the kernel takes 5 ms, and a hash of them is in the comment of
the element in `guarded`, so `ensure` of what is there already looks one element up.
"""

from __future__ import annotations

from _blake2 import blake2s

from hostnet.nfchange import Changes, change
from hostnet.nfelement import Element, Map, dump, get, keys, number
from hostnet.nftable import Chain, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Iterable
    from typing import TypeAlias

    from hostnet.netfilter import Netfilter

    Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

NAME = "pycni_vxlan"

_RAW = -300  # NF_IP_PRI_RAW, <linux/netfilter_ipv4.h>
_UDP = 17
_SHOWN = 3

_GUARDED = Map(NAME, "guarded", "inet_service . vni")
_OPEN = Map(NAME, "open", "ifname . inet_service . vni")
_NEAR = Map(NAME, "near", "ifname . inet_service . vni")
_PEERS4 = Map(NAME, "peers4", "inet_service . vni . ipv4_addr")
_PEERS6 = Map(NAME, "peers6", "inet_service . vni . ipv6_addr")
_PORTS = Map(NAME, "ports", "inet_proto . inet_service")


class _State:
    """What the sets are to hold of one network: packed keys by set, and the network's element."""

    __slots__ = ("guarded", "keys", "network", "port")

    def __init__(
        self, port: int, vni: int, peers: Iterable[Address] | None = None, underlay: str = ""
    ) -> None:
        self.network = _GUARDED.key.pack((port, vni))
        self.port = Element(_PORTS, (_UDP, port))
        self.keys: dict[Map, set[bytes]] = {one: set() for one in (_OPEN, _NEAR, _PEERS4, _PEERS6)}
        label = ""
        if underlay:
            device = _NEAR.key.pack((underlay, port, vni))
            self.keys[_OPEN if peers is None else _NEAR].add(device)
            for one in peers or ():
                self.keys[_PEERS4 if one.version == 4 else _PEERS6].add(self.network + one.packed)
            label = self._label(peers is None)
        self.guarded = Element(_GUARDED, (port, vni), (), label)

    def _label(self, is_open: bool) -> str:
        """For people, and a hash of all keys: the same for the same peers in any order."""
        digest = blake2s(digest_size=16)
        for one in self.keys.values():
            digest.update(b"%d\n" % len(one) + b"".join(sorted(one)))
        count = len(self.keys[_PEERS4]) + len(self.keys[_PEERS6])
        what = "any VTEP" if is_open else f"{count} peers"
        return f"{what}, digest {digest.hexdigest()}"

    def there(self, nl: Netfilter) -> dict[Map, set[bytes]]:
        """The keys of this network that the sets hold. Lists the sets."""
        return {of: {one for one in keys(nl, of) if self._is_mine(of, one)} for of in self.keys}

    def _is_mine(self, of: Map, key: bytes) -> bool:
        if of is _PEERS4 or of is _PEERS6:
            return key.startswith(self.network)
        return key.endswith(self.network)


def ensure(
    nl: Netfilter,
    port: int,
    vni: int,
    *,
    peers: Iterable[Address] | None,
    underlay: str,
    thorough: bool = False,
) -> bool:
    """Accept packets of this VNI to this UDP port from its VTEPs only; in one transaction.

    peers: the addresses of the VTEPs, in place of those before; None where nobody knows them, and
    everybody may be one who sends by the device `underlay`. The host's own address need not be
    among them. underlay: the device's name as packets bear it when they are delivered (of a device
    in a VRF, the VRF's). The calling thread is in the namespace of `nl`. To be called before the
    vxlan device is up, so that no packet gets through.

    Also restores the table where it is damaged. What it is to hold of this network is taken to be
    there where the hash says so; `thorough`: looked over. False where all was so already.
    Raises ValueError, NftError, NetlinkError, ContentionError.
    """
    if not underlay:
        raise ValueError("the underlay device of a VXLAN network has no name")
    wanted = _State(port, vni, peers, underlay)
    laid = _TABLE.ensure(nl)

    def plan() -> Changes:
        found = get(nl, wanted.guarded)
        known = found is not None and found.comment == wanted.guarded.comment
        if known and not thorough:
            return Changes()
        changes = _exchange(wanted.there(nl), wanted.keys)
        if get(nl, wanted.port) is None:
            changes.create(wanted.port)
        if not known:
            if found is not None:
                changes.delete(found)
            changes.create(wanted.guarded)
        return changes

    return change(nl, plan, f"guard VNI {vni} on UDP port {port} with nftables") or laid


def is_guarded(nl: Netfilter, port: int, vni: int) -> bool:
    """Whether this VNI is guarded, by rules that are as they must be. Raises NetlinkError."""
    return not _TABLE.problems(nl) and get(nl, _State(port, vni).guarded) is not None


def remove(nl: Netfilter, port: int, vni: int) -> None:
    """Guard this VNI on this port no longer; one look-up where nobody did.

    Raises ValueError, NetlinkError, ContentionError.
    """
    mine = _State(port, vni)
    if get(nl, mine.guarded) is None:
        return

    def plan() -> Changes:
        if get(nl, mine.guarded) is None:
            return Changes()
        changes = _exchange(mine.there(nl), mine.keys)
        changes.delete(mine.guarded)
        others = any(one[0] == port for one in registered(nl) if one != (port, vni))
        if not others and get(nl, mine.port) is not None:
            changes.delete(mine.port)
        return changes

    change(nl, plan, f"stop to guard VNI {vni} on UDP port {port} with nftables")


def registered(nl: Netfilter) -> list[tuple[int, int]]:
    """The networks that are guarded, as (port, VNI), sorted. Raises NetlinkError."""
    return sorted((number(one.key[0]), number(one.key[1])) for one in dump(nl, _GUARDED))


def problems(
    nl: Netfilter, port: int, vni: int, *, peers: Iterable[Address] | None, underlay: str
) -> list[str]:
    """What `ensure` of the same, if thorough, would have to change, in words; empty if nothing.

    Raises ValueError, NetlinkError.
    """
    found = _TABLE.problems(nl)
    wanted = _State(port, vni, peers, underlay)
    what = f"VNI {vni} on UDP port {port}"
    if get(nl, wanted.guarded) is None:
        found.append(f"{what} is open to everybody: {_where(_GUARDED)} lacks it")
    there = wanted.there(nl)
    for of, has in there.items():
        if lacking := wanted.keys[of] - has:
            found.append(f"{_where(of)} lacks {_listed(of, lacking)} for {what}")
        if excess := has - wanted.keys[of]:
            found.append(f"{_where(of)} lets in {_listed(of, excess)} for {what} and should not")
    if get(nl, wanted.port) is None:
        found.append(f"{_where(_PORTS)} lacks {port}")
    return found


def _where(of: Map) -> str:
    return f"{of.name} of the nftables table inet {NAME}"


def _listed(of: Map, packed: set[bytes]) -> str:
    """The devices or the addresses of these keys, the first of them."""
    at = 2 if of in (_PEERS4, _PEERS6) else 0
    shown = [str(of.key.unpack(one)[at]) for one in sorted(packed)[:_SHOWN]]
    more = len(packed) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _exchange(before: dict[Map, set[bytes]], after: dict[Map, set[bytes]]) -> Changes:
    changes = Changes()
    for of, old in before.items():
        for key in old - after[of]:
            changes.delete(Element(of, of.key.unpack(key)))
    for of, new in after.items():
        for key in new - before[of]:
            changes.create(Element(of, of.key.unpack(key)))
    return changes


_VNI = "udp dport . @th,96,24"
_INSIDE = 'meta iifkind { "bridge", "veth", "netkit" }'
_TABLE = Table(
    NAME,
    (_GUARDED, _OPEN, _NEAR, _PEERS4, _PEERS6, _PORTS),
    (
        Chain(
            "input",
            (
                ("no UDP", "meta l4proto != udp accept"),
                ("not ours", f"{_VNI} != @{_GUARDED.name} accept"),
                ("any VTEP", f"iifname . {_VNI} @{_OPEN.name} accept"),
                ("containers", f"{_INSIDE} iifname . {_VNI} != @{_NEAR.name} counter drop"),
                ("peers4", f"{_VNI} . ip saddr @{_PEERS4.name} accept"),
                ("peers6", f"{_VNI} . ip6 saddr @{_PEERS6.name} accept"),
                ("strangers", f"{_VNI} @{_GUARDED.name} counter drop"),
                (
                    "cut short",
                    f"frag frag-off 0 meta l4proto . th dport @{_PORTS.name} counter drop",
                ),
            ),
            kind="filter",
            hook="input",
            priority=_RAW,
        ),
    ),
)
