"""Which addresses an attachment gets: the ones asked for, or free ones at random. Nothing is taken.

Nobody keeps a list of what is free, and reading what is taken costs more the larger the cluster is.
So an address is guessed: as long as some are free, one of a few drawn at random most likely is, and
the transaction that would take it answers, if it cannot, which of the few are free. In a /16 that
is a third full the first guess is right in two of three cases and the second nearly always. Only
where 120 guesses have failed are all addresses read, which also proves that a set is full.

Random draws also keep nodes that call at once out of each other's way, where a common cursor would
have all of them want the same address, and be one more key that each of them must write. And an
address that was freed rests as long as the set is large.
"""

from __future__ import annotations

import os

from cni.errors import DUPLICATE, NO_ADDRESS, CniError, together
from cni.ip import parse_address
from cni.ranges import address_of, merge, nth, size, subtract
from cni_etcd_ipam.etcd_layout import holder_text, node_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cni.ip import Address
    from cni.ranges import RangeSet, Span
    from cni_etcd_ipam.etcd_layout import Layout
    from etcd_json import Etcd, KeyValue

_FEW = 16
_MANY = 120
"""Addresses considered at once, of all sets together. etcd takes 128 operations in a transaction
(its --max-txn-ops)."""
_NODES_SHOWN = 8


class Draws:
    """What is considered for each range set, and which of it turned out taken.

    sets, requested: as in the config. Raises CniError(NO_ADDRESS) for an address asked for that is
    never given out.
    """

    __slots__ = ("_each",)

    def __init__(self, sets: Sequence[RangeSet], requested: Sequence[Address | None]) -> None:
        self._each: list[_Draw] = []
        share = max(1, _MANY // len(sets))
        errors: list[CniError] = []
        for index, (one, asked) in enumerate(zip(sets, requested, strict=True)):
            reason = one.why_not(asked) if asked is not None else ""
            if reason:
                error = CniError(NO_ADDRESS, f"requested ip {asked} {reason}: ask for another one")
                errors.append(_of_range(index, error))
            self._each.append(_Draw(one, asked, share))
        if errors:
            raise together(errors)

    @property
    def picked(self) -> list[Address]:
        """An address of each set that is not known to be taken."""
        return [draw.picked for draw in self._each]

    @property
    def considered(self) -> list[Address]:
        """The addresses that `learn` wants to know about."""
        return [address for draw in self._each for address in draw.considered]

    def learn(self, etcd: Etcd, layout: Layout, held: Iterable[KeyValue]) -> bool:
        """Pass over what is held, and draw anew where nothing is left.

        held: the keys of those `considered` that are. Gives whether all that is picked now is known
        to have been free. Raises CniError: DUPLICATE where somebody has an address asked for,
        NO_ADDRESS where all of a set are held; and EtcdError.
        """
        holders = read_holders(layout, held)
        known: list[bool] = []
        errors: list[CniError] = []
        for index, each in enumerate(self._each):
            try:
                known.append(each.learn(etcd, layout, holders))
            except CniError as error:
                errors.append(_of_range(index, error))
        if errors:
            raise together(errors)
        return all(known)


def _of_range(index: int, error: CniError) -> CniError:
    msg = f"failed to allocate for range {index}: {error.msg}"
    return CniError(error.code, msg, error.details)


class _Draw:
    """The same for one set. share: how many addresses may be considered at once."""

    __slots__ = ("_asked", "_one", "_share", "considered", "picked")

    def __init__(self, one: RangeSet, asked: Address | None, share: int) -> None:
        self._one = one
        self._asked = asked
        self._share = share
        self.considered = [asked] if asked is not None else draw(one, one.spans(), min(_FEW, share))
        self.picked = self.considered[0]

    def learn(self, etcd: Etcd, layout: Layout, holders: Mapping[Address, str]) -> bool:
        if self._pick(holders):
            return True
        if self._asked is not None:
            raise CniError(
                DUPLICATE,
                f"requested IP address {self._asked} is not available in range set {self._one}: "
                f"{holder_text(holders[self._asked])} has it; ask for another one, or remove that "
                "container",
            )
        spans = self._one.spans()
        if len(self.considered) == size(spans):
            raise _full(self._one, layout, (holders[address] for address in self.considered))
        everything = len(self.considered) == self._share
        if everything:
            everybody = read_holders(layout, etcd.list(layout.addresses)[0])
            spans = _left_of(self._one, spans, everybody)
            if not spans:
                here = (who for address, who in everybody.items() if self._one.range_of(address))
                raise _full(self._one, layout, here)
        self.considered = draw(self._one, spans, self._share)
        self.picked = self.considered[0]
        return everything

    def _pick(self, holders: Mapping[Address, str]) -> bool:
        free = next((one for one in self.considered if one not in holders), None)
        if free is not None:
            self.picked = free
        return free is not None


def require_free(etcd: Etcd, layout: Layout, sets: Sequence[RangeSet]) -> None:
    """Raise CniError(NO_ADDRESS) where all addresses of a set are held; and EtcdError."""
    from etcd_json import get

    draws = Draws(sets, [None] * len(sets))
    known = False
    while not known:
        outcome = etcd.transact([], [get(layout.address_key(one)) for one in draws.considered])
        known = draws.learn(etcd, layout, (one for found in outcome.found for one in found))


def _left_of(one: RangeSet, spans: list[Span], holders: Iterable[Address]) -> list[Span]:
    numbers = (int(address) for address in holders if address.version == one.version)
    return subtract(spans, merge((number, number) for number in numbers))


def draw(one: RangeSet, spans: list[Span], count: int) -> list[Address]:
    """That many different addresses of the spans, or all of them, in an order nobody can foresee.

    spans: not all of them empty.
    """
    total = size(spans)
    if total <= count:
        start = _below(total)
        indexes = [*range(start, total), *range(start)]
    else:
        drawn: dict[int, None] = {}
        while len(drawn) < count:
            drawn[_below(total)] = None
        indexes = list(drawn)
    return [address_of(nth(spans, index), one.version) for index in indexes]


def _below(limit: int) -> int:
    return int.from_bytes(os.urandom(24)) % limit  # more bits than the limit's 128: none favoured


def read_holders(layout: Layout, entries: Iterable[KeyValue]) -> dict[Address, str]:
    """The addresses that address keys stand for, and who has them."""
    found: dict[Address, str] = {}
    for entry in entries:
        try:
            found[parse_address(entry.key.removeprefix(layout.addresses))] = entry.value
        except ValueError:  # a key of somebody's own making stands for no address
            continue
    return found


def _full(one: RangeSet, layout: Layout, holders: Iterable[str]) -> CniError:
    nodes: dict[str, int] = {}
    for holder in holders:
        nodes[node_of(holder)] = nodes.get(node_of(holder), 0) + 1
    ordered = sorted(nodes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} by node {node[:80]}" for node, count in ordered[:_NODES_SHOWN]]
    more = len(ordered) - len(shown)
    return CniError(
        NO_ADDRESS,
        f"no IP addresses available in range set: {one}: all {size(one.spans())} are held; "
        'DEL or GC the containers that are gone, or widen the range in "ipam"',
        f"held in etcd below {layout.addresses}: {', '.join(shown)}"
        + (f", and {more} more nodes" if more else ""),
    )
