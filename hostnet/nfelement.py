"""Elements of nftables sets and maps, by key (nfnetlink, <linux/netfilter/nf_tables.h>).

Rules are libnftables' business (`nft`), elements are ours: what libnftables cannot do is to look
one element up without listing its whole map, which takes 34 ms at 10,000 elements, and loading it
costs a process 4.6 ms. Looking up, adding and deleting one here takes the same 25 µs at any size.

A `Map` declares a set or map once, for libnftables (`Map.declaration`) and for the codec alike.
"""

from __future__ import annotations

import errno
import ipaddress
import struct

from hostnet.netfilter import header
from hostnet.netlink import (
    DUMP_ATTEMPTS,
    NetlinkError,
    attr,
    attr_be32,
    attr_str,
    nested,
    parse,
    parse_list,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from hostnet.netfilter import Netfilter

    Value: TypeAlias = "int | str | ipaddress.IPv4Address | ipaddress.IPv6Address"
    Values: TypeAlias = tuple[Value, ...]

NFPROTO_IPV4 = 2
NFPROTO_IPV6 = 10

# <linux/netfilter/nf_tables.h>, the subsystem's number (NFNL_SUBSYS_NFTABLES) above the message's
NEWSETELEM = 0xA0C
GETSETELEM = 0xA0D
DELSETELEM = 0xA0E
LIST_TABLE = 1
LIST_SET = 2
LIST_ELEMENTS = 3
LIST_ELEM = 1
ELEM_KEY = 1
ELEM_DATA = 2
ELEM_USERDATA = 6
DATA_VALUE = 1
DATA_VERDICT = 2
VERDICT_CODE = 1
VERDICT_CHAIN = 2
NFT_JUMP = 0xFFFFFFFD

LONGEST_COMMENT = 127
"""Bytes; libnftables refuses longer ones (NFTNL_UDATA_COMMENT_MAXLEN with its NUL)."""

_NUMBER = struct.Struct("=I")
_BYTE = struct.Struct("=Bxxx")
_PORT = struct.Struct("!Hxx")
_VNI = struct.Struct("!I")
_SIZES = {
    "inet_proto": 4,
    "inet_service": 4,
    "ipv4_addr": 4,
    "ipv6_addr": 16,
    "ifname": 16,
    "mark": 4,
    "nf_proto": 4,
    "vni": 4,
}
# nft has no type for a VXLAN network identifier: a set that holds one is declared by expressions
# of the types instead, among them the three bytes behind the headers of UDP (8) and VXLAN (4).
_EXPRESSIONS = {
    "inet_service": "udp dport",
    "ipv4_addr": "ip saddr",
    "ipv6_addr": "ip6 saddr",
    "ifname": "iifname",
    "vni": "@th,96,24",
}
_MOST_FIELDS = 5  # Types of six bits in one u32: TYPE_BITS of libnftables.


class Layout:
    """The fields of a key or of a datum, as nft spells their types: "inet_proto . inet_service".

    Protocols, ports, marks and families are ints, names are strings, addresses are `ipaddress`
    objects. A field takes a multiple of four bytes, as in any concatenation. libnftables can name
    five fields in one. A VXLAN network identifier is `vni`, an int, which nft itself has no type
    for; libnftables takes it in the key of a set from version 1.0.3 on.
    """

    __slots__ = ("fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields = tuple(text.split(" . "))
        assert len(self.fields) <= _MOST_FIELDS

    @property
    def declaration(self) -> str:
        """How nft is told of it as the key of a set."""
        if "vni" not in self.fields:
            return f"type {self.text}"
        return "typeof " + " . ".join(_EXPRESSIONS[field] for field in self.fields)

    def pack(self, values: Values) -> bytes:
        """As the kernel compares them. Raises ValueError for what does not fit its field."""
        try:
            return b"".join(map(_pack, self.fields, values))
        except struct.error as error:
            raise ValueError(f"{values} do not fit {self.text}: {error}") from None

    def unpack(self, data: bytes) -> Values:
        """The values of `pack`."""
        values: list[Value] = []
        at = 0
        for field in self.fields:
            values.append(_unpack(field, data, at))
            at += _SIZES[field]
        return tuple(values)


def _pack(field: str, value: Value) -> bytes:
    if isinstance(value, int):
        if field == "mark":
            return _NUMBER.pack(value)
        if field == "inet_service":
            return _PORT.pack(value)
        if field in ("inet_proto", "nf_proto"):
            return _BYTE.pack(value)
        if field == "vni" and value < 1 << 24:
            return _VNI.pack(value << 8)
    elif isinstance(value, str):
        packed = value.encode(errors="surrogateescape")
        if field == "ifname" and len(packed) < 16:
            return packed.ljust(16, b"\0")
    elif field == f"ipv{value.version}_addr":
        return value.packed
    raise ValueError(f"{value!r} is not of type {field}")


def _unpack(field: str, data: bytes, at: int) -> Value:
    if field == "mark":
        number: int = _NUMBER.unpack_from(data, at)[0]
        return number
    if field == "inet_service":
        return int.from_bytes(data[at : at + 2], "big")
    if field in ("inet_proto", "nf_proto"):
        return data[at]
    if field == "vni":
        return int.from_bytes(data[at : at + 3], "big")
    part = data[at : at + _SIZES[field]]
    if field == "ifname":
        return part.rstrip(b"\0").decode(errors="surrogateescape")
    return ipaddress.IPv4Address(part) if field == "ipv4_addr" else ipaddress.IPv6Address(part)


VERDICT = Layout("")
"""The data of a verdict map: one value, the name of the chain to jump to."""


class Map:
    """A map, or where `data` is None a set, and what its keys and data are.

    shared: several owners may hold one element of it (see `nfowner`). family: of its table.
    """

    __slots__ = ("data", "family", "header", "key", "name", "shared", "table")

    def __init__(
        self,
        table: str,
        name: str,
        key: str,
        data: str | Layout | None = None,
        *,
        shared: bool = False,
        family: str = "inet",
    ) -> None:
        self.family = family
        self.header = header(family)
        self.table = table
        self.name = name
        self.key = Layout(key)
        self.data = Layout(data) if isinstance(data, str) else data
        self.shared = shared

    @property
    def declaration(self) -> str:
        """The nft command that makes it, or leaves it as it is."""
        where = f"{self.family} {self.table} {self.name}"
        if self.data is None:
            return f"add set {where} {{ {self.key.declaration}; }}"
        data = "verdict" if self.data is VERDICT else self.data.text
        return f"add map {where} {{ type {self.key.text} : {data}; }}"

    @property
    def where(self) -> tuple[str, str, str]:
        """What no other map has: family, table and name."""
        return self.family, self.table, self.name

    def place(self) -> bytes:
        """The attributes that name it in messages about its elements."""
        return attr_str(LIST_TABLE, self.table) + attr_str(LIST_SET, self.name)


class Element:
    """An element of `map`: its key, its datum (empty in a set) and the comment for people."""

    __slots__ = ("comment", "data", "key", "map")

    def __init__(self, of: Map, key: Values, data: Values = (), comment: str = "") -> None:
        self.map = of
        self.key = key
        self.data = data
        self.comment = comment

    def __repr__(self) -> str:
        return f"<Element {self.map.name} {self.key} : {self.data} {self.comment!r}>"

    @property
    def identity(self) -> tuple[str, Values]:
        """What no other element of the table has: its map's name and its key."""
        return self.map.name, self.key

    def named(self) -> bytes:
        """The attribute that names it, to look it up or to delete it."""
        return nested(LIST_ELEM, self._key())

    def whole(self) -> bytes:
        """The attribute that makes it."""
        parts = [self._key()]
        if self.map.data is VERDICT:
            chain = attr_be32(VERDICT_CODE, NFT_JUMP) + attr_str(VERDICT_CHAIN, str(self.data[0]))
            parts.append(nested(ELEM_DATA, nested(DATA_VERDICT, chain)))
        elif self.map.data is not None:
            parts.append(nested(ELEM_DATA, attr(DATA_VALUE, self.map.data.pack(self.data))))
        if self.comment:
            parts.append(attr(ELEM_USERDATA, comment_bytes(self.comment)))
        return nested(LIST_ELEM, *parts)

    def _key(self) -> bytes:
        return nested(ELEM_KEY, attr(DATA_VALUE, self.map.key.pack(self.key)))


def number(value: Value) -> int:
    """The value of a field that holds a number. Raises TypeError."""
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value


def mapped(
    value: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv6Address:
    """An address of either family in a field of type ipv6_addr: 10.1.0.2 as ::ffff:10.1.0.2."""
    if isinstance(value, ipaddress.IPv6Address):
        return value
    return ipaddress.IPv6Address(bytes(10) + b"\xff\xff" + value.packed)


def unmapped(value: Value, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of this IP version that `mapped` was given. Raises TypeError."""
    if not isinstance(value, ipaddress.IPv6Address):
        raise TypeError(f"{value!r} is no IPv6 address")
    return ipaddress.IPv4Address(value.packed[12:]) if version == 4 else value


def comment_bytes(text: str) -> bytes:
    """A comment as user data, which libnftables shows: type, length, text, NUL; cut if too long."""
    data = text.encode(errors="replace")
    if len(data) > LONGEST_COMMENT:
        data = data[: LONGEST_COMMENT - 3].decode(errors="ignore").encode() + "…".encode()
    return bytes((0, len(data) + 1)) + data + b"\0"


def comment_of(data: bytes) -> str:
    """The comment in user data; empty without one."""
    at = 0
    while at + 2 <= len(data):
        kind, size = data[at], data[at + 1]
        if kind == 0:
            return data[at + 2 : at + 2 + size].rstrip(b"\0").decode(errors="replace")
        at += 2 + size
    return ""


def get(nl: Netfilter, wanted: Element) -> Element | None:
    """The element with the key of `wanted`; None where it, its map or the table is missing.

    A kernel without nftables has none. Raises NetlinkError.
    """
    of = wanted.map
    payload = of.header + of.place() + nested(LIST_ELEMENTS, wanted.named())
    what = f"look up an element of {of.name} in the nftables table {of.family} {of.table}"
    try:
        found = nl.find(GETSETELEM, payload, what)
    except NetlinkError as error:
        if error.errno == errno.ENOENT or _has_no_nftables(nl, error):
            return None
        raise
    elements = parse_list(parse(found, 4).get(LIST_ELEMENTS, b""))
    return _element(of, elements[0][1])


def dump(nl: Netfilter, of: Map) -> list[Element]:
    """All elements; none where the map is missing. Raises NetlinkError."""
    return [_element(of, body) for body in _walk(nl, of).values()]


def keys(nl: Netfilter, of: Map) -> set[bytes]:
    """The keys of all elements as `Layout.pack` gives them; none where the map is missing.

    For sets of thousands: it takes a third of the time of `dump`. Raises NetlinkError.
    """
    return set(_walk(nl, of))


def _walk(nl: Netfilter, of: Map) -> dict[bytes, bytes]:
    """The elements of a map, each as its attributes, by packed key.

    The kernel resizes the hash table of a map that grows in the background, and a dump that goes
    on after a pause does so by the number of elements it has given. If they were in another order
    meanwhile, some come twice and as many never, and no NLM_F_DUMP_INTR says so: it was seen on
    Linux 6.18 in one dump of some hundred that followed an addition of thousands.
    """
    what = f"list {of.name} in the nftables table {of.family} {of.table}"
    for _attempt in range(DUMP_ATTEMPTS):
        try:
            answers = nl.dump(GETSETELEM, of.header + of.place(), what)
        except NetlinkError as error:
            if error.errno == errno.ENOENT or _has_no_nftables(nl, error):
                return {}
            raise
        found = [
            body
            for _type, answer in answers
            for _kind, body in parse_list(parse(answer, 4).get(LIST_ELEMENTS, b""))
        ]
        by_key = {_packed_key(body): body for body in found}
        if len(by_key) == len(found):
            return by_key
    raise NetlinkError(
        errno.EAGAIN, what, extack=f"the map was resized during each of {DUMP_ATTEMPTS} walks"
    )


def _has_no_nftables(nl: Netfilter, error: NetlinkError) -> bool:
    return error.errno == errno.EINVAL and not nl.available()


def _packed_key(body: bytes) -> bytes:
    # ELEM_KEY holds one attribute, DATA_VALUE.
    return parse(body)[ELEM_KEY][4:]


def _element(of: Map, body: bytes) -> Element:
    parts = parse(body)
    data: Values = ()
    if of.data is VERDICT:
        verdict = parse(parse(parts.get(ELEM_DATA, b"")).get(DATA_VERDICT, b""))
        data = (verdict.get(VERDICT_CHAIN, b"").rstrip(b"\0").decode(errors="replace"),)
    elif of.data is not None:
        data = of.data.unpack(parse(parts[ELEM_DATA])[DATA_VALUE])
    key = of.key.unpack(parse(parts[ELEM_KEY])[DATA_VALUE])
    return Element(of, key, data, comment_of(parts.get(ELEM_USERDATA, b"")))
