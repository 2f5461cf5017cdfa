"""Routes (rtnetlink(7), RTM_*ROUTE)."""

from __future__ import annotations

import errno
import ipaddress
import struct

from hostnet.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkError,
    attr,
    attr_u32,
    nested,
    parse,
    to_u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message

AF_UNSPEC = 0
AF_INET = 2
AF_INET6 = 10
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26

# <linux/rtnetlink.h>
RT_TABLE_MAIN = 254
RT_TABLE_LOCAL = 255
_RT_TABLE_COMPAT = 252  # says that the number does not fit, and is in RTA_TABLE
RT_SCOPE_UNIVERSE = 0
RT_SCOPE_LINK = 253
RT_SCOPE_HOST = 254
RT_SCOPE_NOWHERE = 255
RTPROT_KERNEL = 2
RTPROT_BOOT = 3
RTPROT_STATIC = 4
RTN_UNICAST = 1
RTN_LOCAL = 2
RTN_PROHIBIT = 8
RTNH_F_ONLINK = 4
RTM_F_LOOKUP_TABLE = 0x1000
RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_PRIORITY = 6
RTA_PREFSRC = 7
RTA_METRICS = 8
RTA_MULTIPATH = 9
RTA_TABLE = 15
RTA_VIA = 18
RTAX_MTU = 2
RTAX_ADVMSS = 8

_LO = 1  # in every network namespace

# family, lengths of destination and source, tos, table, protocol, scope, type, flags
_RTMSG = struct.Struct("=BBBBBBBBI")
_VIA = struct.Struct("=H")
# struct rtnexthop: its length with its attributes, flags, hops, interface index
_NEXT_HOP = struct.Struct("=HBBi")


class Route:
    """A route as the kernel described it. table: number of the table it is in."""

    __slots__ = (
        "_attrs",
        "_destination",
        "_dst_len",
        "_payload",
        "family",
        "flags",
        "kind",
        "protocol",
        "scope",
        "table",
    )

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWROUTE message."""
        (
            self.family,
            self._dst_len,
            _src_len,
            _tos,
            table,
            self.protocol,
            self.scope,
            self.kind,
            self.flags,
        ) = _RTMSG.unpack_from(payload)
        self._payload = payload
        # Most routes of a list are asked for their table only.
        self._attrs: dict[int, bytes] | None = None
        self.table: int = table
        if table == _RT_TABLE_COMPAT:
            self.table = self._number(self._all(), RTA_TABLE) or table
        self._destination: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    def __repr__(self) -> str:
        return f"<Route {self.destination} via {self.gateway} dev {self.oif} table {self.table}>"

    def _all(self) -> dict[int, bytes]:
        found = self._attrs
        if found is None:
            found = self._attrs = parse(self._payload, _RTMSG.size)
        return found

    def attribute(self, kind: int) -> bytes:
        """The value of any RTA_ attribute; empty when the route has none."""
        return (self._attrs or self._all()).get(kind, b"")

    @property
    def destination(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """Where it leads: 0.0.0.0/0 or ::/0 for a default route."""
        if self._destination is None:  # which is asked over and over, and takes its time to make
            packed = self.attribute(RTA_DST)
            if self.family == AF_INET6:
                self._destination = ipaddress.IPv6Network((packed or bytes(16), self._dst_len))
            else:
                self._destination = ipaddress.IPv4Network((packed or bytes(4), self._dst_len))
        return self._destination

    @property
    def gateway(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The next hop, which may be IPv6 for an IPv4 route; None when it is on the link.

        None as well when there are several, see `gateways`.
        """
        return self._gateway(self._all())

    @property
    def gateways(self) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address | None]:
        """The next hops, as `gateway`: one, or all among which the kernel shares the traffic."""
        hops = self.attribute(RTA_MULTIPATH)
        found = [] if hops else [self.gateway]
        while hops:
            size = _NEXT_HOP.unpack_from(hops)[0]
            found.append(self._gateway(parse(hops[:size], _NEXT_HOP.size)))
            hops = hops[(size + 3) & ~3 :]
        return found

    @property
    def source(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The preferred source address."""
        packed = self.attribute(RTA_PREFSRC)
        return ipaddress.ip_address(packed) if packed else None

    @property
    def oif(self) -> int:
        """Index of the link it leads out of; 0 for none."""
        return self._number(self._all(), RTA_OIF)

    @property
    def priority(self) -> int:
        """Also known as metric."""
        return self._number(self._all(), RTA_PRIORITY)

    @property
    def mtu(self) -> int:
        """The path MTU it prescribes; 0 for none."""
        return self._number(parse(self.attribute(RTA_METRICS)), RTAX_MTU)

    @property
    def advmss(self) -> int:
        """The TCP segment size to advertise; 0 for none."""
        return self._number(parse(self.attribute(RTA_METRICS)), RTAX_ADVMSS)

    @staticmethod
    def _gateway(
        attrs: dict[int, bytes],
    ) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        packed = attrs.get(RTA_GATEWAY) or attrs.get(RTA_VIA, b"")[2:]
        return ipaddress.ip_address(packed) if packed else None

    @staticmethod
    def _number(attrs: dict[int, bytes], kind: int) -> int:
        value = attrs.get(kind)
        return to_u32(value) if value else 0


def add(
    nl: Netlink,
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    *,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    oif: int = 0,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    mtu: int = 0,
    advmss: int = 0,
    priority: int = 0,
    table: int = RT_TABLE_MAIN,
    scope: int | None = None,
    onlink: bool = False,
    protocol: int = RTPROT_BOOT,
    kind: int = RTN_UNICAST,
    replace: bool = False,
    beside: bool = False,
) -> None:
    """Add a route, or with `replace` put it in the place of the one to the same destination.

    With `beside` others to the same destination stay: of IPv4 routes the newest is then used, IPv6
    traffic is shared among all. `scope` is by default that of `ip route`: link without a gateway,
    else universe. `onlink` says that the gateway is on the link though no route covers it. To an
    IPv6 gateway no route may then lead by another link, except a default one or an unreachable one
    (EINVAL, "Nexthop has invalid gateway or device mismatch"); the way around it is to add the
    route without gateway and then to replace that.

    `protocol` says who made the route, and is no part of its key: `replace` takes another's place
    too. `kind` RTN_PROHIBIT has what would go there refused (EACCES), and needs neither gateway nor
    link. Raises NetlinkError, EEXIST when there is one already (with `beside`: exactly this one).
    """
    if scope is None:
        scope = _scope(destination, gateway) if kind == RTN_UNICAST else RT_SCOPE_UNIVERSE
    flags = RTNH_F_ONLINK if onlink else 0
    payload = _payload(
        destination,
        gateway=gateway,
        oif=oif,
        priority=priority,
        table=table,
        scope=scope,
        protocol=protocol,
        kind=kind,
        flags=flags,
    )
    if source is not None:
        payload += attr(RTA_PREFSRC, source.packed)
    metrics = attr_u32(RTAX_MTU, mtu) if mtu else b""
    if advmss:
        metrics += attr_u32(RTAX_ADVMSS, advmss)
    if metrics:
        payload += nested(RTA_METRICS, metrics)
    how = NLM_F_CREATE
    if not beside:
        how |= NLM_F_REPLACE if replace else NLM_F_EXCL
    via = f" via {gateway}" if gateway else ""
    nl.request(RTM_NEWROUTE, payload, how, f"add the route to {destination}{via}")


def delete(
    nl: Netlink,
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    *,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    oif: int = 0,
    priority: int = 0,
    table: int = RT_TABLE_MAIN,
    protocol: int = 0,
    kind: int = 0,
    missing_ok: bool = False,
) -> bool:
    """Delete the route that agrees with all that is given; False when there is none.

    Raises NetlinkError, ESRCH when there is none and `missing_ok` is not set.
    """
    if kind == RTN_PROHIBIT and destination.version == 6:
        # Of IPv6 routes the kernel does not compare the kind; it has these lead out of `lo`.
        oif = _LO
    payload = _payload(
        destination,
        gateway=gateway,
        oif=oif,
        priority=priority,
        table=table,
        protocol=protocol,
        kind=kind,
    )
    try:
        nl.request(RTM_DELROUTE, payload, 0, f"delete the route to {destination}")
    except NetlinkError as error:
        if missing_ok and error.errno in (errno.ESRCH, errno.ENODEV):
            return False
        raise
    return True


def addition(
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    *,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    oif: int = 0,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    priority: int = 0,
    table: int = RT_TABLE_MAIN,
    onlink: bool = False,
    protocol: int = RTPROT_BOOT,
    replace: bool = False,
) -> Message:
    """The message that adds a plain route, for `netlink_batch.send`; see `add`.

    `replace` takes the place of any route to the destination, whatever its protocol.
    """
    payload = _payload(
        destination,
        gateway=gateway,
        oif=oif,
        priority=priority,
        table=table,
        scope=_scope(destination, gateway),
        protocol=protocol,
        flags=RTNH_F_ONLINK if onlink else 0,
    )
    if source is not None:
        payload += attr(RTA_PREFSRC, source.packed)
    return RTM_NEWROUTE, payload, NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)


def deletion(
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    *,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None,
    oif: int = 0,
    protocol: int = 0,
) -> Message:
    """The message that deletes a route from the main table, for `netlink_batch.send`."""
    payload = _payload(
        destination, gateway=gateway, oif=oif, priority=0, table=RT_TABLE_MAIN, protocol=protocol
    )
    return RTM_DELROUTE, payload, 0


def _scope(
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
) -> int:
    on_link = gateway is None and destination.version == 4
    return RT_SCOPE_LINK if on_link else RT_SCOPE_UNIVERSE


def _payload(
    destination: ipaddress.IPv4Network | ipaddress.IPv6Network,
    *,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    oif: int,
    priority: int,
    table: int,
    scope: int = RT_SCOPE_NOWHERE,
    protocol: int = 0,
    kind: int = 0,
    flags: int = 0,
) -> bytes:
    version = destination.version
    family = AF_INET if version == 4 else AF_INET6
    length = destination.prefixlen
    kind = kind or (RTN_UNICAST if protocol else 0)  # 0 deletes any
    short = table if table < 256 else 0
    payload = _RTMSG.pack(family, length, 0, 0, short, protocol, scope, kind, flags)
    if length:
        payload += attr(RTA_DST, destination.network_address.packed)
    if table > 255:
        payload += attr_u32(RTA_TABLE, table)
    if gateway is not None and gateway.version == version:
        payload += attr(RTA_GATEWAY, gateway.packed)
    elif gateway is not None:
        payload += attr(RTA_VIA, _VIA.pack(AF_INET6) + gateway.packed)
    if oif:
        payload += attr_u32(RTA_OIF, oif)
    if priority:
        payload += attr_u32(RTA_PRIORITY, priority)
    return payload


def dump(
    nl: Netlink, family: int, *, table: int = RT_TABLE_MAIN, oif: int = 0, protocol: int = 0
) -> list[Route]:
    """The routes of a family (AF_INET, AF_INET6; AF_UNSPEC: of both) in a table (0: in all).

    With `oif` those out of a link, with `protocol` those so marked. The kernel filters.
    """
    payload = _RTMSG.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0)
    if table:
        payload += attr_u32(RTA_TABLE, table)
    if oif:
        payload += attr_u32(RTA_OIF, oif)
    try:
        answers = nl.dump(RTM_GETROUTE, payload, "list the routes")
    except NetlinkError as error:
        # The kernel makes a table with its first route, and forgets the routes of a link with it.
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return []
        raise
    # Asked for all families, the kernel tells of multicast's and MPLS's as well.
    wanted = (family,) if family else (AF_INET, AF_INET6)
    return [Route(body) for _type, body in answers if body[0] in wanted]


def default(nl: Netlink, family: int) -> Route | None:
    """The default route of a family that leads out of a link, the best where there are several.

    None where there is none: an IPv6 default that is unreachable leads out of `lo` and nowhere.
    """
    found = [
        one
        for one in dump(nl, family)
        if one.destination.prefixlen == 0 and one.oif and one.kind == RTN_UNICAST
    ]
    return min(found, key=lambda one: one.priority, default=None)


def lookup(
    nl: Netlink, destination: ipaddress.IPv4Address | ipaddress.IPv6Address, *, oif: int = 0
) -> Route:
    """The route a packet to this address takes. Raises NetlinkError, ENETUNREACH for none."""
    packed = destination.packed
    family = AF_INET if len(packed) == 4 else AF_INET6
    # Without the flag the table is said to be main; IPv6 says the right one, and refuses the flag.
    flags = RTM_F_LOOKUP_TABLE if family == AF_INET else 0
    payload = _RTMSG.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, flags)
    payload += attr(RTA_DST, packed)
    if oif:
        payload += attr_u32(RTA_OIF, oif)
    return Route(nl.find(RTM_GETROUTE, payload, f"find the way to {destination}"))
