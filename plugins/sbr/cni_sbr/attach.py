"""ADD: rules by the source of what is sent, and the routes in the tables that they lead to.

Everything happens in the container, under the lock of its namespace, which the reference takes too:
two calls would choose the same table.
"""

from __future__ import annotations

from ipaddress import ip_network

from cni.errors import IN_THE_WAY, CniError
from cni.record import record
from cni.versions import at_least
from cni_sbr import layout, told
from cni_sbr.config import alone
from hostnet import link, reroute, route, rule
from hostnet.lock import NamespaceLock
from hostnet.netns import NetNS
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cni.call import Call
    from cni.ip import Address, Interface, Network
    from cni.result import IPConfig, Result
    from cni_sbr.config import Config
    from hostnet.netlink import Netlink
    from hostnet.reroute import Way
    from hostnet.route import Route

_DEFAULT: dict[int, Network] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_KERNELS_METRIC = {4: 0, 6: 256}  # of the route to an address's own subnet, net/ipv6/addrconf.c


@record
class _Scene:
    """What every act of an ADD needs. nl: in the container. index: of the interface."""

    nl: Netlink
    index: int
    config: Config
    ips: tuple[IPConfig, ...]
    undo: Undo


def add(call: Call, config: Config, result: Result, ips: tuple[IPConfig, ...]) -> Result:
    """Route by source or, raising CniError or OSError, as before; the result with the tables."""
    with (
        NetNS.open(call.netns) as ns,
        ns.netlink() as nl,
        NamespaceLock(path=call.netns),
        Undo() as undo,
    ):
        scene = _Scene(nl, link.index_of(nl, call.ifname), config, ips, undo)
        rules = rule.dump(nl)
        present = route.dump(nl, route.AF_UNSPEC, table=0)
        _clear(scene, rules, {one.table for one in present})
        if config.table:
            for one in ips:
                _add_rule(scene, one.address.ip, config.table)
            return result
        used = [*(one.table for one in rules), *(one.table for one in present)]
        tables = list(zip(ips, layout.free_tables(used, len(ips)), strict=True))
        main = ways_of(present, scene.index, {route.RT_TABLE_MAIN})
        _fill(scene, tables, main)
        _empty_main(scene, main)
        for one, table in tables:
            _add_rule(scene, one.address.ip, table)
        if not at_least(call.version, "0.3.0"):  # in which a route cannot say its table
            return result
        return _told(scene, result, {table for _, table in tables})


def ways_of(found: Iterable[Route], index: int, tables: set[int]) -> list[Way]:
    """The ways out of a link among routes, those that are in these tables."""
    return [way for one in found if one.table in tables for way in reroute.ways(one, index)]


def remove_rules(nl: Netlink, sources: Collection[Network], table: int) -> None:
    """Remove the rules for these sources; table: only those to it, 0 for any. Raises OSError."""
    for one in rule.dump(nl):
        if one.source in sources and (not table or one.table == table):
            rule.delete(nl, one, missing_ok=True)


def _clear(scene: _Scene, rules: list[rule.Rule], filled: set[int]) -> None:
    """Remove what a former holder of an address has left: rules to tables in which nothing is.

    Raises CniError(IN_THE_WAY) where the address has its rule already.
    """
    sources = {alone(one.address.ip) for one in scene.ips}
    stale = [one for one in rules if one.source in sources]
    for one in stale:
        if one.table in filled or one.table == scene.config.table:
            raise CniError(
                IN_THE_WAY,
                f"packets from {one.source} have a rule in the container already, to table "
                f"{one.table}: DEL before another ADD",
            )
    for one in stale:
        _delete_rule(scene, one)


# What undoes an act is noted before it, and does nothing where the act was not done: when the
# kernel's answer is lost, nobody knows.


def _delete_rule(scene: _Scene, one: rule.Rule) -> None:
    scene.undo.push(rule.restore, scene.nl, one, exists_ok=True)
    rule.delete(scene.nl, one, missing_ok=True)


def _add_rule(scene: _Scene, source: Address, table: int) -> None:
    scene.undo.push(remove_rules, scene.nl, (alone(source),), table)
    rule.add(scene.nl, source, table)


def _put(scene: _Scene, way: Way, table: int) -> None:
    scene.undo.push(reroute.take, scene.nl, way, table, missing_ok=True)
    reroute.put(scene.nl, way, table)


def _take(scene: _Scene, way: Way, table: int) -> None:
    scene.undo.push(reroute.put, scene.nl, way, table, exists_ok=True)
    reroute.take(scene.nl, way, table)


def _fill(scene: _Scene, tables: list[tuple[IPConfig, int]], main: list[Way]) -> None:
    """Copy the ways of the main table into the addresses' own, and give each a way out."""
    config = scene.config
    have_default: set[int] = set()
    # What is on the link first: a gateway is refused that no route leads to.
    for way in sorted(main, key=lambda one: one.gateway is not None):
        destination = way.route.destination
        is_default = destination == _DEFAULT[destination.version]
        if is_default and config.gateway(destination.version) is not None:
            continue
        hints = (way.gateway, way.route.source)
        for table in layout.owners(tables, destination.version, hints):
            _put(scene, way, table)
            if is_default:
                have_default.add(table)
    for one, table in tables:
        gateway = config.gateway(one.address.version) or one.gateway
        if gateway is not None and table not in have_default:
            _add_default(scene, gateway, table)


def _add_default(scene: _Scene, gateway: Address, table: int) -> None:
    nl, index, anywhere = scene.nl, scene.index, _DEFAULT[gateway.version]
    scene.undo.push(route.delete, nl, anywhere, oif=index, table=table, missing_ok=True)
    route.add(nl, anywhere, gateway=gateway, oif=index, table=table)


def _empty_main(scene: _Scene, main: list[Way]) -> None:
    """Take the ways from the main table; with hints those that lead beyond the link."""
    leaving = [way for way in main if not layout.stays(way.route.destination)]
    if scene.config.source_hints:
        leaving = [way for way in leaving if way.gateway is not None]
    # What is on the link last, so that undoing has it back first.
    for way in sorted(leaving, key=lambda one: one.gateway is None):
        _take(scene, way, route.RT_TABLE_MAIN)
    seen: set[Network] = set()
    for one in scene.ips if scene.config.source_hints else ():
        if one.address.network not in seen:
            seen.add(one.address.network)
            _hint(scene, one.address, main)


def _hint(scene: _Scene, address: Interface, main: list[Way]) -> None:
    """Have the address be the source to its subnet, which IPv4's is by itself."""
    nl, index, subnet = scene.nl, scene.index, address.network
    metric = _KERNELS_METRIC[address.version]
    for way in main:
        if way.route.destination == subnet and way.gateway is None:
            if way.route.source == address.ip:
                return
            if way.route.priority == metric:
                _take(scene, way, route.RT_TABLE_MAIN)
    scene.undo.push(_unhint, nl, address, index)
    route.add(nl, subnet, oif=index, source=address.ip, priority=metric)


def _unhint(nl: Netlink, address: Interface, index: int) -> None:
    family = route.AF_INET if address.version == 4 else route.AF_INET6
    found = route.dump(nl, family, oif=index)
    for way in ways_of(found, index, {route.RT_TABLE_MAIN}):
        if way.route.destination == address.network and way.route.source == address.ip:
            reroute.take(nl, way, route.RT_TABLE_MAIN, missing_ok=True)


def _told(scene: _Scene, result: Result, tables: set[int]) -> Result:
    present = route.dump(scene.nl, route.AF_UNSPEC, table=0, oif=scene.index)
    main = ways_of(present, scene.index, {route.RT_TABLE_MAIN})
    return told.with_tables(result, main, ways_of(present, scene.index, tables))
