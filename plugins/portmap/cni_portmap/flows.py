"""Tracked UDP flows of published ports (`hostnet.conntrack`): others on the same port stay.

A flow keeps the translation that its first packet got for as long as packets come. So those that
began before the port was published would never reach the container, and those that began before it
was taken back would go on to an address that may be somebody else's by now.
"""

from __future__ import annotations

import errno
import ipaddress

from cni_portmap.config import PROTOCOLS
from hostnet import conntrack
from hostnet.netlink import Netlink, NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.ip import Address
    from cni_portmap.tables import Published
    from hostnet.netfilter import Netfilter

_RTN_LOCAL = 2  # <linux/rtnetlink.h>
_FAMILY = {4: conntrack.AF_INET, 6: conntrack.AF_INET6}
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
"""How the kernel says that it would not send to an address: no route, or one that says so."""
_MANY = 100
"""So many walks of 0.1 ms each take as long as one list of everything."""


def forget_older(nl: Netfilter, published: Iterable[Published]) -> None:
    """Forget the flows to these ports, which have just been published.

    The thread is in the namespace of `nl`. Raises NetlinkError.
    """
    ports = _udp(published)
    if not ports:
        return
    try:
        with Netlink() as routes:
            for version in sorted({one.version for one in ports}):
                of = [one for one in ports if one.version == version]
                if not _forget_by_address(nl, routes, of):
                    _forget_one_by_one(nl, routes, of)
    except NetlinkError as error:
        _require_conntrack(error)


def _forget_by_address(nl: Netfilter, routes: Netlink, ports: list[Published]) -> bool:
    """The quick way: the kernel forgets what goes to an address and port; False if it cannot.

    ports: of one IP version.
    """
    from hostnet import address

    family = _FAMILY[ports[0].version]
    own: set[Address] = set()
    if any(one.host is None for one in ports):
        own = {found.interface.ip for found in address.dump(routes, family=family)}
    if len(ports) * max(len(own), 1) > _MANY:
        return False
    return all(
        conntrack.delete_quickly(
            nl,
            conntrack.Match(family, protocol=one.protocol, destination=to, dport=one.host_port),
        )
        for one in ports
        for to in (own if one.host is None else (one.host,))
    )


def _forget_one_by_one(nl: Netfilter, routes: Netlink, ports: list[Published]) -> None:
    """The slow way: one list of all UDP flows, of which those to the host itself are picked out.

    ports: of one IP version.
    """
    local = _Local(routes)
    udp = conntrack.Match(_FAMILY[ports[0].version], protocol=PROTOCOLS["udp"])
    hosts: dict[int, set[Address | None]] = {}
    for one in ports:
        hosts.setdefault(one.host_port, set()).add(one.host)
    older = []
    for flow in conntrack.dump(nl, udp):
        of = hosts.get(flow.original.dport)
        if of and (
            ipaddress.ip_address(flow.original.dst) in of
            or (None in of and flow.original.dst in local)
        ):
            older.append(flow)
    conntrack.delete_flows(nl, older)


def forget(nl: Netfilter, published: Iterable[Published]) -> None:
    """Forget the flows that were led to these containers. Raises NetlinkError."""
    ports = _udp(published)
    try:
        for version in sorted({one.version for one in ports}):
            matches = [_led(one) for one in ports if one.version == version]
            quickly = len(matches) <= _MANY
            if quickly and all(conntrack.delete_quickly(nl, match) for match in matches):
                continue
            udp = conntrack.Match(_FAMILY[version], protocol=PROTOCOLS["udp"])
            by_port: dict[int, list[conntrack.Match]] = {}
            for match in matches:
                by_port.setdefault(match.dport, []).append(match)
            led = [
                flow
                for flow in conntrack.dump(nl, udp)
                if any(match.agrees(flow) for match in by_port.get(flow.original.dport, ()))
            ]
            conntrack.delete_flows(nl, led)
    except NetlinkError as error:
        _require_conntrack(error)


def forget_untranslated(nl: Netfilter, published: Iterable[Published]) -> None:
    """Forget the flows to these ports that lead to nobody: they began while nothing was published.

    Those that lead to the container go on. Raises NetlinkError.
    """
    ports = _udp(published)
    try:
        for version in sorted({one.version for one in ports}):
            hosts = {(one.host_port, one.host) for one in ports if one.version == version}
            udp = conntrack.Match(_FAMILY[version], protocol=PROTOCOLS["udp"])
            lost = [
                flow
                for flow in conntrack.dump(nl, udp)
                if flow.reply.src == flow.original.dst
                and not hosts.isdisjoint(
                    (flow.original.dport, to)
                    for to in (None, ipaddress.ip_address(flow.original.dst))
                )
            ]
            conntrack.delete_flows(nl, lost)
    except NetlinkError as error:
        _require_conntrack(error)


def _led(one: Published) -> conntrack.Match:
    """The flows that were led to the container through this port."""
    return conntrack.Match(
        _FAMILY[one.version],
        protocol=one.protocol,
        destination=one.host,
        dport=one.host_port,
        reply_source=one.container,
        reply_sport=one.container_port,
    )


def _udp(published: Iterable[Published]) -> list[Published]:
    return [one for one in published if one.protocol == PROTOCOLS["udp"]]


class _Local:
    """Which addresses are the host's own."""

    def __init__(self, nl: Netlink) -> None:
        self._nl = nl
        self._known: dict[bytes, bool] = {}

    def __contains__(self, packed: bytes) -> bool:
        if packed not in self._known:
            self._known[packed] = self._ask(packed)
        return self._known[packed]

    def _ask(self, packed: bytes) -> bool:
        from hostnet import route

        try:
            kind: int = route.lookup(self._nl, ipaddress.ip_address(packed)).kind
        except NetlinkError as error:
            if error.errno not in NO_WAY:
                raise
            return False
        return kind == _RTN_LOCAL


def _require_conntrack(error: NetlinkError) -> None:
    """Raise it, unless the kernel cannot change tracked flows at all: they end by themselves then,
    30 s after their last packet, and a port is worth publishing all the same.
    """
    if error.errno != errno.EOPNOTSUPP:
        raise error
