"""CHECK: both ends, the ways between them, and the packet filter."""

from __future__ import annotations

from cni import ipam
from cni_ptp import layout
from hostnet import address, link, route
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from wiring import compare, veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Result
    from cni_ptp.config import Ptp
    from hostnet.link import Link


def check(call: Call, config: Ptp) -> None:
    """Raise CniError(CHECK_FAILED) naming each deviation; the IPAM plugin checks its own first."""
    result = compare.previous(call)
    ipam.check(call, config.common.ipam)
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside:
        compare.require_none(list(_problems(call, config, result, inside, outside)))


def _problems(
    call: Call, config: Ptp, result: Result, inside: Netlink, outside: Netlink
) -> Iterator[str]:
    inner = link.find(inside, call.ifname)
    names = (one.name for one in result.interfaces if not one.sandbox)
    port = veth.find(outside, call.owner, names, inner.index if inner else 0)
    if port is None:
        yield veth.missing(outside, call, inner)
    else:
        yield from _host_problems(port, config, result, outside)
    mtu = config.common.mtu
    yield from compare.container_problems(call, inner, result, inside, kind="veth", mtu=mtu)
    if inner is not None:
        own = layout.container_routes(result.ips)
        yield from compare.untold_route_problems(own, result, inner, inside)
    if port is not None and config.ip_masq:
        from wiring import firewall

        wanted = [one.address for one in result.ips]
        yield from firewall.problems(call.owner, config, port.name, "", wanted)


def _host_problems(port: Link, config: Ptp, result: Result, outside: Netlink) -> Iterator[str]:
    if not port.up:
        yield f"host interface {port.name} is down"
    reported = compare.reported(result, port.name, inside=False)
    yield from compare.mac_problem(port, reported)
    yield from compare.mtu_problem(port, reported, config.common.mtu)
    present = {one.interface for one in address.dump(outside, index=port.index)}
    for gateway in layout.host_addresses(result.ips):
        if gateway not in present:
            yield f"host interface {port.name} lacks the gateway address {gateway}"
    there = {
        one.destination
        for family in (route.AF_INET, route.AF_INET6)
        for one in route.dump(outside, family, oif=port.index)
    }
    for destination in layout.host_routes(result.ips):
        if destination not in there:
            yield f"the host lacks the route to {destination} by {port.name}"
    yield from compare.forwarding_problems(result)
