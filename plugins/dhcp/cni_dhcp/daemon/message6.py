"""DHCPv6 messages as bytes: what a client of one address needs (RFC 8415, sections 8 and 21)."""

from __future__ import annotations

import struct
from _blake2 import blake2s
from ipaddress import IPv6Address

from cni.record import record
from cni_dhcp.daemon.lease import Lease6, times
from cni_dhcp.daemon.names import read_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SOLICIT, ADVERTISE, REQUEST = 1, 2, 3
RENEW, REBIND, REPLY, RELEASE = 5, 6, 7, 8
NAMES = {
    SOLICIT: "SOLICIT",
    REQUEST: "REQUEST",
    RENEW: "RENEW",
    REBIND: "REBIND",
    RELEASE: "RELEASE",
}

CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, OPTIONS_REQUESTED = 1, 2, 3, 5, 6
ELAPSED, STATUS, RAPID_COMMIT, NAME_SERVERS, DOMAIN_LIST = 8, 13, 14, 23, 24
SUCCESS, NO_ADDRESSES, NO_BINDING = 0, 2, 3
_STATUS = {0: "Success", 1: "UnspecFail", 2: "NoAddrsAvail", 3: "NoBinding", 4: "NotOnLink"}

_HEAD = struct.Struct("!HH")
_IA = struct.Struct("!III")
_ADDRESS = struct.Struct("!16sII")
_DUID_UUID = 4
_CENTISECONDS = 0xFFFF


@record
class Message6:
    """A message of either side. transaction: 24 bits. options: (number, value) in order."""

    kind: int
    transaction: int
    options: tuple[tuple[int, bytes], ...]

    def option(self, code: int) -> bytes | None:
        """The first of that number."""
        return next((value for number, value in self.options if number == code), None)


@record
class Identity:
    """A client: its DUID, and the number of its one identity association."""

    duid: bytes
    iaid: bytes


def identity(owner: str) -> Identity:
    """Of an attachment: the same whenever a container of that name comes back.

    As with DHCPv4, where the client's identifier is made of the same names. A DUID of type UUID
    (RFC 6355), since a hardware address is another one each time.
    """
    digest = blake2s(owner.encode(), digest_size=20).digest()
    return Identity(_DUID_UUID.to_bytes(2, "big") + digest[:16], digest[16:])


def encode(message: Message6) -> bytes:
    """The message as it goes over the wire."""
    head = (message.kind << 24 | message.transaction & 0xFFFFFF).to_bytes(4, "big")
    return head + _join(message.options)


def decode(data: bytes) -> Message6:
    """A message of either side. Raises ValueError."""
    if len(data) < 4:
        raise ValueError("no DHCPv6 message")
    return Message6(data[0], int.from_bytes(data[1:4], "big"), tuple(_split(data[4:])))


def _join(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(_HEAD.pack(code, len(value)) + value for code, value in options)


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise ValueError("an option that ends after the message")
        code, size = _HEAD.unpack_from(data, at)
        if at + 4 + size > len(data):
            raise ValueError(f"option {code} ends after the message")
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + size


def question(
    kind: int,
    transaction: int,
    who: Identity,
    *,
    seconds: float,
    server: bytes = b"",
    address: IPv6Address | None = None,
    wanted: tuple[int, ...] = (),
) -> Message6:
    """A client's message.

    seconds: since the conversation began. server: whom it is for, empty for all. address: the one
    that is asked about. wanted: numbers of options.
    """
    inner = b""
    if address is not None:
        inner = _join([(IA_ADDRESS, _ADDRESS.pack(address.packed, 0, 0))])
    elapsed = min(int(seconds * 100), _CENTISECONDS)
    options = [
        (CLIENT_ID, who.duid),
        (ELAPSED, elapsed.to_bytes(2, "big")),
        (IA_NA, who.iaid + bytes(8) + inner),
    ]
    if server:
        options.insert(1, (SERVER_ID, server))
    if kind == SOLICIT:
        options.append((RAPID_COMMIT, b""))
    if wanted:
        options.append((OPTIONS_REQUESTED, b"".join(one.to_bytes(2, "big") for one in wanted)))
    return Message6(kind, transaction, tuple(options))


@record
class Offer:
    """What a server says about the association.

    server: its DUID. addresses: (address, valid seconds) of each; 0 seconds take it away. problem:
    its status in words, empty where that is success.
    """

    server: bytes
    addresses: tuple[tuple[IPv6Address, int], ...]
    renewal: int
    rebinding: int
    problem: str

    def given(self, wanted: IPv6Address | None = None) -> tuple[IPv6Address, int] | None:
        """An address that may be used, `wanted` rather than another."""
        usable = [(one, valid) for one, valid in self.addresses if valid]
        return next((pair for pair in usable if pair[0] == wanted), usable[0] if usable else None)


def offer(message: Message6, who: Identity) -> Offer:
    """Raises ValueError where the message is none for this client."""
    server = message.option(SERVER_ID)
    if not server or message.option(CLIENT_ID) != who.duid:
        raise ValueError("for another client")
    problem = _problem(message.options)
    for code, value in message.options:
        if code != IA_NA or len(value) < _IA.size or value[:4] != who.iaid:
            continue
        _, renewal, rebinding = _IA.unpack_from(value)
        inner = tuple(_split(value[_IA.size :]))
        addresses = tuple(
            (IPv6Address(one[:16]), _ADDRESS.unpack_from(one)[2])
            for number, one in inner
            if number == IA_ADDRESS and len(one) >= _ADDRESS.size
        )
        return Offer(server, addresses, renewal, rebinding, problem or _problem(inner))
    return Offer(server, (), 0, 0, problem)


def _problem(options: Iterable[tuple[int, bytes]]) -> str:
    for code, value in options:
        if code == STATUS and len(value) >= 2 and (number := int.from_bytes(value[:2], "big")):
            said = value[2:].decode(errors="replace").strip()[:100]
            name = _STATUS.get(number, f"status {number}")
            return f"{name} ({said})" if said else name
    return ""


def lease6(
    message: Message6, found: Offer, sent: float, wanted: IPv6Address | None = None
) -> Lease6 | None:
    """The lease of a reply; None where it gives no address.

    sent: when the request was. wanted: the address to take where it gives several.
    """
    given = found.given(wanted)
    if given is None:
        return None
    address, valid = given
    servers = message.option(NAME_SERVERS) or b""
    return Lease6(
        address,
        found.server,
        tuple(
            str(IPv6Address(servers[at : at + 16])) for at in range(0, len(servers) // 16 * 16, 16)
        ),
        read_names(message.option(DOMAIN_LIST) or b""),
        times(sent, valid, found.renewal or None, found.rebinding or None),
    )
