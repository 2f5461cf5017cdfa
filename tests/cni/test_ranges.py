"""Range arithmetic against a model that goes through the addresses one by one."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.ranges import Range, RangeSet, merge, overlap, size, whole_range, without

if TYPE_CHECKING:
    from cni.ip import Address, Network

BASES = {4: int(ip_address("10.1.2.0")), 6: int(ip_address("2001:db8::"))}


def net(text: str) -> Network:
    return ip_network(text)


def addr(text: str) -> Address:
    return ip_address(text)


@st.composite
def range_sets(draw: st.DrawFn) -> RangeSet:
    """Up to three ranges in subnets of 4 to 64 addresses, side by side in any order."""
    version = draw(st.sampled_from([4, 6]))
    width = 32 if version == 4 else 128
    made: list[Range] = []
    base = BASES[version]
    for _ in range(draw(st.integers(1, 3))):
        bits = draw(st.integers(2, 6))
        subnet = ip_network((base, width - bits))
        base += 64
        low, high = sorted(draw(st.tuples(*[st.integers(0, 2**bits - 1)] * 2)))
        made.append(
            whole_range(
                subnet,
                start=draw(st.sampled_from([None, subnet[low]])),
                end=draw(st.sampled_from([None, subnet[high]])),
                gateway=draw(st.sampled_from([None, subnet[draw(st.integers(0, 2**bits - 1))]])),
            )
        )
    excluded = draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 4))))
    exclude = [
        ip_network((BASES[version] + at, width - bits), strict=False) for at, bits in excluded
    ]
    other = ip_network("::/0" if version == 4 else "0.0.0.0/0")
    return RangeSet(tuple(draw(st.permutations(made))), (*exclude, other))


def allocatable(one: RangeSet) -> list[Address]:
    """Every address that may be given out, in order: what the README promises, word for word."""
    found = []
    gateways = {each.gateway for each in one.ranges}
    for each in one.ranges:
        for number in range(int(each.start), int(each.end) + 1):
            address = ip_address(number)
            # ip_address() takes small numbers for IPv4 ones; none of ours is small.
            broadcast = {each.subnet.broadcast_address} if each.subnet.version == 4 else set()
            if (
                address not in gateways
                and address not in {each.subnet.network_address} | broadcast
                and not any(address in net for net in one.exclude)
            ):
                found.append(address)
    return found


def listed(one: RangeSet, cursor: Address | None = None) -> list[int]:
    return [number for low, high in one.spans(cursor) for number in range(low, high + 1)]


@given(range_sets())
def test_spans_hold_what_may_be_given_out(one: RangeSet) -> None:
    assert listed(one) == [int(address) for address in allocatable(one)]
    assert size(one.spans()) == len(allocatable(one))
    assert all(low <= high for low, high in one.spans())


@given(range_sets(), st.integers(0, 200))
def test_round_robin(one: RangeSet, at: int) -> None:
    """As the reference walks: on from the cursor, around, and to the cursor itself at the end."""
    every = [number for each in one.ranges for number in range(int(each.start), int(each.end) + 1)]
    if not every:
        return
    cursor = ip_address(every[at % len(every)])
    turn = every.index(int(cursor)) + 1
    may = set(map(int, allocatable(one)))
    expected = [number for number in every[turn:] + every[:turn] if number in may]
    assert listed(one, cursor) == expected


@given(range_sets(), st.integers(-8, 200))
def test_why_not_agrees_with_spans(one: RangeSet, at: int) -> None:
    address = ip_address(BASES[one.version] + at)
    inside = one.range_of(address) is not None
    assert inside == any(int(each.start) <= int(address) <= int(each.end) for each in one.ranges)
    if inside:
        assert (one.why_not(address) == "") == (int(address) in listed(one))


def test_a_cursor_elsewhere_counts_as_none() -> None:
    one = RangeSet((whole_range(net("10.1.2.0/29")),))
    assert one.spans(addr("10.9.9.9")) == one.spans(addr("::1")) == one.spans()


@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40))),
)
def test_without(low: int, high: int, pairs: list[tuple[int, int]]) -> None:
    blocked = [(min(pair), max(pair)) for pair in pairs]
    apart = merge(blocked)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(apart))
    left = [n for first, last in without(low, high, apart) for n in range(first, last + 1)]
    taken = {n for first, last in blocked for n in range(first, last + 1)}
    assert left == [n for n in range(low, high + 1) if n not in taken]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=6))
def test_overlap(pairs: list[tuple[int, int]]) -> None:
    subnet = net("10.1.2.0/26")
    ranges = [whole_range(subnet, subnet[min(pair)], subnet[max(pair)]) for pair in pairs]
    found = overlap(ranges)
    numbers = [n for one in ranges for n in range(int(one.start), int(one.end) + 1)]
    assert (found is not None) == (len(numbers) != len(set(numbers)))
    if found is not None:
        assert found[0].contains(found[1].start) or found[1].contains(found[0].start)


def test_families_do_not_overlap() -> None:
    assert overlap([whole_range(net("10.0.0.0/8")), whole_range(net("::a00:0/104"))]) is None


@pytest.mark.parametrize(
    ("subnet", "first", "last", "count"),
    [
        ("10.0.0.0/8", "10.0.0.2", "10.255.255.254", 2**24 - 3),
        ("2001:db8::/64", "2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff", 2**64 - 2),
        ("2001:db8::/32", "2001:db8::2", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 2**96 - 2),
    ],
)
def test_huge_ranges_are_spans_too(subnet: str, first: str, last: str, count: int) -> None:
    one = RangeSet((whole_range(net(subnet)),))
    assert one.spans() == [(int(addr(first)), int(addr(last)))]
    assert size(one.spans()) == count
    middle = net(subnet)[2**20]
    assert size(one.spans(middle)) == count
    assert one.spans(middle)[0][0] == int(middle) + 1


def test_text_is_the_references() -> None:
    one = RangeSet((whole_range(net("10.1.2.0/24")), whole_range(net("10.1.3.0/29"))))
    assert str(one) == "10.1.2.1-10.1.2.254,10.1.3.1-10.1.3.6"
