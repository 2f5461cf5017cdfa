"""CHECK: each address's rule, and the routes in the table it leads to."""

from __future__ import annotations

from cni_sbr import layout
from cni_sbr.attach import ways_of
from cni_sbr.config import alone
from hostnet import link, route, rule
from hostnet.netns import NetNS
from wiring import compare, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import IPConfig, Result
    from cni_sbr.config import Config
    from hostnet.netlink import Netlink

_FAMILIES = (route.AF_INET, route.AF_INET6)
_RTPROT_RA = 9  # linux/rtnetlink.h: routers announce again what was moved


def check(call: Call, config: Config, result: Result, ips: tuple[IPConfig, ...]) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    with NetNS.open(call.netns) as ns, ns.netlink() as nl:
        compare.require_none(list(_problems(nl, call, config, result, ips)))


def _problems(
    nl: Netlink, call: Call, config: Config, result: Result, ips: tuple[IPConfig, ...]
) -> Iterator[str]:
    found = link.find(nl, call.ifname)
    if found is None:
        yield f"interface {call.ifname} does not exist in {call.netns}"
        return
    rules = rule.dump(nl)
    tables: set[int] = set()
    for one in ips:
        source = alone(one.address.ip)
        leads_to = [each.table for each in rules if each.source == source]
        wanted = f"table {config.table}" if config.table else "a table of its own"
        if not leads_to:
            yield f"the container lacks the rule that leads from {source} to {wanted}"
        elif config.table and config.table not in leads_to:
            yield f"the rule for {source} leads to table {leads_to[0]}, expected {wanted}"
        tables.update(leads_to)
    if not config.table:
        moved = [one for one in result.routes if one.table in tables]
        yield from compare.route_problems(plan.installed(result.ips, moved), nl)
        yield from _main_problems(nl, config, ips, found.index, call.ifname)


def _main_problems(
    nl: Netlink, config: Config, ips: tuple[IPConfig, ...], index: int, ifname: str
) -> Iterator[str]:
    """Routes of the interface in the main table, which lead there whatever the source."""
    present = [one for family in _FAMILIES for one in route.dump(nl, family, oif=index)]
    ways = ways_of(present, index, {route.RT_TABLE_MAIN})
    for way in ways:
        found = way.route
        if layout.stays(found.destination) or found.protocol == _RTPROT_RA:
            continue
        if way.gateway is not None or not config.source_hints:
            yield f"the main table has a route to {found.destination} out of {ifname}"
    hints = {one.address.network: one.address.ip for one in reversed(ips)}  # the first counts
    for subnet, source in hints.items() if config.source_hints else ():
        if not any(way.route.destination == subnet and way.route.source == source for way in ways):
            yield f"the main table lacks the route to {subnet} with the source {source}"
