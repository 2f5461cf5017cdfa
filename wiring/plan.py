"""From the config and the IPAM plugin's result to what the bridge will do: pure data, no kernel."""

from __future__ import annotations

from _blake2 import blake2s
from ipaddress import IPv4Network, IPv6Network, ip_interface

from cni.errors import DELEGATE_FAILED, INVALID_CONFIG, CniError
from cni.record import record, replace
from cni.result import DNS, Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni import ip
    from cni.result import IPConfig, Result
    from wiring.bridged import Bridged

CONTAINER_INDEX = 2
"""Where the container's interface stands in the result: bridge, host veth, container, …"""
_DEFAULT: dict[int, ip.Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
_MAIN_TABLE = 254  # linux/rtnetlink.h
_SCOPE_LINK = 253  # linux/rtnetlink.h: from here on inwards a route has no gateway
_MIN_IPV6_MTU = 1280  # RFC 8200; below it the kernel takes IPv6 off the link


@record
class Plan:
    """What an attachment gets.

    ips: as the result tells them. routes: likewise. installed: the same routes as the kernel takes
    them, each with its gateway, without repetitions. gateways: the addresses of the bridge, none
    unless it is the gateway.
    """

    ips: tuple[IPConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    installed: tuple[Route, ...] = ()
    gateways: tuple[ip.Interface, ...] = ()
    dns: DNS = DNS()


def make(config: Bridged, allocated: Result) -> Plan:
    """Work the gateways and routes out.

    Raises CniError: DELEGATE_FAILED where the IPAM plugin allocated no address, INVALID_CONFIG for
    an MTU that IPv6 cannot live with.
    """
    if not allocated.ips:
        raise CniError(
            DELEGATE_FAILED, f"IPAM plugin {config.ipam} returned missing IP config: no address"
        )
    if 0 < config.mtu < _MIN_IPV6_MTU and any(one.address.version == 6 for one in allocated.ips):
        raise CniError(
            INVALID_CONFIG,
            f'key "mtu": found {config.mtu}, expected at least {_MIN_IPV6_MTU} with IPv6 addresses',
        )
    ips = tuple(_completed(one, config.is_gateway) for one in allocated.ips)
    routes = list(allocated.routes)
    if config.is_default_gateway:
        routes += _missing_defaults(ips, routes)
    return Plan(
        ips=ips,
        routes=tuple(routes),
        installed=installed(ips, routes),
        gateways=gateways(ips) if config.is_gateway else (),
        dns=allocated.dns if config.dns is None else config.dns,
    )


def _completed(config: IPConfig, is_gateway: bool) -> IPConfig:
    """Every address is the container interface's; the gateway is the subnet's first address."""
    gateway = config.gateway
    if gateway is None and is_gateway:
        gateway = config.address.network.network_address + 1
    return replace(config, gateway=gateway, interface=CONTAINER_INDEX)


def _missing_defaults(ips: tuple[IPConfig, ...], routes: list[Route]) -> list[Route]:
    """A default route for each family that has none; one without a gateway counts, it gets ours."""
    missing = []
    present = {route.dst for route in routes if route.table in (None, 0, _MAIN_TABLE)}
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
    """The bridge's addresses: each gateway with its subnet's prefix length, once."""
    return tuple(
        dict.fromkeys(
            ip_interface((one.gateway, one.address.network.prefixlen))
            for one in ips
            if one.gateway is not None
        )
    )


def host_veth(owner: str) -> str:
    """The host end's name for an attachment, the same on ADD, DEL and GC.

    Derived from the identity and not random, as the reference's is, so that a DEL finds it when the
    container's namespace is gone or was never told. 44 bits: with the kernel's limit of 1,023 ports
    on a bridge, two attachments collide once in 30 million bridges.
    """
    return "veth" + blake2s(owner.encode(), digest_size=8).hexdigest()[:11]
