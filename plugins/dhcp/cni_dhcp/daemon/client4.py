"""The client's side of DHCPv4 (RFC 2131, section 4.4): conversations, each from start to end."""

from __future__ import annotations

import asyncio
import socket
import struct

from cni.record import replace
from cni_dhcp import options
from cni_dhcp.daemon import message4, packet
from cni_dhcp.daemon.applied import has
from cni_dhcp.daemon.conversation import Line, RefusedError, Tally, close, pauses, transaction
from cni_dhcp.daemon.ear4 import Ear
from cni_dhcp.daemon.lease import now
from cni_dhcp.daemon.message4 import DISCOVER, NOBODY, RELEASE, REQUEST, Message
from hostnet.link import mac_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ipaddress import IPv4Address

    from cni_dhcp.config import Terms
    from cni_dhcp.daemon.conversation import Limits
    from cni_dhcp.daemon.lease import Lease4
    from cni_dhcp.daemon.place import Site
    from hostnet.link import Link
    from hostnet.netns import NetNS

_SMALLEST_MESSAGE, _LARGEST_MESSAGE = 576, 0xFFFF
_IP_PKTINFO = 8  # <linux/in.h>
_PKTINFO = struct.Struct("=i4s4s")  # interface, source, destination
_SHARES_A_MAC = "ipvlan"
"""Of this kind, all interfaces have one hardware address: answers must go to everybody."""


class Client4:
    """One attachment's client. client_id: by which servers know it. limits: how patient it is."""

    def __init__(self, client_id: bytes, terms: Terms, limits: Limits) -> None:
        self._limits = limits
        # RFC 2132, section 9.14: type 0 is a name of the client's own choice.
        self._said = {options.CLIENT_ID: b"\0" + client_id, **dict(terms.provide)}
        if terms.request:
            self._said[options.PARAMETER_LIST] = bytes(terms.request)

    async def discover(
        self, site: Site, tally: Tally, seconds: float, former: Lease4 | None = None
    ) -> Lease4 | None:
        """A new lease; None when the time is over. former: whose address to ask for first."""
        found = site.link()
        wanted = former.address.ip if former else None
        port = packet.open_socket(site.ns, found.name)
        try:
            end = now() + seconds
            waits = pauses(self._limits)
            line = Line(port, tally, self._limits)
            while (left := end - now()) > 0:
                try:
                    return await self._one_lease(line, found, waits, left, wanted)
                except RefusedError as error:
                    tally.note_problem(f"the server took its offer back: {error}")
                    await asyncio.sleep(min(next(waits), left))
                wanted = None
            return None
        finally:
            close(port)

    async def _one_lease(
        self,
        line: Line,
        found: Link,
        waits: Iterator[float],
        seconds: float,
        wanted: IPv4Address | None,
    ) -> Lease4 | None:
        """An offer, and its acknowledgement. Raises RefusedError."""
        hear = Ear(mac_bytes(found.mac), line.tally)
        end = now() + seconds
        hint = {options.REQUESTED_ADDRESS: wanted.packed} if wanted else {}
        discover = self._sender(line, DISCOVER, hear, found, hint)
        offer = await line.ask(discover, hear.offer, seconds, waits)
        if offer is None:
            return None
        hear.server, hear.since = offer.server, now()
        chosen = {
            options.REQUESTED_ADDRESS: offer.address.ip.packed,
            options.SERVER_ID: offer.server.packed,
        }
        request = self._sender(line, REQUEST, hear, found, chosen)
        left = min(self._limits.timeout, end - now())
        verdict = await line.ask(request, hear.verdict, left)
        if verdict is None:
            raise RefusedError(f"{offer.server} does not acknowledge {offer.address.ip}")
        return verdict.lease()

    def _sender(
        self, line: Line, kind: int, hear: Ear, found: Link, more: dict[int, bytes]
    ) -> Callable[[], None]:
        """What sends a message of a client without an address."""
        began = now()

        def send() -> None:
            message = self._message(kind, hear.number, found, began, more)
            line.tally.note_sent(message.name)
            data = message4.encode(message)
            packet.send(line.sock, data, NOBODY, packet.EVERYBODY, mac=packet.EVERY_MAC)

        return send

    async def extend(
        self, site: Site, lease: Lease4, seconds: float, *, everybody: bool
    ) -> Lease4 | None:
        """The lease with new times; None when nobody answers.

        everybody: ask any server, not only the lease's. Raises RefusedError.
        """
        found = site.link()
        tally = Tally()
        hear = Ear(mac_bytes(found.mac), tally)
        target = packet.EVERYBODY if everybody else lease.server
        mac = packet.EVERY_MAC if everybody or not lease.mac else lease.mac
        began = now()
        # Where the interface has not got the address, somebody else uses it, such as a virtual
        # machine behind it, and the kernel does not send from it.
        own = has(site, lease.address)
        open_socket = _open_datagrams if own else packet.open_socket
        port = open_socket(site.ns, found.name)

        def send() -> None:
            client = lease.address.ip
            message = self._message(REQUEST, hear.number, found, began, {}, client=client)
            data = message4.encode(message)
            if own:
                _send_datagram(port, data, client, target)
            else:
                packet.send(port, data, client, target, mac=mac)

        read = hear.datagram if own else hear.verdict
        try:
            verdict = await Line(port, tally, self._limits).ask(send, read, seconds)
        finally:
            close(port)
        if verdict is None:
            return None
        extended = verdict.lease()
        return extended if extended.mac else replace(extended, mac=lease.mac)

    async def release(self, site: Site, lease: Lease4) -> None:
        """Tell the server that the address is free; the interface need not have it any more."""
        found = site.link()
        port = packet.open_socket(site.ns, found.name)
        try:
            said = {
                options.SERVER_ID: lease.server.packed,
                options.CLIENT_ID: self._said[options.CLIENT_ID],
            }
            message = Message(
                RELEASE, transaction(), mac_bytes(found.mac), said, client=lease.address.ip
            )
            data = message4.encode(message)
            mac = lease.mac or packet.EVERY_MAC
            packet.send(port, data, lease.address.ip, lease.server, mac=mac)
        finally:
            close(port)

    def _message(
        self,
        kind: int,
        number: int,
        found: Link,
        began: float,
        more: dict[int, bytes],
        *,
        client: IPv4Address = NOBODY,
    ) -> Message:
        size = min(max(found.mtu, _SMALLEST_MESSAGE), _LARGEST_MESSAGE)
        return Message(
            kind,
            number,
            mac_bytes(found.mac),
            {**more, options.LONGEST_MESSAGE: size.to_bytes(2, "big"), **self._said},
            client=client,
            seconds=int(now() - began),
            broadcast=self._limits.broadcast or found.kind == _SHARES_A_MAC,
        )


def _open_datagrams(ns: NetNS, ifname: str) -> socket.socket:
    """A UDP socket for a client that has an address.

    Not bound to that, since a refusal comes to everybody (RFC 2131, section 4.3.2).
    """
    with ns.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ifname.encode() + b"\0")
        sock.bind(("0.0.0.0", packet.CLIENT_PORT))  # noqa: S104 - of one interface
    except BaseException:
        sock.close()
        raise
    return sock


def _send_datagram(
    sock: socket.socket, data: bytes, source: IPv4Address, target: IPv4Address
) -> None:
    """Send it from this one of the interface's addresses."""
    chosen = _PKTINFO.pack(0, source.packed, bytes(4))
    sock.sendmsg(
        [data], [(socket.IPPROTO_IP, _IP_PKTINFO, chosen)], 0, (str(target), packet.SERVER_PORT)
    )
