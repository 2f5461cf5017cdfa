"""What a device loses by leaving a namespace, and what an ADD that fails gives back to it."""

from __future__ import annotations

from hostnet import address, link, route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_RTPROT_RA = 9  # linux/rtnetlink.h: of a router's advertisements
_OF_THE_KERNEL = (route.RTPROT_KERNEL, _RTPROT_RA)


class Settings:
    """What a device loses by leaving a namespace: being up, its addresses and routes."""

    __slots__ = ("_addresses", "_routes", "_up")

    def __init__(self, nl: Netlink, device: Link) -> None:
        self._up = device.up
        self._addresses = [
            one.interface
            for one in address.dump(nl, index=device.index)
            if one.flags & address.IFA_F_PERMANENT and not one.interface.is_link_local
        ]
        self._routes = [
            one
            for family in (route.AF_INET, route.AF_INET6)
            for one in route.dump(nl, family, table=0, oif=device.index)
            if one.protocol not in _OF_THE_KERNEL and one.kind == route.RTN_UNICAST
        ]

    def restore(self, nl: Netlink, index: int) -> None:
        """Give it all that again. Raises OSError."""
        for one in self._addresses:
            address.add(nl, index, one, replace=True)
        if self._up:
            link.set_up(nl, index)
        for gone in self._routes:
            route.add(
                nl,
                gone.destination,
                gateway=gone.gateway,
                oif=index,
                source=gone.source,
                mtu=gone.mtu,
                advmss=gone.advmss,
                priority=gone.priority,
                table=gone.table,
                scope=gone.scope,
                protocol=gone.protocol,
                beside=True,
            )
