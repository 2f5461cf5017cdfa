"""Which routes and addresses `ptp` sets, worked out from the plan: pure data, no kernel.

The container's addresses keep their subnet's prefix length, and yet only the gateway is on the
link: the subnet is reached through it, since the other containers are behind links of their own.
The gateway's address is the host end's, on its own, so that any number of containers can have the
same one; and the host has a route to each of the container's addresses.
"""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

from cni.errors import DELEGATE_FAILED, CniError
from cni.record import replace
from cni.result import Route
from hostnet.route import RT_SCOPE_LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni import ip
    from cni.result import IPConfig
    from wiring.plan import Plan


def routed(plan: Plan, ipam: str) -> Plan:
    """The plan with the routes to the gateways and to the subnets behind them.

    Raises CniError(DELEGATE_FAILED) for an address that the IPAM plugin gave no gateway of its own.
    """
    for one in plan.ips:
        if one.gateway in (None, one.address.ip):
            raise CniError(
                DELEGATE_FAILED,
                f"IPAM plugin {ipam} gave the address {one.address} and the gateway "
                f"{one.gateway or '(none)'}: ptp needs another address for the host's end; set the "
                'gateway in "ipam"',
            )
    # In this order: a gateway has to be reachable before a route leads through it.
    installed = dict.fromkeys((*container_routes(plan.ips), *plan.installed))
    return replace(plan, installed=tuple(installed))


def container_routes(ips: Iterable[IPConfig]) -> dict[Route, ip.Address]:
    """The routes of the container besides the IPAM plugin's: to the gateways, then the subnets.

    Each with the address that it is for, the first of several.
    """
    gateways: dict[Route, ip.Address] = {}
    subnets: dict[Route, ip.Address] = {}
    for one in ips:
        if one.gateway is None:
            continue
        scope = RT_SCOPE_LINK if one.gateway.version == 4 else None
        gateways.setdefault(Route(ip_network(one.gateway), scope=scope), one.address.ip)
        subnet = one.address.network
        if subnet.prefixlen < subnet.max_prefixlen:
            subnets.setdefault(Route(subnet, one.gateway), one.address.ip)
    return {**gateways, **subnets}


def sources(ips: Iterable[IPConfig]) -> dict[Route, ip.Address]:
    """The address from which the container uses such a route.

    Of IPv4 only: the kernel would call every gateway from the first address. Of IPv6 it takes the
    address that is most like the destination (RFC 6724, rule 8).
    """
    found = container_routes(ips).items()
    return {one: source for one, source in found if source.version == 4}


def host_addresses(ips: Iterable[IPConfig]) -> tuple[ip.Interface, ...]:
    """The addresses of the host's end: each gateway, alone in its subnet, once."""
    return tuple(dict.fromkeys(ip_interface(one.gateway) for one in ips if one.gateway))


def host_routes(ips: Iterable[IPConfig]) -> tuple[ip.Network, ...]:
    """What the host reaches through its end: each address, once."""
    return tuple(dict.fromkeys(ip_network(one.address.ip) for one in ips))
