"""The client's side of DHCPv6 for one address (RFC 8415, section 18.2)."""

from __future__ import annotations

import asyncio
import itertools
import socket

from cni.record import record
from cni_dhcp import options
from cni_dhcp.daemon import message6
from cni_dhcp.daemon.conversation import Line, RefusedError, Tally, pauses, transaction
from cni_dhcp.daemon.lease import now
from cni_dhcp.daemon.message6 import (
    ADVERTISE,
    DOMAIN_LIST,
    NAME_SERVERS,
    NAMES,
    REBIND,
    RELEASE,
    RENEW,
    REPLY,
    REQUEST,
    SOLICIT,
)
from hostnet import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv6Address

    from cni_dhcp.config import Terms
    from cni_dhcp.daemon.conversation import Limits
    from cni_dhcp.daemon.lease import Lease6
    from cni_dhcp.daemon.message6 import Offer
    from cni_dhcp.daemon.place import Site

_SERVERS = "ff02::1:2"
_CLIENT_PORT, _SERVER_PORT = 546, 547
_RELEASE_SECONDS = 1.0
_WANTED = {options.DOMAIN_NAME_SERVERS: NAME_SERVERS, options.DOMAIN_SEARCH: DOMAIN_LIST}
"""What of `request` has a counterpart."""


@record
class _Heard:
    """A server's answer; lease: where it gives one."""

    offer: Offer
    lease: Lease6 | None


class Client6:
    """One attachment's client. owner: what its identity is made of. limits: how patient it is."""

    def __init__(self, owner: str, terms: Terms, limits: Limits) -> None:
        self._limits = limits
        self._who = message6.identity(owner)
        self._wanted = tuple(_WANTED[one] for one in terms.request if one in _WANTED)

    async def discover(
        self, site: Site, tally: Tally, seconds: float, former: Lease6 | None = None
    ) -> Lease6 | None:
        """A new lease; None when the time is over. former: whose address to ask for.

        The first server that has an address gets the request. The RFC would have a client listen
        for better ones for a second, for which somebody waits here.
        """
        end = now() + seconds
        waits = pauses(self._limits)
        wanted = former.address if former else None
        with _open_socket(site) as port:
            line = Line(port, tally, self._limits)
            while (left := end - now()) > 0:
                heard = await self._ask(line, site, SOLICIT, left, waits, wanted=wanted)
                if heard is None or heard.lease is not None:
                    return heard.lease if heard else None
                offered = heard.offer.given()
                heard = await self._ask(
                    line,
                    site,
                    REQUEST,
                    min(self._limits.timeout, end - now()),
                    server=heard.offer.server,
                    wanted=offered[0] if offered else None,
                )
                if heard is not None and heard.lease is not None:
                    return heard.lease
                tally.note_problem("the server took its offer back")
                await asyncio.sleep(min(next(waits), max(end - now(), 0)))
        return None

    async def extend(
        self, site: Site, lease: Lease6, seconds: float, *, everybody: bool
    ) -> Lease6 | None:
        """The lease with new times, or another one; None when nobody answers.

        everybody: ask any server, not only the lease's. Raises RefusedError.
        """
        with _open_socket(site) as port:
            heard = await self._ask(
                Line(port, Tally(), self._limits),
                site,
                REBIND if everybody else RENEW,
                seconds,
                server=b"" if everybody else lease.server,
                wanted=lease.address,
            )
        if heard is not None and heard.lease is None:
            raise RefusedError(heard.offer.problem)
        return heard.lease if heard else None

    async def release(self, site: Site, lease: Lease6) -> None:
        """Tell the server that the address is free, and wait for its answer, not for long."""
        with _open_socket(site) as port:
            await self._ask(
                Line(port, Tally(), self._limits),
                site,
                RELEASE,
                _RELEASE_SECONDS,
                itertools.repeat(_RELEASE_SECONDS / 2),
                server=lease.server,
                wanted=lease.address,
            )

    async def _ask(
        self,
        line: Line,
        site: Site,
        kind: int,
        seconds: float,
        waits: Iterator[float] | None = None,
        *,
        server: bytes = b"",
        wanted: IPv6Address | None = None,
    ) -> _Heard | None:
        number = transaction() & 0xFFFFFF
        began = now()

        def send() -> None:
            message = message6.question(
                kind,
                number,
                self._who,
                seconds=now() - began,
                server=server,
                address=wanted,
                wanted=self._wanted,
            )
            line.tally.note_sent(NAMES[kind])
            index = site.place.index
            line.sock.sendto(message6.encode(message), (_SERVERS, _SERVER_PORT, 0, index))

        def read(data: bytes, _source: tuple[object, ...]) -> _Heard | None:
            message = message6.decode(data)
            if message.transaction != number:
                return None
            offer = message6.offer(message, self._who)
            expected = (ADVERTISE, REPLY) if kind == SOLICIT else (REPLY,)
            if message.kind not in expected:
                return None
            line.tally.note_heard("REPLY" if message.kind == REPLY else "ADVERTISE")
            if kind == SOLICIT and offer.given() is None:
                # Perhaps another server has.
                line.tally.note_problem(f"a server has no address: {offer.problem or 'no reason'}")
                return None
            lease = message6.lease6(message, offer, began, wanted)
            return _Heard(offer, lease if message.kind == REPLY else None)

        return await line.ask(send, read, seconds, waits)


def _open_socket(site: Site) -> socket.socket:
    """A UDP socket on the interface's link-local address. Raises OSError."""
    index = site.place.index
    found = address.dump(site.nl, index=index, family=address.AF_INET6)
    own = next(str(one.interface.ip) for one in found if one.interface.is_link_local)
    with site.ns.entered():
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.bind((own, _CLIENT_PORT, 0, index))
    except BaseException:
        sock.close()
        raise
    return sock
