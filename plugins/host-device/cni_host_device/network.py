"""What the host has set on the device goes along into the container (`useInterfaceNetwork`).

Its addresses, its routes, and the rules for what is sent from these addresses into the tables of
these routes: what a cloud has given a machine's interface, and no IPAM plugin knows. The result
tells of addresses and routes; it has no place for rules, so that the device's record has their
number.
"""

from __future__ import annotations

import errno

from cni.record import record, replace
from cni.result import IPConfig, Result, Route
from cni_host_device import find, move, settings
from hostnet import address, announce, link, route, rule
from hostnet.netlink import NetlinkError
from hostnet.netns import NetNS
from wiring import container
from wiring.plan import Plan
from wiring.single import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni import ip
    from cni.call import Call
    from cni.explained import Explained
    from cni_host_device.config import HostDevice
    from cni_host_device.find import Found
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.reroute import Way
    from hostnet.rule import Rule
    from wiring.single.attach import Scene
    from wiring.single.check import Sight

_SCOPE_GLOBAL = 0
_NO_TABLES = (0, route.RT_TABLE_LOCAL)


@record
class Network:
    """addresses: in their order. ways: of the routes. rules: as the kernel described them."""

    addresses: tuple[ip.Interface, ...] = ()
    ways: tuple[Way, ...] = ()
    rules: tuple[Rule, ...] = ()


def read(nl: Netlink, device: Link) -> Network:
    """What a device of the host has. Raises OSError.

    Not what comes by itself: link-local addresses and what routers advertise.
    """
    found = [one for one in settings.addresses(nl, device.index) if one.scope == _SCOPE_GLOBAL]
    addresses = tuple(one.interface for one in found)
    ways = tuple(
        one
        for one in settings.ways(nl, device.index)
        if one.route.table != route.RT_TABLE_LOCAL
        and not (one.route.family == route.AF_INET6 and one.route.destination.is_link_local)
    )
    tables = {one.route.table for one in ways}
    return Network(
        addresses, ways, tuple(one for one in rules(nl, addresses) if one.table in tables)
    )


def rules(nl: Netlink, addresses: tuple[ip.Interface, ...]) -> list[Rule]:
    """The rules for what is sent from one of these addresses, among others perhaps."""
    return [one for one in rule.dump(nl) if one.table not in _NO_TABLES and _covers(one, addresses)]


def _covers(one: Rule, addresses: tuple[ip.Interface, ...]) -> bool:
    source = one.source
    return source is not None and any(each.ip in source for each in addresses)


def told(had: Network, allocated: Result) -> tuple[tuple[IPConfig, ...], tuple[Route, ...]]:
    """The addresses and routes of the result: the IPAM plugin's, then those of the host."""
    given = {one.address for one in allocated.ips}
    ips = tuple(IPConfig(one, interface=0) for one in had.addresses if one not in given)
    return allocated.ips + ips, allocated.routes + tuple(map(_route, had.ways))


def _route(way: Way) -> Route:
    found = way.route
    scope = found.scope
    if way.gateway is None and found.family == route.AF_INET6:
        scope = route.RT_SCOPE_LINK  # IPv6 has none, and without one a gateway is filled in
    return Route(
        found.destination,
        way.gateway,
        mtu=found.mtu or None,
        advmss=found.advmss or None,
        priority=found.priority or None,
        table=None if found.table == route.RT_TABLE_MAIN else found.table,
        scope=scope or None,
    )


def add(call: Call, config: HostDevice) -> Result:
    """Move the device into the container, and what it has on the host with it."""
    had = Network()

    def prepare(scene: Scene) -> Callable[[], Link]:
        nonlocal had
        found = find.find(scene.outside, config)
        had = read(scene.outside, found.device)
        return lambda: _take(scene, found, had)

    result = attach.add(call, config.common, prepare)
    if any(one.address.version == 4 for one in result.ips):
        _announce(call)
    ips, routes = told(had, result)
    return replace(result, ips=ips, routes=routes)


def _take(scene: Scene, found: Found, had: Network) -> Link:
    """Move the device, which then is up: its routes need that."""
    inside = scene.inside
    inner = move.take(scene, found, rules=len(had.rules))
    given = Plan(ips=tuple(map(IPConfig, had.addresses)))
    # Nobody has got them meanwhile: no duplicates are looked for.
    container.configure(scene.ns, inside, inner, given, detect_duplicates=False, up_last=True)
    settings.put(inside, inner.index, had.ways)
    _put_rules(scene, had)
    inner = link.by_index(inside, inner.index)
    if inner.carrier and any(one.version == 6 for one in had.addresses):
        announce.wait_addresses(inside, inner.index)
    return inner


def _announce(call: Call) -> None:
    """Announce the IPAM plugin's addresses, which the device got when it was up."""
    try:
        with NetNS.open(call.netns) as ns, ns.netlink() as inside:
            inner = link.get(inside, call.ifname)
            announce.announce(inside, inner.index, inner.mac, 0)
    except OSError:
        pass  # the ADD has succeeded: some neighbours learn it when they ask


def _put_rules(scene: Scene, had: Network) -> None:
    for one in had.rules:
        try:
            rule.restore(scene.inside, one)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise
        else:
            scene.undo.push(rule.delete, scene.inside, one, missing_ok=True)


def remove_rules(inside: Netlink, device: Link) -> None:
    """Remove the rules that lead nowhere when the device has left the container.

    Those for its addresses, unless another interface needs them, and those for nobody's: the
    device may have lost an address. Raises OSError.
    """
    found = address.dump(inside)
    own = tuple(one.interface for one in found if one.index == device.index)
    others = tuple(one.interface for one in found if one.index != device.index)
    used = {
        one.table
        for family in (route.AF_INET, route.AF_INET6)
        for one in route.dump(inside, family, table=0)
        if one.oif != device.index
    }
    for one in rule.dump(inside):
        if one.source is None or one.table in _NO_TABLES:
            continue
        by_others = one.table in used, _covers(one, others)
        needed = all(by_others) if _covers(one, own) else any(by_others)
        if not needed:
            rule.delete(inside, one, missing_ok=True)


def problems(sight: Sight, count: int) -> Iterator[str]:
    """That rules are missing in the container, in words. count: how many went there."""
    inner = sight.inner
    own = tuple(one.interface for one in address.dump(sight.inside, index=inner.index))
    found = len(rules(sight.inside, own))
    if found < count:
        yield (
            f"the container has {found} rules for what is sent from the addresses of {inner.name}, "
            f"expected {count}"
        )


def explain(call: Call, config: HostDevice, had: Network, details: tuple[str, ...]) -> Explained:
    """What `add` would do. Raises CniError where it would refuse."""
    from cni.explained import SETS, TAKES, Step
    from wiring.explaining import inside
    from wiring.single import explaining

    ips, routes = told(had, Result())
    given = Result(ips=ips, routes=routes) if ips and not config.common.ipam else None
    parts = (*details, "with the addresses, routes and rules it has there")
    made = explaining.link(call, config.common, "device", (), parts, given=given, verb=TAKES)
    steps, result = made.steps, made.result
    if given is None:
        steps += tuple(inside(Plan(ips=ips, installed=routes)))
        result = replace(result, ips=result.ips + ips, routes=result.routes + routes)
    steps += tuple(
        Step(SETS, "rule", f"from {one.source}", f"in the container, table {one.table}")
        for one in had.rules
    )
    return replace(made, steps=steps, result=result)
