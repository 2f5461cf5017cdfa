"""From leases and what the router said to what a container gets: pure data."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Interface

from cni.record import record, replace
from cni.result import DNS, IPConfig, Result, Route
from cni_dhcp import options
from cni_dhcp.daemon import values4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip
    from cni_dhcp.config import Terms
    from cni_dhcp.daemon.lease import Lease4, Lease6

_DEFAULT = IPv4Network("0.0.0.0/0")


@record
class Seen6:
    """What the kernel has made of router advertisements.

    addresses: those it formed by itself. router: of the default route. managed: whether addresses
    come from a DHCPv6 server.
    """

    addresses: tuple[IPv6Interface, ...] = ()
    router: ip.Address | None = None
    managed: bool = False


def result(terms: Terms, lease4: Lease4 | None, lease6: Lease6 | None, seen: Seen6) -> Result:
    """The whole result of an ADD.

    IPv6 routes are none: default and on-link routes are the kernel's, as routers announce them.
    """
    ips: list[IPConfig] = []
    routes: tuple[Route, ...] = ()
    dns = DNS()
    router6 = None if terms.suppress_gateway else seen.router
    if lease4 is not None:
        ips.append(IPConfig(lease4.address, gateway(terms, lease4)))
        routes = routes4(terms, lease4)
        dns = dns4(lease4)
    if lease6 is not None:
        ips.append(IPConfig(interface6(lease6), router6))
        dns = replace(
            dns,
            nameservers=(*dns.nameservers, *lease6.nameservers),
            search=tuple(dict.fromkeys((*dns.search, *lease6.search))),
        )
    ips += (IPConfig(one, router6) for one in seen.addresses)
    return Result(ips=tuple(ips), routes=routes, dns=dns)


def interface6(lease: Lease6) -> IPv6Interface:
    """The address alone: which prefix is on the link, routers say and no server (RFC 8415, 18)."""
    return IPv6Interface((lease.address, 128))


def gateway(terms: Terms, lease: Lease4) -> ip.Address | None:
    """The first router."""
    routers = values4.addresses(lease.options.get(options.ROUTERS))
    return routers[0] if routers and not terms.suppress_gateway else None


def routes4(terms: Terms, lease: Lease4) -> tuple[Route, ...]:
    """The routes of a lease.

    RFC 3442: where there are classless ones, static ones and the router say nothing.
    """
    said = lease.options
    routes = values4.classless_routes(said.get(options.CLASSLESS_ROUTES))
    if not routes:
        routes = values4.static_routes(said.get(options.STATIC_ROUTES))
        routers = values4.addresses(said.get(options.ROUTERS))
        routes += tuple(Route(_DEFAULT, router) for router in routers[:1])
    mtu = values4.mtu(said.get(options.INTERFACE_MTU))
    return tuple(
        replace(route, mtu=mtu, priority=terms.priority or None)
        for route in routes
        if route.dst.prefixlen or not terms.suppress_gateway
    )


def dns4(lease: Lease4) -> DNS:
    """The resolver's settings of a lease."""
    said = lease.options
    servers = values4.addresses(said.get(options.DOMAIN_NAME_SERVERS))
    return DNS(
        nameservers=tuple(str(one) for one in servers),
        domain=values4.text(said, options.DOMAIN_NAME),
        search=values4.search(said.get(options.DOMAIN_SEARCH)),
    )
