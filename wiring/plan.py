"""From the config and the IPAM plugin's result to what a container gets: pure data, no kernel."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_interface

from cni.errors import DELEGATE_FAILED, INVALID_CONFIG, CniError
from cni.record import record, replace
from cni.result import DNS, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni import ip
    from cni.result import IPConfig, Result

_DEFAULT: dict[int, ip.Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
_MAIN_TABLE = 254  # linux/rtnetlink.h
_SCOPE_LINK = 253  # linux/rtnetlink.h: from here on inwards a route has no gateway
_MIN_IPV6_MTU = 1280  # RFC 8200; below it the kernel takes IPv6 off the link


@record
class Plan:
    """What an attachment gets.

    ips: as the result tells them. routes: likewise. installed: the same routes as the kernel takes
    them, each with its gateway, without repetitions. gateways: the addresses of the host's side,
    none unless that is the gateway.
    """

    ips: tuple[IPConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    installed: tuple[Route, ...] = ()
    gateways: tuple[ip.Interface, ...] = ()
    dns: DNS = DNS()


def make(
    allocated: Result,
    *,
    ipam: str,
    interface: int,
    mtu: int = 0,
    is_gateway: bool = False,
    is_default_gateway: bool = False,
    routes: Iterable[Route] = (),
    dns: DNS | None = None,
) -> Plan:
    """Work the gateways and routes out.

    ipam: the plugin that allocated. interface: where the container's stands in the result. mtu: of
    the config, 0 where it says none. is_gateway: the host's side is the container's gateway;
    is_default_gateway: and its way out. routes: of the network, besides the IPAM plugin's. dns: of
    the config, None for the IPAM plugin's.
    Raises CniError: DELEGATE_FAILED where the IPAM plugin allocated no address, INVALID_CONFIG for
    an MTU that IPv6 cannot live with.
    """
    if not allocated.ips:
        raise CniError(
            DELEGATE_FAILED,
            f"IPAM plugin {ipam} returned missing IP config: no address, expected at least one",
        )
    if 0 < mtu < _MIN_IPV6_MTU and any(one.address.version == 6 for one in allocated.ips):
        raise CniError(
            INVALID_CONFIG,
            f'key "mtu": found {mtu}, expected at least {_MIN_IPV6_MTU} with IPv6 addresses',
        )
    ips = tuple(_completed(one, interface, is_gateway) for one in allocated.ips)
    all_routes = [*allocated.routes, *_more(routes, ips, allocated.routes)]
    if is_default_gateway:
        all_routes += _missing_defaults(ips, all_routes)
    return Plan(
        ips=ips,
        routes=tuple(all_routes),
        installed=installed(ips, all_routes),
        gateways=gateways(ips) if is_gateway else (),
        dns=allocated.dns if dns is None else dns,
    )


def _completed(config: IPConfig, interface: int, is_gateway: bool) -> IPConfig:
    """Every address is the container interface's; the gateway is the subnet's first address."""
    gateway = config.gateway
    if gateway is None and is_gateway:
        gateway = config.address.network.network_address + 1
    return replace(config, gateway=gateway, interface=interface)


def _more(
    routes: Iterable[Route], ips: tuple[IPConfig, ...], present: Iterable[Route]
) -> Iterator[Route]:
    """Those of the network's routes that say something new, in the families the container has."""
    known = _destinations(present) | {one.address.network for one in ips}
    families = {one.address.version for one in ips}
    for route in routes:
        if route.dst.version in families and route.dst not in known:
            yield route


def _destinations(routes: Iterable[Route]) -> set[ip.Network]:
    """Where routes of the main table lead."""
    return {route.dst for route in routes if route.table in (None, 0, _MAIN_TABLE)}


def _missing_defaults(ips: tuple[IPConfig, ...], routes: list[Route]) -> list[Route]:
    """A default route for each family that has none; one without a gateway counts, it gets ours."""
    missing = []
    present = _destinations(routes)
    for config in ips:
        default = _DEFAULT[config.address.version]
        if default not in present:
            present.add(default)
            missing.append(Route(default, config.gateway))
    return missing


def installed(ips: tuple[IPConfig, ...], routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes with the family's first gateway filled in, except where they are on-link."""
    gateways: dict[int, ip.Address] = {}
    for config in ips:
        if config.gateway is not None:
            gateways.setdefault(config.address.version, config.gateway)
    installed: dict[Route, None] = {}
    for route in routes:
        on_link = route.scope is not None and route.scope >= _SCOPE_LINK
        gateway = route.gw or (None if on_link else gateways.get(route.dst.version))
        installed[replace(route, gw=gateway)] = None
    return tuple(installed)


def gateways(ips: tuple[IPConfig, ...]) -> tuple[ip.Interface, ...]:
    """The addresses of the host's side: each gateway with its subnet's prefix length, once."""
    return tuple(
        dict.fromkeys(
            ip_interface((one.gateway, one.address.network.prefixlen))
            for one in ips
            if one.gateway is not None
        )
    )
