"""What a device loses by leaving a namespace, and what an ADD that fails gives back to it."""

from __future__ import annotations

from hostnet import address, link, reroute, route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostnet.address import Address
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.reroute import Way

_RTPROT_RA = 9  # linux/rtnetlink.h: of a router's advertisements
_OF_THE_KERNEL = (route.RTPROT_KERNEL, _RTPROT_RA)


class Settings:
    """Whether a device is up, its addresses and routes."""

    __slots__ = ("_addresses", "_up", "_ways")

    def __init__(self, nl: Netlink, device: Link) -> None:
        self._up = device.up
        self._addresses = [one.interface for one in addresses(nl, device.index)]
        self._ways = ways(nl, device.index)

    def restore(self, nl: Netlink, index: int) -> None:
        """Give it all that again. Raises OSError."""
        for one in self._addresses:
            address.add(nl, index, one, replace=True)
        if self._up:
            link.set_up(nl, index)
        put(nl, index, self._ways)


def addresses(nl: Netlink, index: int) -> list[Address]:
    """Those of a link that nobody makes anew when it comes up.

    An IPv4 lease is among them: whoever has it set would find out late, at the next renewal. IPv6
    ones that expire are a router's, or DHCPv6's, and come with these.
    """
    return [
        one
        for one in address.dump(nl, index=index)
        if not one.interface.is_link_local
        and (one.family == address.AF_INET or one.flags & address.IFA_F_PERMANENT)
    ]


def ways(nl: Netlink, index: int) -> list[Way]:
    """The routes out of a link, of all tables, but for those that addresses or routers bring."""
    return [
        way
        for family in (route.AF_INET, route.AF_INET6)
        for one in route.dump(nl, family, table=0, oif=index)
        if one.protocol not in _OF_THE_KERNEL and one.kind == route.RTN_UNICAST
        for way in reroute.ways(one, index)
    ]


def put(nl: Netlink, index: int, found: Iterable[Way]) -> None:
    """Set routes again, on a link that has another index by now. Raises NetlinkError."""
    # To a gateway there has to be a way before it is one.
    for way in sorted(found, key=lambda way: (-way.route.scope, way.gateway is not None)):
        way.oif = index
        reroute.put(nl, way, way.route.table, exists_ok=True)
