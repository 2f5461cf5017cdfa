"""Forget tracked connections, so that packets meet the rules that are there now (ctnetlink).

A flow keeps the translation it was given with its first packet. When a UDP port is published while
somebody already sends to it, or taken back, its flow would go on as before for as long as packets
come.
"""

from __future__ import annotations

import errno
import os
import struct

from hostnet.netlink import (
    NetlinkError,
    attr,
    attr_be16,
    attr_u8,
    attr_u32,
    nested,
    parse,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Iterable

    from hostnet.netlink import Netlink

AF_INET = 2
AF_INET6 = 10
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_SCTP = 132

# <linux/netfilter/nfnetlink.h>, nfnetlink_conntrack.h: the subsystem's number above the message's
CT_NEW = 0x100
CT_GET = 0x101
CT_DELETE = 0x102
CTA_TUPLE_ORIG = 1
CTA_TUPLE_REPLY = 2
CTA_ID = 12
CTA_ZONE = 18
CTA_FILTER = 25
CTA_TUPLE_IP = 1
CTA_TUPLE_PROTO = 2
CTA_IP_SRC = {AF_INET: 1, AF_INET6: 3}
CTA_IP_DST = {AF_INET: 2, AF_INET6: 4}
CTA_PROTO_NUM = 1
CTA_PROTO_SRC_PORT = 2
CTA_PROTO_DST_PORT = 3
CTA_FILTER_ORIG_FLAGS = 1
CTA_FILTER_REPLY_FLAGS = 2
# Which parts of the tuples a filter compares (net/netfilter/nf_conntrack_netlink.c).
CTA_FILTER_F_IP_SRC = 1 << 0
CTA_FILTER_F_IP_DST = 1 << 1
CTA_FILTER_F_PROTO_NUM = 1 << 3
CTA_FILTER_F_PROTO_SRC_PORT = 1 << 4
CTA_FILTER_F_PROTO_DST_PORT = 1 << 5

_NFGENMSG = struct.Struct("!BBH")  # family, version, resource id
_PORT = struct.Struct("!H")


class Tuple:
    """One direction of a flow: addresses as packed bytes, ports as numbers (0 where none)."""

    __slots__ = ("dport", "dst", "protocol", "sport", "src")

    def __init__(self, family: int, data: bytes) -> None:
        """From the value of a CTA_TUPLE_ORIG or CTA_TUPLE_REPLY attribute."""
        parts = parse(data)
        addresses = parse(parts.get(CTA_TUPLE_IP, b""))
        protocol = parse(parts.get(CTA_TUPLE_PROTO, b""))
        self.src = addresses.get(CTA_IP_SRC[family], b"")
        self.dst = addresses.get(CTA_IP_DST[family], b"")
        self.protocol = protocol.get(CTA_PROTO_NUM, b"\0")[0]
        self.sport: int = _PORT.unpack(protocol.get(CTA_PROTO_SRC_PORT, b"\0\0"))[0]
        self.dport: int = _PORT.unpack(protocol.get(CTA_PROTO_DST_PORT, b"\0\0"))[0]


class Flow:
    """A tracked connection: `original` is how its first packet came, `reply` how answers go.

    The two differ where addresses are translated: of a published port, `original` goes to the
    host's address and port, and `reply` comes from the container's.
    """

    __slots__ = ("_attrs", "family", "original", "reply")

    def __init__(self, payload: bytes) -> None:
        """From the payload of a ctnetlink message about an IPv4 or IPv6 flow."""
        self.family = payload[0]
        self._attrs = attrs = parse(payload, 4)
        self.original = Tuple(self.family, attrs[CTA_TUPLE_ORIG])
        self.reply = Tuple(self.family, attrs[CTA_TUPLE_REPLY])

    def key(self) -> bytes:
        """The attributes that name this flow."""
        attrs = self._attrs
        named = [attr(kind, attrs[kind]) for kind in (CTA_ID, CTA_ZONE) if kind in attrs]
        return nested(CTA_TUPLE_ORIG, attrs[CTA_TUPLE_ORIG]) + b"".join(named)


class Match:
    """What flows must agree in: of the original direction `destination` and `dport`, of the reply
    direction (what those were translated to) `reply_source` and `reply_sport`.

    What is None or 0 does not matter; `family` is AF_INET or AF_INET6, ports need `protocol`.
    """

    __slots__ = ("destination", "dport", "family", "protocol", "reply_source", "reply_sport")

    def __init__(
        self,
        family: int,
        *,
        protocol: int = 0,
        destination: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
        dport: int = 0,
        reply_source: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
        reply_sport: int = 0,
    ) -> None:
        if (dport or reply_sport) and not protocol:
            raise ValueError("a port means nothing without a protocol")
        self.family = family
        self.protocol = protocol
        self.destination = destination.packed if destination else b""
        self.dport = dport
        self.reply_source = reply_source.packed if reply_source else b""
        self.reply_sport = reply_sport

    def agrees(self, flow: Flow) -> bool:
        """Whether a flow agrees in everything."""
        return (
            flow.family == self.family
            and self.protocol in (0, flow.original.protocol)
            and self.destination in (b"", flow.original.dst)
            and self.dport in (0, flow.original.dport)
            and self.reply_source in (b"", flow.reply.src)
            and self.reply_sport in (0, flow.reply.sport)
        )

    def is_left_to_the_kernel(self) -> bool:
        """Whether its filter can be trusted with all of this.

        Of IPv6 addresses it compares the wrong way round, and agrees with all others: seen in
        Linux 6.18 (ctnetlink_filter_match_tuple takes ipv6_addr_cmp() for a predicate).
        """
        return self.family == AF_INET or not (self.destination or self.reply_source)

    def attributes(self) -> bytes:
        """As much of it as the kernel's filter can be trusted with; may be empty."""
        flags = tuples = b""
        ours = self.family == AF_INET
        address = CTA_IP_DST[self.family], self.destination if ours else b"", CTA_FILTER_F_IP_DST
        port = CTA_PROTO_DST_PORT, self.dport, CTA_FILTER_F_PROTO_DST_PORT
        compared, value = self._direction(address, port)
        if compared:
            flags += attr_u32(CTA_FILTER_ORIG_FLAGS, compared)
            tuples += nested(CTA_TUPLE_ORIG, value)
        source = self.reply_source if ours else b""
        address = CTA_IP_SRC[self.family], source, CTA_FILTER_F_IP_SRC
        port = CTA_PROTO_SRC_PORT, self.reply_sport, CTA_FILTER_F_PROTO_SRC_PORT
        if source or self.reply_sport:
            compared, value = self._direction(address, port)
            flags += attr_u32(CTA_FILTER_REPLY_FLAGS, compared)
            tuples += nested(CTA_TUPLE_REPLY, value)
        return tuples + nested(CTA_FILTER, flags) if flags else b""

    def _direction(
        self, address: tuple[int, bytes, int], port: tuple[int, int, int]
    ) -> tuple[int, bytes]:
        """Which parts of one direction are to be compared, and the tuple that holds them."""
        flags = 0
        value = b""
        if address[1]:
            flags |= address[2]
            value += nested(CTA_TUPLE_IP, attr(address[0], address[1]))
        if self.protocol:
            flags |= CTA_FILTER_F_PROTO_NUM
            proto = attr_u8(CTA_PROTO_NUM, self.protocol)
            if port[1]:
                flags |= port[2]
                proto += attr_be16(port[0], port[1])
            value += nested(CTA_TUPLE_PROTO, proto)
        return flags, value


def delete(nl: Netlink, match: Match) -> None:
    """Forget the flows that agree with `match`, and no others; `nl` is of NETLINK_NETFILTER.

    Without connection tracking there are none. Raises NetlinkError, EOPNOTSUPP when the kernel
    has it and does not let it be changed, ValueError when everything would agree.
    """
    if not delete_quickly(nl, match):
        delete_flows(nl, dump(nl, match))


def delete_quickly(nl: Netlink, match: Match) -> bool:
    """`delete` if the kernel does it by itself; False if not, which is so before Linux 6.11.

    One walk over the slots that hold something takes 0.1 ms, where `dump` takes 10.
    """
    if not (match.protocol or match.destination or match.reply_source):
        raise ValueError("this would forget all connections")
    if not match.is_left_to_the_kernel():
        return False
    # Version 1 makes the kernel obey the family here.
    payload = _NFGENMSG.pack(match.family, 1, 0) + match.attributes()
    try:
        # An older kernel takes a DELETE with a tuple for that of one flow, and refuses it as
        # incomplete.
        nl.request(CT_DELETE, payload, 0, "delete tracked connections")
    except NetlinkError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
            raise
        return False
    return True


def dump(nl: Netlink, match: Match) -> list[Flow]:
    """The flows that agree with `match`; `nl` is of NETLINK_NETFILTER. Errors are as of `delete`.

    The kernel walks its whole table, which takes 10 ms with 262,144 slots though they be empty,
    and since Linux 5.8 gives out only what is asked for (IPv6 addresses are compared here).
    """
    header = _NFGENMSG.pack(match.family, 0, 0)
    answers = _dump(nl, header, header + match.attributes())
    flows = [Flow(body) for _type, body in answers if body[0] == match.family]
    return [flow for flow in flows if match.agrees(flow)]


def _dump(nl: Netlink, plain: bytes, filtered: bytes) -> list[tuple[int, bytes]]:
    what = "list the tracked connections"
    try:
        return nl.dump(CT_GET, filtered, what)
    except NetlinkError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    try:
        return nl.dump(CT_GET, plain, what)
    except NetlinkError as error:
        if error.errno != errno.EINVAL:
            raise
        # EINVAL is what a subsystem gets that is not there.
        if not os.path.exists("/proc/sys/net/netfilter/nf_conntrack_max"):
            return []
        raise NetlinkError(
            errno.EOPNOTSUPP, what, extack="no handler; load the module nf_conntrack_netlink"
        ) from error


def delete_flows(nl: Netlink, flows: Iterable[Flow]) -> int:
    """Forget these flows; gives how many were still there. Raises NetlinkError."""
    count = 0
    for flow in flows:
        payload = _NFGENMSG.pack(flow.family, 0, 0) + flow.key()
        try:
            nl.request(CT_DELETE, payload, 0, "delete a tracked connection")
        except NetlinkError as error:
            if error.errno != errno.ENOENT:  # it ended by itself
                raise
        else:
            count += 1
    return count
