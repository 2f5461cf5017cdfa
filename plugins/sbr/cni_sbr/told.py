"""The routes as the result tells them once they are in their tables.

The plugin before checks the routes of the result, and would miss in the main table those that were
moved. So every one is told with its table, and those that the kernel made with the addresses too.
"""

from __future__ import annotations

from cni.record import replace
from cni.result import Route
from hostnet import route as routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cni.ip import Address, Network
    from cni.result import Result
    from hostnet.reroute import Way

_MAIN = (None, 0, routes.RT_TABLE_MAIN)


def with_tables(result: Result, left: Collection[Network], own: Iterable[Route]) -> Result:
    """The result with the routes of the addresses' own tables.

    left: where those that stay in the main table lead.
    """
    found = [one for one in result.routes if one.table not in _MAIN or one.dst in left]
    for one in own:
        if one not in found:
            found.append(one)
    return replace(result, routes=tuple(found))


def moved(way: Way, table: int) -> Route:
    """A way that is in this table now."""
    found = way.route
    return Route(
        found.destination,
        way.gateway,
        mtu=found.mtu or None,
        advmss=found.advmss or None,
        priority=found.priority or None,
        table=table,
        scope=routes.RT_SCOPE_LINK if way.gateway is None else None,
    )


def default(destination: Network, gateway: Address, table: int) -> Route:
    """The way out that an address's table has been given."""
    return Route(destination, gateway, table=table)
