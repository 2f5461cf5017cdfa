"""The nftables table `inet pycni_portmap`: its maps and rules, and a published port in them.

A packet to an address of the host meets a fixed number of look-ups, whether 10 or 10,000 ports are
published, and each published port is a few elements:

    any4   { inet_proto . inet_service : ipv4_addr . inet_service }              8080 of any address
    addr4  { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }  of one address
    near4  { ifname . ipv4_addr . inet_proto . inet_service }    to the container, from its own link
    self4  { ipv4_addr . ipv4_addr . inet_proto . inet_service } to the container, from itself
    all4   { ipv4_addr . inet_proto . inet_service }             to the container, from anywhere
    owners                                                       whose it is, see hostnet/nfowner.py

and the same for IPv6. README.md shows the whole of it and says why.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from cni.record import record, replace
from hostnet.nfelement import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    VERDICT,
    Element,
    Map,
    mapped,
    number,
    unmapped,
)
from hostnet.nfowner import Registry, Waiting
from hostnet.nftable import Chain, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.nfelement import Values
    from hostnet.nfowner import Owner

NAME = "pycni_portmap"

# What is done about a published port besides translating its address: bits of the mark in `owners`.
NEAR = 1
"""Masquerade what comes from the container's own link or from itself: the answer would not come
back through the host. From itself is told apart where br_netfilter is active: a packet that goes
back into its bridge has no link that it came from, and needs nothing more.
"""
ALL = 2
"""Masquerade everything (`masqAll`)."""
GATED = 4
"""Only what meets the attachment's conditions."""
PENDING = 8
"""Nothing yet: the owner is known, in case the call gets killed."""
WAITING = 128
"""Nothing while another attachment of the same container has this port; the next one to have it."""

_TARGET = {4: "ipv4_addr . inet_service", 6: "ipv6_addr . inet_service"}
_FAMILY = {4: NFPROTO_IPV4, 6: NFPROTO_IPV6}
_WORD = {4: "ip", 6: "ip6"}

ANY = {v: Map(NAME, f"any{v}", "inet_proto . inet_service", _TARGET[v]) for v in (4, 6)}
ADDR = {
    v: Map(NAME, f"addr{v}", f"ipv{v}_addr . inet_proto . inet_service", _TARGET[v]) for v in (4, 6)
}
NEARBY = {
    v: Map(NAME, f"near{v}", f"ifname . ipv{v}_addr . inet_proto . inet_service", shared=True)
    for v in (4, 6)
}
ITSELF = {
    v: Map(NAME, f"self{v}", f"ipv{v}_addr . ipv{v}_addr . inet_proto . inet_service", shared=True)
    for v in (4, 6)
}
EVERY = {
    v: Map(NAME, f"all{v}", f"ipv{v}_addr . inet_proto . inet_service", shared=True) for v in (4, 6)
}
GATES = Map(NAME, "gates", "nf_proto . inet_proto . inet_service", VERDICT)
GATES_ADDR = {
    v: Map(NAME, f"gates{v}", f"ipv{v}_addr . inet_proto . inet_service", VERDICT) for v in (4, 6)
}
SPLIT = Map(NAME, "split", "nf_proto . inet_proto . inet_service", shared=True)
"""Ports that are published at single addresses: none of them can be had at all addresses, but by
the same container.
"""
QUEUE = Map(NAME, "waiting", "ipv6_addr . inet_proto . inet_service", shared=True)
"""Ports that somebody waits for (WAITING), so that who has one can tell when it leaves."""


@record
class Published:
    """A port of the host, of one IP version, that leads to a container.

    protocol: an IP protocol number. host: None for all addresses. link: the name of the host's
    link towards the container. flags: NEAR, ALL, GATED, PENDING, WAITING.
    """

    version: int
    protocol: int
    host_port: int
    host: IPv4Address | IPv6Address | None
    container: IPv4Address | IPv6Address
    container_port: int
    link: str = ""
    flags: int = 0

    @property
    def key(self) -> tuple[int, int, int]:
        """The port without its address: what published ports can collide in."""
        return self.version, self.protocol, self.host_port

    def target(self) -> Element:
        """The element that translates its packets."""
        data = self.container, self.container_port
        if self.host is None:
            return Element(ANY[self.version], (self.protocol, self.host_port), data)
        return Element(ADDR[self.version], (self.host, self.protocol, self.host_port), data)

    def split(self) -> Element:
        """The element that says its port is published at single addresses."""
        return Element(SPLIT, (_FAMILY[self.version], self.protocol, self.host_port))

    def place(self) -> Element:
        """The element that says its port is waited for."""
        return Element(QUEUE, (_mapped_host(self), self.protocol, self.host_port))


def _mapped_host(one: Published) -> IPv6Address:
    return mapped(one.host or (IPv4Address(0) if one.version == 4 else IPv6Address(0)))


def pack(one: Published) -> Values:
    """The record of `owners`: host port, the two addresses, the link, and the rest as a mark.

    libnftables shows five fields at most. The mark holds, from the left, 16 bits of container
    port, 8 of protocol, 1 of WAITING, 3 of IP version and 4 of the other flags.
    """
    mark = one.container_port << 16 | one.protocol << 8 | one.version << 4 | one.flags
    return one.host_port, _mapped_host(one), mapped(one.container), one.link, mark


def unpack(values: Values) -> Published:
    """What `pack` was given."""
    port, host, container, link, rest = values
    mark = number(rest)
    version = mark >> 4 & 7
    host = unmapped(host, version)
    return Published(
        version=version,
        protocol=mark >> 8 & 0xFF,
        host_port=number(port),
        host=None if host.is_unspecified else host,
        container=unmapped(container, version),
        container_port=mark >> 16,
        link=str(link),
        flags=mark & 0x8F,
    )


GATE_RULES = ("conditions", "otherwise")
"""The comments of a gate's two rules."""


def gate(owner: Owner, version: int) -> str:
    """The chain that holds the conditions of an attachment."""
    return f"gate{version}-{owner.member}"


def elements(values: Values, owner: Owner) -> Iterator[Element]:
    """The elements that a record stands for."""
    one = unpack(values)
    for element in () if one.flags & PENDING else _elements(one, owner):
        element.comment = owner.name
        yield element


def _elements(one: Published, owner: Owner) -> list[Element]:
    if one.flags & WAITING:
        return [one.place()]
    version, endpoint = one.version, (one.container, one.protocol, one.container_port)
    target = one.target()
    of = [target]
    if one.host is not None:
        of.append(one.split())
    if one.flags & NEAR:
        of.append(Element(ITSELF[version], (one.container, *endpoint)))
        if one.link:
            of.append(Element(NEARBY[version], (one.link, *endpoint)))
    if one.flags & ALL:
        of.append(Element(EVERY[version], endpoint))
    if one.flags & GATED and one.host is None:
        of.append(Element(GATES, (_FAMILY[version], *target.key), (gate(owner, version),)))
    elif one.flags & GATED:
        of.append(Element(GATES_ADDR[version], target.key, (gate(owner, version),)))
    return of


def place(values: Values) -> Element | None:
    """Where others wait for the port of a record."""
    one = unpack(values)
    return None if one.flags & PENDING else one.place()


def holding(values: Values) -> Values:
    """The record as it is when it does not wait."""
    one = unpack(values)
    return pack(replace(one, flags=one.flags & ~WAITING))


def chains(values: Values, owner: Owner) -> Iterator[str]:
    """The chains that a record stands for."""
    one = unpack(values)
    if one.flags & GATED:
        yield gate(owner, one.version)


def _translation() -> Iterator[tuple[str, str]]:
    """The rules that lead a packet to a published port's container: comment and text.

    All of a single address before those of all addresses: a container may have published both, on
    two networks, and the conditions of the one say nothing about the other.
    """
    for v, word in _WORD.items():
        of = GATES_ADDR[v].name
        yield f"conditions{v}", f"{word} daddr . meta l4proto . th dport vmap @{of}"
    ports = "meta l4proto { tcp, udp, sctp }"
    for v, word in _WORD.items():
        key = f"{word} daddr . meta l4proto . th dport"
        yield f"address{v}", f"{ports} dnat {word} to {key} map @{ADDR[v].name}"
    yield "conditions", f"meta nfproto . meta l4proto . th dport vmap @{GATES.name}"
    for v, word in _WORD.items():
        key = "meta l4proto . th dport"
        yield f"port{v}", f"{ports} dnat {word} to {key} map @{ANY[v].name}"


def _source_translation() -> Iterator[tuple[str, str]]:
    """The rules that make answers come back through the host: comment and text."""
    yield "published", "ct status & dnat == 0 accept"
    yield "localhost", 'ip saddr 127.0.0.0/8 oif != "lo" masquerade'
    for v, word in _WORD.items():
        key = f"{word} daddr . meta l4proto . th dport"
        yield f"near{v}", f"iifname . {key} @{NEARBY[v].name} masquerade"
        yield f"self{v}", f"{word} saddr . {key} @{ITSELF[v].name} masquerade"
        yield f"all{v}", f"{key} @{EVERY[v].name} masquerade"


REGISTRY = Registry(
    NAME,
    "inet_service . ipv6_addr . ipv6_addr . ifname . mark",
    elements,
    chains,
    Waiting(place, holding),
)
_LOCAL = ("local", "fib daddr type != local accept")
PRIORITY = -100
"""NF_IP_PRI_NAT_DST, <linux/netfilter_ipv4.h>, where the others are: RAW, and NAT_SRC."""
TABLE = Table(
    NAME,
    (
        *(one for of in (ANY, ADDR, NEARBY, ITSELF, EVERY, GATES_ADDR) for one in of.values()),
        GATES,
        SPLIT,
        QUEUE,
        REGISTRY.owners,
        REGISTRY.holders,
    ),
    (
        Chain(
            "guard",
            (
                ("to localhost", 'ip daddr 127.0.0.0/8 iif != "lo" drop'),
                ("from localhost", 'ip saddr 127.0.0.0/8 iif != "lo" drop'),
            ),
            kind="filter",
            hook="prerouting",
            priority=-300,
        ),
        Chain(
            "prerouting",
            (_LOCAL, *_translation()),
            kind="nat",
            hook="prerouting",
            priority=PRIORITY,
        ),
        Chain(
            "output",
            (_LOCAL, ("localhost6", "ip6 daddr ::1 accept"), *_translation()),
            kind="nat",
            hook="output",
            priority=PRIORITY,
        ),
        # One later than others: an explicit source NAT of somebody else's goes first.
        Chain("postrouting", _source_translation(), kind="nat", hook="postrouting", priority=101),
    ),
)
