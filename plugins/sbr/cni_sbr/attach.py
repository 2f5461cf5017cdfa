"""ADD: rules by the source of what is sent, and the routes in the tables that they lead to.

Everything happens in the container, under the lock of its namespace, which the reference takes too:
two calls would choose the same table. What is to be done is planned from what the kernel told, and
goes to it in one piece.
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
from hostnet.netlink import NLM_F_ACK
from hostnet.netns import NetNS
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cni.call import Call
    from cni.ip import Address, Interface, Network
    from cni.result import IPConfig, Result, Route
    from cni_sbr.config import Config
    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message
    from hostnet.reroute import Way

_DEFAULT: dict[int, Network] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_KERNELS_METRIC = {4: 0, 6: 256}  # of the route to an address's own subnet, net/ipv6/addrconf.c


@record
class _Scene:
    """What the plan of an ADD needs. nl: in the container. index: of the interface. acts: what is
    to be done.
    """

    nl: Netlink
    index: int
    config: Config
    ips: tuple[IPConfig, ...]
    acts: _Acts


class _Acts:
    """Messages to the kernel, in their order, each with what it asks in words and what undoes it.

    What undoes a message does nothing where it was not carried out: when the kernel's answer is
    lost, nobody knows.
    """

    def __init__(self, nl: Netlink, undo: Undo) -> None:
        self._nl = nl
        self._undo = undo
        self._messages: list[Message] = []
        self._words: list[Callable[[], str]] = []

    def add(self, message: Message, words: Callable[[], str], undo: Callable[[], object]) -> None:
        self._messages.append(message)
        self._words.append(words)
        self._undo.push(undo)

    def carry_out(self) -> None:
        """All of them or, raising NetlinkError, some."""
        kind, payload, flags = self._messages[-1]
        messages = [*self._messages[:-1], (kind, payload, flags | NLM_F_ACK)]
        self._nl.batch(messages, lambda number: self._words[number]())


def add(call: Call, config: Config, result: Result, ips: tuple[IPConfig, ...]) -> Result:
    """Route by source or, raising CniError or OSError, as before; the result with the tables."""
    with (
        NetNS.open(call.netns) as ns,
        ns.netlink() as nl,
        NamespaceLock(path=call.netns),
        Undo() as undo,
    ):
        acts = _Acts(nl, undo)
        scene = _Scene(nl, link.index_of(nl, call.ifname), config, ips, acts)
        rules = rule.dump(nl)
        present = route.dump(nl, route.AF_UNSPEC, table=0)
        stale = _stale(scene, rules, {one.table for one in present})
        if config.table:
            tables = [(one, config.table) for one in ips]
            moved = result
        else:
            used = [*(one.table for one in rules), *(one.table for one in present)]
            tables = list(zip(ips, layout.free_tables(used, len(ips)), strict=True))
            main = ways_of(present, scene.index, {route.RT_TABLE_MAIN})
            filled = _fill(scene, tables, main)
            moved = told.with_tables(result, _empty_main(scene, main), filled)
        for address, table in tables:
            _add_rule(scene, address.address.ip, table)
        for one in stale:
            undo.push(rule.restore, nl, one, exists_ok=True)
            rule.delete(nl, one, missing_ok=True)
        acts.carry_out()
        # Before 0.3.0 a route cannot say its table.
        return moved if at_least(call.version, "0.3.0") else result


def ways_of(found: Iterable[route.Route], index: int, tables: set[int]) -> list[Way]:
    """The ways out of a link among routes, those that are in these tables."""
    return [way for one in found if one.table in tables for way in reroute.ways(one, index)]


def remove_rules(nl: Netlink, sources: Collection[Network], table: int) -> None:
    """Remove the rules for these sources; table: only those to it, 0 for any. Raises OSError."""
    for one in rule.dump(nl):
        if one.source in sources and (not table or one.table == table):
            rule.delete(nl, one, missing_ok=True)


def _stale(scene: _Scene, rules: list[rule.Rule], filled: set[int]) -> list[rule.Rule]:
    """What a former holder of an address has left: rules to tables in which nothing is.

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
    return stale


def _add_rule(scene: _Scene, source: Address, table: int) -> None:
    scene.acts.add(
        rule.addition(source, table),
        lambda: f"add the rule for packets from {source} to table {table}",
        lambda: remove_rules(scene.nl, (alone(source),), table),
    )


def _put(scene: _Scene, way: Way, table: int) -> None:
    scene.acts.add(
        reroute.putting(way, table),
        lambda: f"put the route to {way.route.destination} into table {table}",
        lambda: reroute.take(scene.nl, way, table, missing_ok=True),
    )


def _take(scene: _Scene, way: Way) -> None:
    table = route.RT_TABLE_MAIN
    scene.acts.add(
        reroute.taking(way, table),
        lambda: f"delete the route to {way.route.destination} from table {table}",
        lambda: reroute.put(scene.nl, way, table, exists_ok=True),
    )


def _fill(scene: _Scene, tables: list[tuple[IPConfig, int]], main: list[Way]) -> list[Route]:
    """Copy the ways of the main table into the addresses' own, and give each a way out.

    Gives them as a result tells them.
    """
    config = scene.config
    have_default: set[int] = set()
    found: list[Route] = []
    # What is on the link first: a gateway is refused that no route leads to.
    for way in sorted(main, key=lambda one: one.gateway is not None):
        destination = way.route.destination
        is_default = destination == _DEFAULT[destination.version]
        if is_default and config.gateway(destination.version) is not None:
            continue
        hints = (way.gateway, way.route.source)
        for table in layout.owners(tables, destination.version, hints):
            _put(scene, way, table)
            if not layout.stays(destination):
                found.append(told.moved(way, table))
            if is_default:
                have_default.add(table)
    for one, table in tables:
        gateway = config.gateway(one.address.version) or one.gateway
        if gateway is not None and table not in have_default:
            _add_default(scene, gateway, table)
            found.append(told.default(_DEFAULT[gateway.version], gateway, table))
    return found


def _add_default(scene: _Scene, gateway: Address, table: int) -> None:
    nl, index, anywhere = scene.nl, scene.index, _DEFAULT[gateway.version]
    scene.acts.add(
        route.addition(anywhere, gateway=gateway, oif=index, table=table),
        lambda: f"add the route to {anywhere} via {gateway}",
        lambda: route.delete(nl, anywhere, oif=index, table=table, missing_ok=True),
    )


def _empty_main(scene: _Scene, main: list[Way]) -> set[Network]:
    """Take the ways from the main table; with hints those that lead beyond the link.

    Gives where the others lead.
    """
    hints = scene.config.source_hints
    leaving = [way for way in main if not layout.stays(way.route.destination)]
    if hints:
        leaving = [way for way in leaving if way.gateway is not None]
    # What is on the link last, so that undoing has it back first.
    for way in sorted(leaving, key=lambda one: one.gateway is None):
        _take(scene, way)
    left = {way.route.destination for way in main if way not in leaving}
    for subnet in dict.fromkeys(one.address.network for one in scene.ips if hints):
        address = next(one.address for one in scene.ips if one.address.network == subnet)
        _hint(scene, address, main)
        left.add(subnet)
    return left


def _hint(scene: _Scene, address: Interface, main: list[Way]) -> None:
    """Have the address be the source to its subnet, which IPv4's is by itself."""
    nl, index, subnet = scene.nl, scene.index, address.network
    metric = _KERNELS_METRIC[address.version]
    for way in main:
        if way.route.destination == subnet and way.gateway is None:
            if way.route.source == address.ip:
                return
            if way.route.priority == metric:
                _take(scene, way)
    scene.acts.add(
        route.addition(subnet, oif=index, source=address.ip, priority=metric),
        lambda: f"add the route to {subnet}",
        lambda: _unhint(nl, address, index),
    )


def _unhint(nl: Netlink, address: Interface, index: int) -> None:
    family = route.AF_INET if address.version == 4 else route.AF_INET6
    found = route.dump(nl, family, oif=index)
    for way in ways_of(found, index, {route.RT_TABLE_MAIN}):
        if way.route.destination == address.network and way.route.source == address.ip:
            reroute.take(nl, way, route.RT_TABLE_MAIN, missing_ok=True)
