"""CHECK of what every attachment has: its interface, addresses and routes, as ADD reported them.

The previous result says what the container has (plugins after this one may have changed it, and
then changed the result too).
"""

from __future__ import annotations

from cni.errors import CHECK_FAILED, INVALID_CONFIG, CniError
from hostnet import address, link, route, sysctl
from wiring import plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni.call import Call
    from cni.result import Interface, Result
    from cni.result import Route as CniRoute
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_NO_PREFIX_ROUTE = 0x200  # IFA_F_NOPREFIXROUTE, linux/if_addr.h: the address brings no route


def forwarding_problems(result: Result) -> Iterator[str]:
    """That the host does not forward what it is the gateway for, in words; by family."""
    for version in sorted({one.address.version for one in result.ips}):
        switch = sysctl.FORWARDING[version]
        if sysctl.read(switch) != "1":
            yield f"sysctl {switch.replace('/', '.')} is not 1: nothing is forwarded"


def previous(call: Call) -> Result:
    """The previous result. Raises CniError(INVALID_CONFIG) where there is none."""
    if call.prev_result is None:
        raise CniError(
            INVALID_CONFIG, 'key "prevResult": it is missing, expected what ADD returned'
        )
    return call.prev_result


def require_none(problems: list[str]) -> None:
    """Raise CniError(CHECK_FAILED) for the deviations, if there are any."""
    if problems:
        raise CniError(CHECK_FAILED, "; ".join(problems))


def reported(result: Result, name: str, *, inside: bool) -> Interface | None:
    """The interface of this name in the result, of the container (`inside`) or the host."""
    for one in result.interfaces:
        if one.name == name and bool(one.sandbox) == inside:
            return one
    return None


def mac_problem(found: Link, as_reported: Interface | None) -> Iterator[str]:
    """That it has not the MAC which was reported, if one was."""
    if as_reported is not None and as_reported.mac and as_reported.mac.lower() != found.mac:
        yield f"interface {found.name} has the MAC {found.mac}, expected {as_reported.mac.lower()}"


def mtu_problem(found: Link, as_reported: Interface | None, configured: int) -> Iterator[str]:
    """That it has not the MTU which was reported, else `configured` (0: any)."""
    expected = (as_reported.mtu if as_reported else 0) or configured
    if expected and found.mtu != expected:
        yield f"interface {found.name} has the MTU {found.mtu}, expected {expected}"


def container_problems(
    call: Call,
    inner: Link | None,
    result: Result,
    nl: Netlink,
    *,
    kind: str | None,
    mtu: int = 0,
    up: bool = True,
) -> Iterator[str]:
    """The deviations of the container's interface, its addresses and its routes.

    inner: the interface, None where there is none of that name. nl: of the container. kind: of
    the interface, as the kernel names it, None for any. mtu: where none was reported, in bytes, 0
    for any. up: whether the interface has to be.
    """
    if inner is None:
        yield f"interface {call.ifname} does not exist in {call.netns}"
        return
    if kind is not None and inner.kind != kind:
        found = inner.kind or "physical interface"
        yield f"interface {call.ifname} is a {found}, expected a {kind}"
    if inner.up != up:
        yield f"interface {call.ifname} is {'up' if inner.up else 'down'}"
    as_reported = reported(result, call.ifname, inside=True)
    if as_reported is None:
        yield f"the previous result does not name interface {call.ifname} of {call.netns}"
    yield from mac_problem(inner, as_reported)
    yield from mtu_problem(inner, as_reported, mtu)
    present = _routes(nl)
    yield from _address_problems(inner, result, nl, present)
    yield from _route_problems(plan.installed(result.ips, result.routes), present)


def _address_problems(
    inner: Link, result: Result, nl: Netlink, routes: list[route.Route]
) -> Iterator[str]:
    """Addresses that are missing or whose subnet is not reached by the interface, and permanent
    global ones that nobody reported.
    """
    found = address.dump(nl, index=inner.index)
    present = {one.interface for one in found}
    wanted = {
        one.address
        for one in result.ips
        if one.interface is None
        or (
            one.interface < len(result.interfaces)
            and result.interfaces[one.interface].name == inner.name
        )
    }
    for missing in sorted(wanted - present, key=str):
        yield f"interface {inner.name} lacks its address {missing}"
    reached = {one.destination for one in routes if one.oif == inner.index}
    for one in found:
        subnet = one.interface.network
        is_routed = subnet.prefixlen < subnet.max_prefixlen and inner.up
        alone = one.flags & _NO_PREFIX_ROUTE
        if one.interface in wanted and is_routed and not alone and subnet not in reached:
            yield f"the container lacks the route to {subnet} of its address {one.interface}"
        if one.interface in wanted and one.duplicate:
            yield (
                f"interface {inner.name} cannot use its address {one.interface}: somebody else on "
                "its network has it"
            )
        permanent = one.flags & address.IFA_F_PERMANENT
        if one.interface not in wanted and permanent and not one.interface.is_link_local:
            yield f"interface {inner.name} has the address {one.interface}, which ADD did not give"


def route_problems(routes: Iterable[CniRoute], nl: Netlink) -> Iterator[str]:
    """Routes of the container that are missing or lead elsewhere; each with its gateway."""
    yield from _route_problems(routes, _routes(nl))


def untold_route_problems(
    routes: Iterable[CniRoute], result: Result, inner: Link, nl: Netlink
) -> Iterator[str]:
    """The same for routes that ADD gave and its result does not tell.

    A plugin after it may have moved them: `sbr` then tells their tables, and `vrf` moves all that
    the interface has into the table of its VRF.
    """
    homes = {route.RT_TABLE_MAIN}
    if inner.master:
        from hostnet import vrf

        master = link.by_index(nl, inner.master)
        if master.kind == vrf.KIND:
            homes.add(vrf.table_of(master))
    present = _routes(nl)
    for wanted in routes:
        told = {one.table for one in result.routes if one.dst == wanted.dst and one.table}
        yield from _route_problem(wanted, homes | told, present)


def _routes(nl: Netlink) -> list[route.Route]:
    """Those of all tables."""
    return [
        one for family in (route.AF_INET, route.AF_INET6) for one in route.dump(nl, family, table=0)
    ]


def _route_problems(routes: Iterable[CniRoute], present: list[route.Route]) -> Iterator[str]:
    for wanted in routes:
        yield from _route_problem(wanted, {wanted.table or route.RT_TABLE_MAIN}, present)


def _route_problem(wanted: CniRoute, tables: set[int], present: list[route.Route]) -> Iterator[str]:
    """That none of the tables has the route."""
    same = [
        one
        for one in present
        if one.destination == wanted.dst
        and one.table in tables
        and (wanted.priority is None or one.priority == wanted.priority)
    ]
    differences = [_difference(one, wanted) for one in same]
    if all(differences):
        via = f" via {wanted.gw}" if wanted.gw else ""
        instead = f", found one {differences[0]}" if differences else ""
        yield f"the container lacks the route to {wanted.dst}{via}{instead}"


def _difference(found: route.Route, wanted: CniRoute) -> str:
    """What a route to the same destination has instead, in words; empty where it agrees."""
    if wanted.gw not in found.gateways:
        return f"via {found.gateways[0] or 'the link'}"
    for what, value, expected in (
        ("MTU", found.mtu, wanted.mtu),
        ("advmss", found.advmss, wanted.advmss),
        ("scope", found.scope, None if found.destination.version == 6 else wanted.scope),
    ):
        if expected is not None and value != expected:
            return f"with the {what} {value}, expected {expected}"
    return ""
