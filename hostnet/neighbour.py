"""Neighbours: which hardware address an address on the link has (rtnetlink(7), RTM_*NEIGH)."""

from __future__ import annotations

import errno
import ipaddress
import struct

from hostnet.link import mac_bytes
from hostnet.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkError,
    attr,
    attr_u8,
    attr_u32,
    parse,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message

AF_INET = 2
AF_INET6 = 10
RTM_NEWNEIGH = 28
RTM_DELNEIGH = 29
RTM_GETNEIGH = 30

# <linux/neighbour.h>
NDA_DST = 1
NDA_LLADDR = 2
NDA_IFINDEX = 8
NDA_PROTOCOL = 12
NUD_REACHABLE = 0x02
NUD_STALE = 0x04
NUD_FAILED = 0x20
NUD_NOARP = 0x40
NUD_PERMANENT = 0x80

_NDMSG = struct.Struct("=BxxxiHBB")  # family, link index, state, flags, type


class Neighbour:
    """An entry of the neighbour table as the kernel described it."""

    __slots__ = ("_lladdr", "_packed", "family", "flags", "index", "protocol", "state")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWNEIGH message."""
        self.family, self.index, self.state, self.flags, _kind = _NDMSG.unpack_from(payload)
        attrs = parse(payload, 12)
        self._packed = attrs.get(NDA_DST, b"")
        self._lladdr = attrs.get(NDA_LLADDR, b"")
        # Who made it, in the numbers of routes (RTPROT_); 0 for who did not say.
        self.protocol: int = attrs.get(NDA_PROTOCOL, b"\0")[0]

    def __repr__(self) -> str:
        return f"<Neighbour {self.address} at {self.mac or '?'} on link {self.index}>"

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """Whose entry it is."""
        return ipaddress.ip_address(self._packed)

    @property
    def mac(self) -> str:
        """Its hardware address; empty while that is not known."""
        return self._lladdr.hex(":")


def addition(
    index: int,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    mac: str,
    *,
    state: int = NUD_PERMANENT,
    protocol: int = 0,
    replace: bool = False,
) -> Message:
    """The message of `add`, for `netlink_batch.send`."""
    payload = _payload(index, address, state) + attr(NDA_LLADDR, mac_bytes(mac))
    if protocol:
        payload += attr_u8(NDA_PROTOCOL, protocol)
    how = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return RTM_NEWNEIGH, payload, how


def add(
    nl: Netlink,
    index: int,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    mac: str,
    *,
    state: int = NUD_PERMANENT,
    protocol: int = 0,
    replace: bool = False,
) -> None:
    """Add an entry. Raises NetlinkError, EEXIST when there is one and `replace` is not set.

    `protocol` (1 to 255) is a mark, as a route's: who made it. Permanent entries go when their
    link is set down or gets another MAC.
    """
    message = addition(index, address, mac, state=state, protocol=protocol, replace=replace)
    nl.request(*message, f"add neighbour {address} ({mac}) to interface {index}")


def deletion(index: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Message:
    """The message of `delete`, for `netlink_batch.send`."""
    return RTM_DELNEIGH, _payload(index, address, 0), 0


def delete(
    nl: Netlink,
    index: int,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    *,
    missing_ok: bool = False,
) -> bool:
    """Delete an entry; False when there is none.

    Raises NetlinkError, ENOENT when there is none and `missing_ok` is not set.
    """
    what = f"delete neighbour {address} of interface {index}"
    try:
        nl.request(*deletion(index, address), what)
    except NetlinkError as error:
        if missing_ok and error.errno in (errno.ENOENT, errno.ENODEV):
            return False
        raise
    return True


def _payload(
    index: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address, state: int
) -> bytes:
    packed = address.packed
    family = AF_INET if len(packed) == 4 else AF_INET6
    return _NDMSG.pack(family, index, state, 0, 0) + attr(NDA_DST, packed)


def dump(
    nl: Netlink, *, index: int = 0, family: int = 0, protocol: int | None = None
) -> list[Neighbour]:
    """All entries, or those of a link, family or protocol; NUD_NOARP ones excluded.

    The kernel filters by link and family; it has no filter for the protocol.
    """
    payload = _NDMSG.pack(family, 0, 0, 0, 0)
    if index:
        payload += attr_u32(NDA_IFINDEX, index)
    answers = nl.dump(RTM_GETNEIGH, payload, "list the neighbours")
    found = [Neighbour(body) for _type, body in answers]
    return [
        one
        for one in found
        if not one.state & NUD_NOARP and (protocol is None or one.protocol == protocol)
    ]


def flush(nl: Netlink, index: int, *, family: int = 0) -> int:
    """Delete what a link has learned, not what somebody set for good; gives how many."""
    count = 0
    for one in dump(nl, index=index, family=family):
        if not one.state & NUD_PERMANENT:
            count += delete(nl, index, one.address, missing_ok=True)
    return count
