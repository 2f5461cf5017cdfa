"""Forwarding entries of a VXLAN device: behind which peer a MAC address is (bridge(8), fdb).

They are the device's own (`self`), apart from those of the bridge it may be a port of. The MAC
`FLOOD` stands for all that no other entry is for, and for broadcast and multicast; it may have
many destinations, each of which gets a copy.
"""

from __future__ import annotations

import errno
import ipaddress
import struct

from hostnet.bridge import AF_BRIDGE
from hostnet.link import mac_bytes
from hostnet.neighbour import (
    NDA_DST,
    NDA_LLADDR,
    NUD_NOARP,
    NUD_PERMANENT,
    RTM_DELNEIGH,
    RTM_GETNEIGH,
    RTM_NEWNEIGH,
)
from hostnet.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkError,
    attr,
    attr_be16,
    attr_u32,
    parse,
    to_u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FLOOD = "00:00:00:00:00:00"

# <linux/neighbour.h>
NDA_PORT = 6
NDA_VNI = 7
NDA_IFINDEX = 8
NTF_SELF = 0x02
NTF_EXT_LEARNED = 0x10

_NDMSG = struct.Struct("=BxxxiHBB")  # family, link index, state, flags, type


class Entry:
    """One destination of one MAC address, as the kernel described it."""

    __slots__ = ("_attrs", "flags", "index", "state")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWNEIGH message of family AF_BRIDGE."""
        _family, self.index, self.state, self.flags, _kind = _NDMSG.unpack_from(payload)
        self._attrs = parse(payload, 12)

    def __repr__(self) -> str:
        return f"<Entry {self.mac} at {self.destination} on link {self.index}>"

    @property
    def mac(self) -> str:
        """The address; `FLOOD` for the list to which is sent what has no entry."""
        return self._attrs.get(NDA_LLADDR, b"").hex(":")

    @property
    def destination(self) -> Address | None:
        """The peer; None where next hops take its place (FRR, with several ways to a MAC)."""
        packed = self._attrs.get(NDA_DST)
        return ipaddress.ip_address(packed) if packed else None

    @property
    def port(self) -> int:
        """The peer's UDP port; 0 for the device's own."""
        return int.from_bytes(self._attrs.get(NDA_PORT, b""), "big")

    @property
    def vni(self) -> int:
        """The VNI sent; 0 for the device's own."""
        value = self._attrs.get(NDA_VNI)
        return to_u32(value) if value else 0

    @property
    def own(self) -> bool:
        """Of the device, not of a bridge it is a port of."""
        return bool(self.flags & NTF_SELF)

    @property
    def permanent(self) -> bool:
        """Set for good."""
        return bool(self.state & NUD_PERMANENT)

    @property
    def external(self) -> bool:
        """Set by a routing daemon, for which the kernel keeps and moves it."""
        return bool(self.flags & NTF_EXT_LEARNED)

    @property
    def learned(self) -> bool:
        """Learned from a packet, so that it ages."""
        return not self.external and not self.state & (NUD_PERMANENT | NUD_NOARP)


def addition(
    index: int,
    mac: str,
    destination: Address,
    *,
    append: bool = False,
    replace: bool = False,
    port: int = 0,
    vni: int = 0,
) -> Message:
    """The message of `add`, for `netlink_batch.send`."""
    payload = _payload(index, mac, destination, NUD_PERMANENT)
    if port:
        payload += attr_be16(NDA_PORT, port)
    if vni:
        payload += attr_u32(NDA_VNI, vni)
    how = NLM_F_APPEND if append else NLM_F_REPLACE if replace else NLM_F_EXCL
    return RTM_NEWNEIGH, payload, NLM_F_CREATE | how


def add(
    nl: Netlink,
    index: int,
    mac: str,
    destination: Address,
    *,
    append: bool = False,
    replace: bool = False,
    port: int = 0,
    vni: int = 0,
) -> None:
    """Say for good that `mac` is behind the peer `destination`.

    `replace` makes this the one destination of a unicast MAC. `append` adds one to those of
    `FLOOD` or of a multicast MAC, and does nothing when it is there already; nor does it, without
    a word, for a unicast MAC that has an entry. `port` and `vni` are the peer's where they are
    not the device's.

    Raises NetlinkError: EEXIST when the MAC has an entry and neither is set, EOPNOTSUPP for
    `replace` with `FLOOD` or a multicast MAC that has one, EAFNOSUPPORT for a destination of the
    other family than the device's.
    """
    message = addition(index, mac, destination, append=append, replace=replace, port=port, vni=vni)
    nl.request(*message, f"add {mac} behind {destination} to interface {index}")


def deletion(index: int, mac: str, destination: Address | None = None) -> Message:
    """The message of `delete`, for `netlink_batch.send`."""
    return RTM_DELNEIGH, _payload(index, mac, destination, 0), 0


def delete(
    nl: Netlink,
    index: int,
    mac: str,
    destination: Address | None = None,
    *,
    missing_ok: bool = False,
) -> bool:
    """Delete one destination of a MAC, or all of them; False when the MAC has no entry.

    For a MAC that has entries the kernel does not say whether this destination was among them.
    Raises NetlinkError, ENOENT when it has none and `missing_ok` is not set.
    """
    message = deletion(index, mac, destination)
    behind = "" if destination is None else f" behind {destination}"
    try:
        nl.request(*message, f"delete {mac}{behind} from interface {index}")
    except NetlinkError as error:
        if missing_ok and error.errno in (errno.ENOENT, errno.ENODEV):
            return False
        raise
    return True


def _payload(index: int, mac: str, destination: Address | None, state: int) -> bytes:
    payload = _NDMSG.pack(AF_BRIDGE, index, state, NTF_SELF, 0) + attr(NDA_LLADDR, mac_bytes(mac))
    return payload if destination is None else payload + attr(NDA_DST, destination.packed)


def dump(nl: Netlink, index: int) -> list[Entry]:
    """The entries of a device, one for each destination (the kernel filters by device).

    Those a bridge has for the device as its port are left out. Empty for a device that is gone.
    """
    payload = _NDMSG.pack(AF_BRIDGE, index, 0, 0, 0)
    answers = nl.dump(RTM_GETNEIGH, payload, f"list the forwarding entries of interface {index}")
    return [one for one in [Entry(body) for _type, body in answers] if one.own]
