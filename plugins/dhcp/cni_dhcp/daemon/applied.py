"""A lease that changed, on the container's interface: the old address and routes out, new ones in.

At an ADD the interface plugin does this; from then on nobody else is there.
"""

from __future__ import annotations

import errno

from cni.record import record
from hostnet import address, announce, link, route, sysctl
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip
    from cni.result import Route
    from cni_dhcp.daemon.place import Site


@record
class Given:
    """What an interface has by a lease. gateway: of routes that name none."""

    address: ip.Interface
    gateway: ip.Address | None = None
    routes: tuple[Route, ...] = ()


def has(site: Site, wanted: ip.Interface) -> bool:
    """Whether the interface has the address. Raises OSError."""
    index = site.place.index
    return any(one.interface == wanted for one in address.dump(site.nl, index=index))


def swap(site: Site, old: Given | None, new: Given | None) -> None:
    """Put one in the place of the other; what is there or gone already is no error.

    The new address comes first, since with its last one an interface loses all its routes, those of
    others too; so the old one must not take a new one of the same subnet along. Raises OSError.
    """
    index = site.place.index
    if new is not None:
        _prepare(site, new.address.version)
        address.add(site.nl, index, new.address, nodad=True, replace=True)
    if old is not None:
        for one in old.routes:
            if new is None or one not in new.routes or old.gateway != new.gateway:
                _remove_route(site, one, old.gateway)
        if new is None or old.address != new.address:
            address.delete(site.nl, index, old.address, missing_ok=True)
    for one in new.routes if new is not None else ():
        _add_route(site, one, new.gateway if new else None)
    if new is not None:
        _announce(site)


def _prepare(site: Site, version: int) -> None:
    name = site.link().name
    with site.ns.entered():
        announce.enable(name, ipv4=version == 4, ipv6=version == 6)
        if version == 4:
            sysctl.ensure(sysctl.of_interface("ipv4", name, "promote_secondaries"), "1")


def _announce(site: Site) -> None:
    """Tell the neighbours who has the address, which the kernel does when a MAC is set."""
    try:
        link.change(site.nl, site.place.index, mac=site.link().mac)
    except NetlinkError:  # a kind whose MAC is another's, such as ipvlan
        pass


def _gateway(one: Route, gateway: ip.Address | None) -> ip.Address | None:
    """As interface plugins fill it in (wiring.plan.installed)."""
    on_link = one.scope is not None and one.scope >= route.RT_SCOPE_LINK
    return one.gw or (None if on_link else gateway)


def _remove_route(site: Site, one: Route, gateway: ip.Address | None) -> None:
    route.delete(
        site.nl,
        one.dst,
        gateway=_gateway(one, gateway),
        oif=site.place.index,
        priority=one.priority or 0,
        missing_ok=True,
    )


def _add_route(site: Site, one: Route, gateway: ip.Address | None) -> None:
    try:
        route.add(
            site.nl,
            one.dst,
            gateway=_gateway(one, gateway),
            oif=site.place.index,
            mtu=one.mtu or 0,
            priority=one.priority or 0,
            scope=one.scope,
            beside=True,
        )
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
