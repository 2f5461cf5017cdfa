"""Arithmetic of address ranges: which addresses may be given out, and in which order.

Pure and free of loops over addresses: a range is a few spans of whole numbers, so a /8 or a /64
costs as much as a /28.
"""

from __future__ import annotations

from _bisect import bisect_left, bisect_right
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from cni.ip import Address, Network

    Span: TypeAlias = tuple[int, int]
    """First and last of consecutive addresses, as numbers."""


@record
class Range:
    """A part of a subnet. start, end: the first and the last address."""

    subnet: Network
    start: Address
    end: Address
    gateway: Address

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    def contains(self, address: Address) -> bool:
        """Whether the address lies between start and end, those included."""
        return address.version == self.subnet.version and (
            int(self.start) <= int(address) <= int(self.end)
        )


@record
class RangeSet:
    """Ranges of one address family that together give one address. They do not overlap.

    exclude: what is not given out, of any family.
    """

    ranges: tuple[Range, ...]
    exclude: tuple[Network, ...] = ()

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.ranges[0].subnet.version

    def range_of(self, address: Address) -> Range | None:
        """The range that contains the address."""
        return next((one for one in self.ranges if one.contains(address)), None)

    def spans(self, cursor: Address | None = None) -> list[Span]:
        """The addresses that may be given out, in the order in which they are.

        Round robin as in the reference: beginning after `cursor`, through the ranges as they are
        listed, and around to `cursor` itself. A cursor outside counts as none.
        """
        first = self.range_of(cursor) if cursor is not None else None
        if cursor is None or first is None:
            blocked = self._blocked()
            return [span for one in self.ranges for span in _spans_of(one, blocked)]
        return self._from(first, int(cursor) + 1)

    def spans_from(self, place: Address) -> list[Span]:
        """The same, beginning with `place` itself, which lies in one of the ranges."""
        first = self.range_of(place)
        assert first is not None, f"{place} is not in {self}"
        return self._from(first, int(place))

    def _from(self, first: Range, number: int) -> list[Span]:
        """All of it, beginning with a number that lies in the range `first`, or just behind it."""
        blocked = self._blocked()
        at = self.ranges.index(first)
        here = _spans_of(first, blocked)
        after = [(max(low, number), high) for low, high in here if high >= number]
        others = self.ranges[at + 1 :] + self.ranges[:at]
        before = [(low, min(high, number - 1)) for low, high in here if low < number]
        return after + [span for one in others for span in _spans_of(one, blocked)] + before

    def why_not(self, address: Address) -> str:
        """Why an address inside one of the ranges is never given out; empty if it may be."""
        number = int(address)
        if any(number == int(one.gateway) for one in self.ranges):
            return "is subnet's gateway"
        inside = self.range_of(address)
        if inside is None:
            return f"is not in range set {self}"
        excluded = next((net for net in self.exclude if address in net), None)
        if excluded is not None:
            return f'is excluded by "{excluded}" in "exclude"'
        if not _first_host(inside.subnet) <= number <= _last_host(inside.subnet):
            return f"is the network or the broadcast address of {inside.subnet}"
        return ""

    def _blocked(self) -> list[Span]:
        spans = [
            (int(net.network_address), int(net.broadcast_address))
            for net in self.exclude
            if net.version == self.version
        ]
        return merge(spans + [(int(one.gateway), int(one.gateway)) for one in self.ranges])


def _spans_of(one: Range, blocked: list[Span]) -> list[Span]:
    """What a range may give out. blocked: sorted and apart, as `merge` makes them."""
    low = max(int(one.start), _first_host(one.subnet))
    high = min(int(one.end), _last_host(one.subnet))
    return subtract([(low, high)], blocked)


def _first_of(span: Span) -> int:
    return span[0]


def _last_of(span: Span) -> int:
    return span[1]


def _first_host(subnet: Network) -> int:
    return int(subnet.network_address) + 1


def _last_host(subnet: Network) -> int:
    return int(subnet.broadcast_address) - (1 if subnet.version == 4 else 0)


def whole_range(
    subnet: Network,
    start: Address | None = None,
    end: Address | None = None,
    gateway: Address | None = None,
) -> Range:
    """A range with what is not given filled in as the reference does.

    The gateway is the subnet's first address; the range begins there too (a gateway is never given
    out) and ends with the last address that is no broadcast address.
    """
    first = address_of(_first_host(subnet), subnet.version)
    return Range(
        subnet,
        start if start is not None else first,
        end if end is not None else address_of(_last_host(subnet), subnet.version),
        gateway if gateway is not None else first,
    )


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same numbers in spans that are sorted and apart."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def without(low: int, high: int, blocked: Iterable[Span]) -> Iterator[Span]:
    """What is left of the numbers from `low` to `high`; `blocked` as `merge` makes them."""
    for first, last in blocked:
        if first > low:
            yield low, min(first - 1, high)
        low = max(low, last + 1)
    if low <= high:
        yield low, high


def subtract(spans: Iterable[Span], blocked: list[Span]) -> list[Span]:
    """What is left of spans; `blocked` as `merge` makes them."""
    left: list[Span] = []
    for low, high in spans:
        # Only those that reach into the span: there may be thousands of both.
        first = bisect_left(blocked, low, key=_last_of)
        left += without(low, high, blocked[first : bisect_right(blocked, high, key=_first_of)])
    return left


def overlap(ranges: Iterable[Range]) -> tuple[Range, Range] | None:
    """Two of the ranges that have an address in common."""
    ordered = sorted(ranges, key=lambda one: (one.subnet.version, int(one.start)))
    for one, following in pairwise(ordered):
        if one.subnet.version == following.subnet.version and one.contains(following.start):
            return one, following
    return None


def size(spans: Iterable[Span]) -> int:
    """How many addresses the spans hold."""
    return sum(high - low + 1 for low, high in spans)


def nth(spans: Iterable[Span], index: int) -> int:
    """The number at that place of the spans, counted from 0. Raises IndexError."""
    for low, high in spans:
        if index <= high - low:
            return low + index
        index -= high - low + 1
    raise IndexError(index)


def address_of(number: int, version: int) -> Address:
    """The address with that number."""
    return IPv4Address(number) if version == 4 else IPv6Address(number)
