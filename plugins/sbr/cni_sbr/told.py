"""The routes as the result tells them once they are in their tables.

The plugin before checks the routes of the result, and would miss in the main table those that were
moved. So every one is told with its table, and those that the kernel made with the addresses too.
"""

from __future__ import annotations

from cni.record import replace
from cni.result import Route
from cni_sbr import layout
from hostnet import route as routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.result import Result
    from hostnet.reroute import Way

_MAIN = (None, 0, routes.RT_TABLE_MAIN)


def with_tables(result: Result, main: Iterable[Way], own: Iterable[Way]) -> Result:
    """The result with the ways that are now in the main table and in the addresses' own."""
    left = {way.route.destination for way in main}
    found = [one for one in result.routes if one.table not in _MAIN or one.dst in left]
    for one in (_route(way) for way in own if not layout.stays(way.route.destination)):
        if one not in found:
            found.append(one)
    return replace(result, routes=tuple(found))


def _route(way: Way) -> Route:
    found = way.route
    return Route(
        found.destination,
        way.gateway,
        mtu=found.mtu or None,
        advmss=found.advmss or None,
        priority=found.priority or None,
        table=found.table,
        scope=routes.RT_SCOPE_LINK if way.gateway is None else None,
    )
