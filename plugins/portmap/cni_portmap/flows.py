"""Tracked UDP flows of published ports (`hostnet.conntrack`): others on the same port stay.

A flow keeps the translation that its first packet got for as long as packets come. So those that
began before the port was published would never reach the container, and those that began before it
was taken back would go on to an address that may be somebody else's by now.
"""

from __future__ import annotations

import errno

from cni_portmap.config import PROTOCOLS
from hostnet import conntrack
from hostnet.netlink import Netlink, NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni_portmap.tables import Published

_RTN_LOCAL = 2  # <linux/rtnetlink.h>
_FAMILY = {4: conntrack.AF_INET, 6: conntrack.AF_INET6}
NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
"""How the kernel says that it would not send to an address: no route, or one that says so."""
# More ports than this are told apart here, of one list of all UDP flows, not by one walk each.
_FEW = 8


def forget_older(nl: Netlink, published: Iterable[Published]) -> None:
    """Forget the flows to these ports that do not go to their container.

    `nl` is of NETLINK_NETFILTER, the thread in its namespace. Raises NetlinkError.
    """
    ports = _udp(published)
    if not ports:
        return
    try:
        with Netlink() as routes:
            local = _Local(routes)
            conntrack.delete_flows(
                nl,
                [
                    flow
                    for flow in _flows(nl, ports)
                    if any(_is_older(flow, one, local) for one in ports)
                ],
            )
    except NetlinkError as error:
        _require_conntrack(error)


def forget(nl: Netlink, published: Iterable[Published]) -> None:
    """Forget the flows that were led to these containers. Raises NetlinkError."""
    try:
        for one in _udp(published):
            match = conntrack.Match(
                _FAMILY[one.version],
                protocol=one.protocol,
                destination=one.host,
                dport=one.host_port,
                reply_source=one.container,
                reply_sport=one.container_port,
            )
            conntrack.delete(nl, match)
    except NetlinkError as error:
        _require_conntrack(error)


def _udp(published: Iterable[Published]) -> list[Published]:
    return [one for one in published if one.protocol == PROTOCOLS["udp"]]


def _flows(nl: Netlink, ports: list[Published]) -> list[conntrack.Flow]:
    udp = PROTOCOLS["udp"]
    wanted = {(one.version, one.host_port) for one in ports}
    if len(wanted) > _FEW:
        wanted = {(one.version, 0) for one in ports}
    return [
        flow
        for version, port in wanted
        for flow in conntrack.dump(nl, conntrack.Match(_FAMILY[version], protocol=udp, dport=port))
    ]


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
        import ipaddress

        from hostnet import route

        try:
            kind: int = route.lookup(self._nl, ipaddress.ip_address(packed)).kind
        except NetlinkError as error:
            if error.errno not in NO_WAY:
                raise
            return False
        return kind == _RTN_LOCAL


def _is_older(flow: conntrack.Flow, one: Published, local: _Local) -> bool:
    """Whether a flow to this port goes elsewhere than to its container."""
    if (flow.family, flow.original.dport) != (_FAMILY[one.version], one.host_port):
        return False
    if (flow.reply.src, flow.reply.sport) == (one.container.packed, one.container_port):
        return False
    if one.host is not None:
        return one.host.packed == flow.original.dst
    return flow.original.dst in local


def _require_conntrack(error: NetlinkError) -> None:
    """Raise it, unless the kernel cannot change tracked flows at all: they end by themselves then,
    30 s after their last packet, and a port is worth publishing all the same.
    """
    if error.errno != errno.EOPNOTSUPP:
        raise error
