"""Put routes as the kernel described them into another table, or take them from theirs.

With all that makes them what they are: metrics, source, preference, who made them. A route of
several ways, as IPv6 has it when two links each bring the same, is taken apart: a `Way` is one.
"""

from __future__ import annotations

import errno
import ipaddress
import struct

from hostnet import route
from hostnet.netlink import NLM_F_CREATE, NetlinkError, attr, attr_u32, nested, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message
    from hostnet.route import Route

RTA_PREF = 20
_KEPT = (route.RTA_DST, route.RTA_PRIORITY, route.RTA_PREFSRC, RTA_PREF)
_RTMSG = struct.Struct("=BBBBBBBBI")  # see `route`
_NEXT_HOP = struct.Struct("=HBBi")


class Way:
    """One way of a route: out of the link `oif`, by a gateway or not.

    gateway: the next hop, which may be IPv6 for an IPv4 route; None when it is on the link.
    """

    __slots__ = ("_attrs", "_flags", "gateway", "oif", "route")

    def __init__(self, of: Route, oif: int, flags: int, attrs: dict[int, bytes]) -> None:
        self.route = of
        self.oif = oif
        self._flags = flags & route.RTNH_F_ONLINK
        self._attrs = attrs
        packed = attrs.get(route.RTA_GATEWAY) or attrs.get(route.RTA_VIA, b"")[2:]
        self.gateway = ipaddress.ip_address(packed) if packed else None

    def __repr__(self) -> str:
        return f"<Way of {self.route} dev {self.oif}>"

    def payload(self, table: int) -> bytes:
        """The message that adds it to a table, and deletes it from there."""
        found = self.route
        length = found.destination.prefixlen
        short = table if table < 256 else 0
        payload = _RTMSG.pack(
            found.family, length, 0, 0, short, found.protocol, found.scope, found.kind, self._flags
        )
        for kind in _KEPT:
            if value := found.attribute(kind):
                payload += attr(kind, value)
        for kind in (route.RTA_GATEWAY, route.RTA_VIA):
            if kind in self._attrs:
                payload += attr(kind, self._attrs[kind])
        payload += attr_u32(route.RTA_OIF, self.oif) + attr_u32(route.RTA_TABLE, table)
        if metrics := found.attribute(route.RTA_METRICS):
            payload += nested(route.RTA_METRICS, metrics)
        return payload


def ways(found: Route, oif: int) -> Iterator[Way]:
    """The ways of a route out of a link."""
    hops = found.attribute(route.RTA_MULTIPATH)
    if not hops and found.oif == oif:
        own = (route.RTA_GATEWAY, route.RTA_VIA)
        attrs = {kind: value for kind in own if (value := found.attribute(kind))}
        yield Way(found, oif, found.flags, attrs)
    while hops:
        size, flags, _weight, link = _NEXT_HOP.unpack_from(hops)
        if link == oif:
            yield Way(found, oif, flags, parse(hops[:size], _NEXT_HOP.size))
        hops = hops[(size + 3) & ~3 :]


def putting(way: Way, table: int) -> Message:
    """The message of `put`, for `Netlink.batch`."""
    return route.RTM_NEWROUTE, way.payload(table), NLM_F_CREATE


def taking(way: Way, table: int) -> Message:
    """The message of `take`, for `Netlink.batch`."""
    return route.RTM_DELROUTE, way.payload(table), 0


def put(nl: Netlink, way: Way, table: int, *, exists_ok: bool = False) -> None:
    """Add a way to a table, beside others to the same: of IPv4's the newest is used, IPv6's share
    the traffic. Raises NetlinkError, EEXIST where it is there and `exists_ok` is not set.
    """
    what = f"put the route to {way.route.destination} into table {table}"
    try:
        nl.request(*putting(way, table), what)
    except NetlinkError as error:
        if not exists_ok or error.errno != errno.EEXIST:
            raise


def take(nl: Netlink, way: Way, table: int, *, missing_ok: bool = False) -> None:
    """Delete a way from a table.

    Raises NetlinkError, ESRCH when it is not there and `missing_ok` is not set.
    """
    what = f"delete the route to {way.route.destination} from table {table}"
    try:
        nl.request(*taking(way, table), what)
    except NetlinkError as error:
        if not missing_ok or error.errno != errno.ESRCH:
            raise
