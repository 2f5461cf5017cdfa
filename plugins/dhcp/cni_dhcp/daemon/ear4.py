"""Tells the answers of one DHCPv4 conversation from everything else that is on the network."""

from __future__ import annotations

from ipaddress import IPv4Address

from cni_dhcp import options
from cni_dhcp.daemon import message4, packet
from cni_dhcp.daemon.conversation import RefusedError, transaction
from cni_dhcp.daemon.lease import lease4, now
from cni_dhcp.daemon.message4 import ACK, NAK, OFFER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_dhcp.daemon.conversation import Tally
    from cni_dhcp.daemon.lease import Lease4
    from cni_dhcp.daemon.message4 import Message


class Verdict:
    """A server's last word: a lease, or None and what it said."""

    __slots__ = ("_lease", "_said")

    def __init__(self, lease: Lease4 | None, said: str = "") -> None:
        self._lease = lease
        self._said = said

    def lease(self) -> Lease4:
        """Raises RefusedError with the server's words where there is none."""
        if self._lease is None:
            raise RefusedError(self._said)
        return self._lease


class Ear:
    """Of one conversation. The readers raise ValueError for what is none of its.

    number: of the conversation. server: whose verdict counts, None for anybody's. since: when the
    lease began that is asked for.
    """

    def __init__(self, mac: bytes, tally: Tally) -> None:
        self.number = transaction()
        self.server: IPv4Address | None = None
        self.since = now()
        self._mac = mac
        self._tally = tally

    def offer(self, data: bytes, source: tuple[object, ...]) -> Lease4 | None:
        """An offer that can be taken, from a packet socket."""
        message = self._mine(packet.payload_of(data))
        return self._lease(message, source) if message.kind == OFFER else None

    def verdict(self, data: bytes, source: tuple[object, ...]) -> Verdict | None:
        """An acknowledgement or a refusal, from a packet socket."""
        return self._verdict(self._mine(packet.payload_of(data)), source)

    def datagram(self, data: bytes, source: tuple[object, ...]) -> Verdict | None:
        """The same, from a UDP socket."""
        return self._verdict(self._mine(data), source)

    def _mine(self, data: bytes) -> Message:
        message = message4.decode(data)
        if message.xid != self.number or message.mac != self._mac:
            raise ValueError("of another conversation")
        self._tally.note_heard(message.name)
        return message

    def _verdict(self, message: Message, source: tuple[object, ...]) -> Verdict | None:
        server = message.options.get(options.SERVER_ID, b"")
        if self.server is not None and server != self.server.packed:
            return None
        if message.kind == NAK:
            said = message.options.get(options.MESSAGE, b"").decode(errors="replace")
            return Verdict(None, said.strip("\0")[:100])
        lease = self._lease(message, source) if message.kind == ACK else None
        return None if lease is None else Verdict(lease)

    def _lease(self, message: Message, source: tuple[object, ...]) -> Lease4 | None:
        # A packet socket tells the sender's hardware address last, a UDP socket a port.
        mac = source[-1] if isinstance(source[-1], bytes) else b""
        try:
            return lease4(message, self.since, mac)
        except ValueError as error:
            self._tally.note_problem(error)
            return None
