"""Put an interface under a master, or take it from there, with what it loses on the way.

The kernel takes the interface down for it and brings it up again. That removes every route but
those to its own subnets, and IPv6 addresses unless its `keep_addr_on_down` is set. Both come back,
routes into the table that is the interface's then; as in the reference, but that one loses routes
of several ways.
"""

from __future__ import annotations

from cni.record import record
from hostnet import address, link, reroute, route
from hostnet.monitor import RTNLGRP_LINK, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.address import Address
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.netns import NetNS
    from hostnet.reroute import Way

_FAMILIES = (route.AF_INET, route.AF_INET6)
_SETTLE_SECONDS = 1.5


@record
class Held:
    """What an interface has in the main table and would lose."""

    inner: Link
    addresses: tuple[Address, ...]
    ways: tuple[Way, ...]


def look(nl: Netlink, inner: Link) -> Held:
    """What the interface has. Raises NetlinkError."""
    found = [one for family in _FAMILIES for one in route.dump(nl, family, oif=inner.index)]
    wanted = (one for one in found if one.kind == route.RTN_UNICAST)
    given = [one for one in wanted if one.protocol != route.RTPROT_KERNEL]
    ways = [way for one in given for way in reroute.ways(one, inner.index)]
    addresses = address.dump(nl, index=inner.index, family=address.AF_INET6)
    return Held(
        inner,
        tuple(one for one in addresses if _is_given(one)),
        # What is on the link first: a gateway is refused that no route leads to.
        tuple(sorted(ways, key=lambda way: way.gateway is not None)),
    )


def _is_given(one: Address) -> bool:
    """Whether somebody gave the address, and the kernel has not formed it itself."""
    return bool(one.flags & address.IFA_F_PERMANENT) and not one.interface.is_link_local


def enslave(ns: NetNS, nl: Netlink, held: Held, master: int, table: int) -> None:
    """Make `master` (0 for none) the interface's, and put its routes into the table.

    What is so already stays so. Raises NetlinkError, and has then done a part of it.
    """
    inner = held.inner
    if link.by_index(nl, inner.index).master != master:
        link.change(nl, inner.index, master=master)
    if inner.up:
        _wait_running(ns, nl, inner)
    # IPv6 addresses are lost by an interface that is down as well.
    kept = {one.interface for one in address.dump(nl, index=inner.index)}
    for one in held.addresses:
        if one.interface not in kept:
            _give(nl, inner, one)
    for way in held.ways:
        reroute.put(nl, way, table, exists_ok=True)
        if table != route.RT_TABLE_MAIN:
            # Of a route of several ways the kernel keeps this one too, and uses it once more.
            reroute.take(nl, way, route.RT_TABLE_MAIN, missing_ok=True)


def _give(nl: Netlink, inner: Link, one: Address) -> None:
    # One that was used already needs no new check for duplicates.
    nodad = not one.tentative or bool(one.flags & address.IFA_F_NODAD)
    noprefixroute = bool(one.flags & address.IFA_F_NOPREFIXROUTE)
    address.add(
        nl, inner.index, one.interface, nodad=nodad, noprefixroute=noprefixroute, replace=True
    )


def _wait_running(ns: NetNS, nl: Netlink, inner: Link) -> None:
    """Wait until the interface sends again, which one without a carrier does not come to."""
    with ns.entered():
        monitor = Monitor(RTNLGRP_LINK)
    with monitor:
        try:
            monitor.until(
                lambda: link.by_index(nl, inner.index).running or None,
                _SETTLE_SECONDS if inner.running else 0,
                f"interface {inner.name} to run",
            )
        except TimeoutError:
            pass
