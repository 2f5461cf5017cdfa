"""`cnitool ipam`: how full each range is, and who holds what without living.

The ranges are read by the reader that `host-local` uses, so "free" is what it would give out.
"""

from __future__ import annotations

from cni.errors import CniError
from cni.range_config import read_sets
from cni.ranges import address_of, merge, size, subtract
from cni.record import record
from cnitool import show
from cnitool.state import world
from libcni.errors import within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.jsonvalue import JsonValue
    from cni.ranges import RangeSet, Span
    from cnitool.settings import Settings
    from cnitool.state.model import Reservation
    from cnitool.state.world import World
    from libcni.conf import NetworkConfigList

_GAPS = 3
_SAID = ("subnet", "ranges")


@record
class Use:
    """How a range set is used. total, used, free: addresses that may be given out.

    dead: reservations of containers that have ended. gaps: the largest free spans. outside:
    reservations of the network that no range set contains.
    """

    network: str
    ranges: RangeSet
    total: int
    held: tuple[Reservation, ...]
    dead: tuple[Reservation, ...]
    free: int
    gaps: tuple[Span, ...]


def run(settings: Settings, network: str, *, as_json: bool) -> int:
    """Show the use of all networks' ranges, or of one's."""
    seen = world.read(settings)
    problems = list(seen.problems)
    found = list(uses(seen, network, problems))
    strays = list(_strays(seen, network, found))
    if as_json:
        document: JsonValue = {
            "ranges": [_document(one) for one in found],
            "outside": [_holder(one) for one in strays],
        }
        show.document(document)
    else:
        _show(found, strays)
    show.problems(problems)
    return 0


def uses(seen: World, network: str, problems: list[CniError]) -> Iterator[Use]:
    """How each range set is used, of all networks or one; unreadable ones go to `problems`."""
    dead = {
        one.path for each in seen.attachments if each.is_alive is False for one in each.reservations
    }
    for conf in seen.networks:
        if network in ("", conf.name):
            held = [
                one
                for each in seen.attachments
                for one in each.reservations
                if one.network == conf.name
            ]
            for ranges in _range_sets(conf, problems):
                yield _use(conf.name, ranges, held, dead)


def _range_sets(conf: NetworkConfigList, problems: list[CniError]) -> Iterator[RangeSet]:
    """The range sets that are written in a network's file; a runtime may name more at ADD."""
    for plugin in conf.plugins:
        if plugin.ipam.get("type") != "host-local":
            continue
        if not any(plugin.ipam.has(key) for key in _SAID):
            continue  # an overlay's: each host has its own, of which the file says nothing
        try:
            yield from read_sets(plugin.config)
        except CniError as error:
            problems.append(within(plugin.where, error))


def _use(network: str, ranges: RangeSet, held: list[Reservation], dead: set[str]) -> Use:
    mine = tuple(
        sorted(
            (one for one in held if ranges.range_of(one.address) is not None),
            key=lambda one: int(one.address),
        )
    )
    spans = ranges.spans()
    taken = merge((int(one.address), int(one.address)) for one in mine)
    free = subtract(spans, taken)
    return Use(
        network=network,
        ranges=ranges,
        total=size(spans),
        held=mine,
        dead=tuple(one for one in mine if one.path in dead),
        free=size(free),
        gaps=tuple(sorted(free, key=lambda span: span[0] - span[1])[:_GAPS]),
    )


def _strays(seen: World, network: str, uses: list[Use]) -> Iterator[Reservation]:
    """Reservations in no range of today: of an older configuration, or of the runtime's ranges."""
    inside = {one.path for use in uses for one in use.held}
    for each in seen.attachments:
        for one in each.reservations:
            if one.path not in inside and network in ("", one.network):
                yield one


def _span(span: Span, version: int) -> str:
    first, last = (address_of(number, version) for number in span)
    return f"{first}-{last}" if first != last else str(first)


def _show(uses: list[Use], strays: list[Reservation]) -> None:
    screen = show.Screen()
    if uses:
        columns = ("NETWORK", "RANGES", "SIZE", "USED", "FREE", "DEAD", "FULL", "LARGEST GAPS")
        screen.table("", columns, map(_row, uses), right=columns[2:7])
    else:
        screen.line("No network of this host has ranges of host-local in its file")
    dead = [one for use in uses for one in use.dead]
    for title, found in ((_DEAD, dead), (_OUTSIDE, strays)):
        if found:
            screen.table(title, _HOLDER, map(_holding, found))


_DEAD = "Held by containers that have ended; cnitool gc frees them"
_OUTSIDE = "Held, but in no range of the configuration"
_HOLDER = ("NETWORK", "ADDRESS", "CONTAINER", "INTERFACE", "SINCE", "FILE")


def _holding(one: Reservation) -> tuple[str, ...]:
    return (
        one.network,
        str(one.address),
        one.container_id,
        one.ifname or show.NOTHING,
        show.moment(one.since),
        one.path,
    )


def _row(use: Use) -> tuple[str, ...]:
    version = use.ranges.version
    return (
        use.network,
        str(use.ranges),
        f"{use.total:,}",
        f"{len(use.held):,}",
        f"{use.free:,}",
        f"{len(use.dead):,}",
        f"{(use.total - use.free) / use.total:.0%}" if use.total else "100%",
        ", ".join(_span(span, version) for span in use.gaps) or show.NOTHING,
    )


def _holder(one: Reservation) -> dict[str, JsonValue]:
    return {
        "network": one.network,
        "address": str(one.address),
        "containerID": one.container_id,
        "ifname": one.ifname,
        "since": show.stamp(one.since),
        "file": one.path,
    }


def _document(use: Use) -> dict[str, JsonValue]:
    version = use.ranges.version
    return {
        "network": use.network,
        "ranges": [str(one) for one in use.ranges.ranges],
        "size": use.total,
        "used": len(use.held),
        "free": use.free,
        "dead": [_holder(one) for one in use.dead],
        "largestGaps": [_span(span, version) for span in use.gaps],
    }
