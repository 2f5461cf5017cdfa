"""Addresses of links (rtnetlink(7), RTM_*ADDR)."""

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
    parse,
    to_u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink

AF_INET = 2
AF_INET6 = 10
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22

# <linux/if_addr.h>
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_BROADCAST = 4
IFA_FLAGS = 8
IFA_F_SECONDARY = 0x01
IFA_F_NODAD = 0x02
IFA_F_OPTIMISTIC = 0x04
IFA_F_DADFAILED = 0x08
IFA_F_TENTATIVE = 0x40
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200

_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, old flags, scope, link index


class Address:
    """An address as the kernel described it."""

    __slots__ = ("_packed", "family", "flags", "index", "prefixlen", "scope")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWADDR message."""
        self.family, self.prefixlen, flags, self.scope, self.index = _IFADDR.unpack_from(payload)
        attrs = parse(payload, 8)
        # IFA_ADDRESS is the other end's on a point-to-point link, and IPv6 has no IFA_LOCAL
        # elsewhere.
        self._packed = attrs.get(IFA_LOCAL) or attrs.get(IFA_ADDRESS, b"")
        self.flags: int = to_u32(attrs[IFA_FLAGS]) if IFA_FLAGS in attrs else flags

    def __repr__(self) -> str:
        return f"<Address {self.interface} of link {self.index}>"

    @property
    def interface(self) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
        """The address with its prefix length."""
        value = (self._packed, self.prefixlen)
        if self.family == AF_INET6:
            return ipaddress.IPv6Interface(value)
        return ipaddress.IPv4Interface(value)

    @property
    def tentative(self) -> bool:
        """IPv6: duplicate address detection still runs, or found a duplicate."""
        return bool(self.flags & IFA_F_TENTATIVE)

    @property
    def duplicate(self) -> bool:
        """IPv6: somebody else on the link has it."""
        return bool(self.flags & IFA_F_DADFAILED)


def add(
    nl: Netlink,
    index: int,
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    *,
    nodad: bool = False,
    optimistic: bool = False,
    noprefixroute: bool = False,
    replace: bool = False,
) -> None:
    """Give a link an address; IPv4 with the broadcast address of its subnet.

    IPv6: `nodad` makes it usable at once; `optimistic` too, while duplicates are looked for, on a
    link with net.ipv6.conf.….optimistic_dad.
    `noprefixroute` leaves out the route to its subnet. Raises NetlinkError, EEXIST when the link
    has it and `replace` is not set.
    """
    flags = IFA_F_NODAD if nodad else 0
    flags |= IFA_F_OPTIMISTIC if optimistic else 0
    flags |= IFA_F_NOPREFIXROUTE if noprefixroute else 0
    payload = _payload(index, address)
    if address.version == 4 and address.network.prefixlen < 31:
        payload += attr(IFA_BROADCAST, address.network.broadcast_address.packed)
    if flags:
        payload += attr_u32(IFA_FLAGS, flags)
    how = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    nl.request(RTM_NEWADDR, payload, how, f"add address {address} to interface {index}")


def delete(
    nl: Netlink,
    index: int,
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    *,
    missing_ok: bool = False,
) -> bool:
    """Take an address from a link; False when it had none such.

    Raises NetlinkError, EADDRNOTAVAIL when it had none such and `missing_ok` is not set.
    """
    what = f"remove address {address} from interface {index}"
    try:
        nl.request(RTM_DELADDR, _payload(index, address), 0, what)
    except NetlinkError as error:
        if missing_ok and error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
            return False
        raise
    return True


def _payload(index: int, address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bytes:
    packed = address.packed
    family = AF_INET if len(packed) == 4 else AF_INET6
    header = _IFADDR.pack(family, address.network.prefixlen, 0, 0, index)
    return header + attr(IFA_LOCAL, packed) + attr(IFA_ADDRESS, packed)


def dump(nl: Netlink, *, index: int = 0, family: int = 0) -> list[Address]:
    """All addresses, or those of a link or family (the kernel filters)."""
    payload = _IFADDR.pack(family, 0, 0, 0, index)
    try:
        answers = nl.dump(RTM_GETADDR, payload, "list the addresses")
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return []
        raise
    return [Address(body) for _type, body in answers]
