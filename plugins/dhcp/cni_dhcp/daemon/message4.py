"""DHCPv4 messages as bytes (RFC 2131, section 2; options: RFC 2132, RFC 3396)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from cni.record import record
from cni_dhcp.options import MESSAGE_TYPE, OVERLOAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = range(1, 8)
NAMES = ("", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE")
NOBODY = IPv4Address(0)

_COOKIE = bytes((99, 130, 83, 99))
# op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file
_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_OPTIONS_AT = _FIXED.size + len(_COOKIE)
_BOOTREQUEST, _BOOTREPLY = 1, 2
_ETHERNET = 1
_BROADCAST = 0x8000
_SMALLEST = 300
"""RFC 1542, section 2.1: some relays drop what is smaller."""
_PAD, _END = 0, 255
_IN_FILE, _IN_SNAME = 1, 2


@record
class Message:
    """A message of either side.

    kind: its type. mac: the client's hardware address, six bytes. options: by number, all but the
    message type. client, yours: the addresses that the client has, and is given. broadcast: whether
    the answer must not be sent to an address that the client has not got yet.
    """

    kind: int
    xid: int
    mac: bytes
    options: Mapping[int, bytes]
    client: IPv4Address = NOBODY
    yours: IPv4Address = NOBODY
    seconds: int = 0
    broadcast: bool = False

    @property
    def name(self) -> str:
        """The type in words."""
        return NAMES[self.kind] if self.kind < len(NAMES) else f"message of type {self.kind}"


def encode(message: Message, *, reply: bool = False) -> bytes:
    """The message as a client sends it, or with `reply` a server."""
    fixed = _FIXED.pack(
        _BOOTREPLY if reply else _BOOTREQUEST,
        _ETHERNET,
        len(message.mac),
        0,
        message.xid,
        min(message.seconds, 0xFFFF),
        _BROADCAST if message.broadcast else 0,
        message.client.packed,
        message.yours.packed,
        bytes(4),
        bytes(4),
        message.mac,
        b"",
        b"",
    )
    parts = [fixed, _COOKIE, bytes((MESSAGE_TYPE, 1, message.kind))]
    for code, value in message.options.items():
        parts += _pieces(code, value)
    parts.append(bytes((_END,)))
    return b"".join(parts).ljust(_SMALLEST, b"\0")


def _pieces(code: int, value: bytes) -> Iterator[bytes]:
    """An option, in as many parts as its length needs (RFC 3396)."""
    for start in range(0, len(value) or 1, 255):
        part = value[start : start + 255]
        yield bytes((code, len(part))) + part


def decode(data: bytes) -> Message:
    """A server's message. Raises ValueError for anything else."""
    if len(data) < _OPTIONS_AT or data[_FIXED.size : _OPTIONS_AT] != _COOKIE:
        raise ValueError("no DHCP message")
    op, kind, size, _, xid, seconds, flags, client, yours, _, _, mac, sname, file = (
        _FIXED.unpack_from(data)
    )
    if op != _BOOTREPLY or kind != _ETHERNET or size != 6:
        raise ValueError("no answer to a client on Ethernet")
    options: dict[int, bytes] = {}
    _read_options(data[_OPTIONS_AT:], options)
    overload = options.pop(OVERLOAD, b"\0")
    # RFC 3396, section 5: in this order.
    if overload[:1] in (bytes((_IN_FILE,)), bytes((_IN_FILE | _IN_SNAME,))):
        _read_options(file, options)
    if overload[:1] in (bytes((_IN_SNAME,)), bytes((_IN_FILE | _IN_SNAME,))):
        _read_options(sname, options)
    kinds = options.pop(MESSAGE_TYPE, b"")
    if len(kinds) != 1:
        raise ValueError("a BOOTP message, without a type")
    return Message(
        kind=kinds[0],
        xid=xid,
        mac=mac[:6],
        options=options,
        client=IPv4Address(client),
        yours=IPv4Address(yours),
        seconds=seconds,
        broadcast=bool(flags & _BROADCAST),
    )


def _read_options(data: bytes, options: dict[int, bytes]) -> None:
    """Add the options to those found so far, parts of one to one another. Raises ValueError."""
    at = 0
    while at < len(data) and data[at] != _END:
        code = data[at]
        if code == _PAD:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            raise ValueError(f"option {code} ends after the message")
        size = data[at + 1]
        options[code] = options.get(code, b"") + data[at + 2 : at + 2 + size]
        at += 2 + size
