"""Whether an IPAM configuration of ranges can give out addresses: what no table of types shows."""

from __future__ import annotations

from itertools import pairwise

from cni.ip import parse_address, parse_network
from cni.jsonvalue import JsonObject
from cni.record import record
from cnitool.schema import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from cni.ip import Network

    V = TypeVar("V")

_LEAST_FREE_BITS = 2  # network, gateway and broadcast address leave one of four


@record
class _Range:
    """A range that is right by itself. place: of its object."""

    place: str
    subnet: Network
    first: int
    last: int


def check_ranges(ipam: JsonObject) -> Iterator[Finding]:
    """What is wrong with subnets, ranges, gateways and routes. Wrong types are passed over."""
    ranges: list[_Range] = []
    found: list[Finding] = []
    sets = _sets(ipam)
    for one_set in sets:
        good = [made for each in one_set if (made := _range(each, found)) is not None]
        families = {one.subnet.version for one in good}
        if len(families) > 1:
            place = one_set[0].where
            found.append(
                Finding(place, "IPv4 and IPv6 in one range set, expected one set for each")
            )
        ranges += good
    if not sets and not ipam.has("subnet"):
        found.append(
            Finding(ipam.where, 'no ranges, expected "ranges": [[{"subnet": "10.1.0.0/16"}]]')
        )
    yield from found
    yield from _overlaps(ranges)
    yield from _routes(ipam, ranges)


def _sets(ipam: JsonObject) -> list[list[JsonObject]]:
    """The objects that describe ranges, by set: `ipam` itself in the older form, and `ranges`."""
    sets = [[ipam]] if isinstance(ipam.get("subnet"), str) else []
    listed = ipam.get("ranges")
    for index, one_set in enumerate(listed if isinstance(listed, list) else ()):
        place = f"{ipam.place('ranges')}[{index}]"
        objects = [
            JsonObject(item, f"{place}[{number}]")
            for number, item in enumerate(one_set if isinstance(one_set, list) else ())
            if isinstance(item, dict)
        ]
        if objects:
            sets.append(objects)
    return sets


def _range(item: JsonObject, found: list[Finding]) -> _Range | None:
    if not item.has("subnet"):
        found.append(Finding(item.place("subnet"), "it is missing, expected the range's subnet"))
        return None
    subnet = _parsed(item, "subnet", parse_network)
    if subnet is None:
        return None
    if subnet.max_prefixlen - subnet.prefixlen < _LEAST_FREE_BITS:
        found.append(Finding(item.place("subnet"), f"{subnet} is too small to allocate from"))
    limits = [int(subnet.network_address), int(subnet.broadcast_address)]
    for index, key in enumerate(("rangeStart", "rangeEnd", "gateway")):
        address = _parsed(item, key, parse_address)
        if address is None:
            continue
        if address not in subnet:
            found.append(Finding(item.place(key), f"{address} is not in subnet {subnet}"))
        elif index < 2:
            limits[index] = int(address)
    if limits[0] > limits[1]:
        found.append(Finding(item.place("rangeStart"), "it comes after rangeEnd"))
        return None
    return _Range(item.where, subnet, *limits)


def _overlaps(ranges: list[_Range]) -> Iterator[Finding]:
    ordered = sorted(ranges, key=lambda one: (one.subnet.version, one.first))
    for before, after in pairwise(ordered):
        if before.subnet.version == after.subnet.version and before.last >= after.first:
            yield Finding(after.place, f"the range overlaps with {before.place}")


def _routes(ipam: JsonObject, ranges: list[_Range]) -> Iterator[Finding]:
    families = {one.subnet.version for one in ranges}
    listed = ipam.get("routes")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(item, dict):
            continue
        route = JsonObject(item, f"{ipam.place('routes')}[{index}]")
        dst, gw = _parsed(route, "dst", parse_network), _parsed(route, "gw", parse_address)
        if not route.has("dst"):
            yield Finding(route.place("dst"), "it is missing, expected a subnet such as 0.0.0.0/0")
        if dst is not None and ranges and dst.version not in families:
            text = f"the container gets no IPv{dst.version} address to use the route to {dst} with"
            yield Finding(route.where, text, fatal=False)
        if dst is not None and gw is not None and dst.version != gw.version:
            yield Finding(route.place("gw"), f"{gw} is not of the same family as dst {dst}")
        elif gw is not None and ranges and not any(gw in one.subnet for one in ranges):
            yield Finding(route.place("gw"), f"{gw} is in none of the subnets", fatal=False)


def _parsed(item: JsonObject, key: str, parse: Callable[[str], V]) -> V | None:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        return None
    try:
        return parse(value)
    except ValueError:
        return None
