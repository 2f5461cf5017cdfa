"""A transaction of nftables in the making, on elements: what is looked up in it sees it changed."""

from __future__ import annotations

from hostnet.nfchain import chain_exists
from hostnet.nfchange import Changes
from hostnet.nfelement import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol, TypeAlias

    from hostnet.netfilter import Netfilter
    from hostnet.nfbatch import Batch
    from hostnet.nfelement import Element, Values

    Identity: TypeAlias = tuple[str, Values]

    class Ground(Protocol):
        """What a draft is made on: the elements as they were before."""

        def get(self, wanted: Element) -> Element | None: ...


batches: list[Batch] = []
"""One that is under way, see `nfbatch`."""


class Draft:
    """A table as a transaction in the making leaves it.

    So two owners can change places in one transaction. ground: what it is made on, which holds
    still; without one that is the kernel, which is asked once for each element.
    """

    __slots__ = ("_after", "_before", "_empty_chains", "_gone_chains", "_ground", "nl")

    def __init__(self, nl: Netfilter, ground: Ground | None = None) -> None:
        self.nl = nl
        self._ground = ground
        self._before: dict[Identity, Element | None] = {}
        self._after: dict[Identity, Element | None] = {}
        self._empty_chains: list[tuple[str, str]] = []
        self._gone_chains: list[tuple[str, str]] = []

    def get(self, wanted: Element) -> Element | None:
        """The element with this key, None where there is none. Raises NetlinkError."""
        name = wanted.identity
        if name in self._after:
            return self._after[name]
        if self._ground is not None:
            return self._ground.get(wanted)
        found = self._before[name] = self._after[name] = get(self.nl, wanted)
        return found

    def put(self, element: Element) -> None:
        """Make the element, in place of what has its key, which was looked up."""
        self._set(element, element)

    def drop(self, element: Element) -> None:
        """Delete the element with this key, which was looked up."""
        self._set(element, None)

    def _set(self, element: Element, new: Element | None) -> None:
        name = element.identity
        if name not in self._before:
            self._before[name] = None if self._ground is None else self._ground.get(element)
        self._after[name] = new

    def create_chain(self, table: str, name: str) -> None:
        """Have an empty chain, or the one that is there."""
        if not chain_exists(self.nl, table, name):
            self._empty_chains.append((table, name))

    def delete_chain(self, table: str, name: str) -> None:
        """Have no such chain."""
        if chain_exists(self.nl, table, name):
            self._gone_chains.append((table, name))

    def join(self, other: Draft) -> None:
        """Take over all of a draft that has this one for its ground."""
        for name, old in other._before.items():
            self._before.setdefault(name, old)
        self._after |= other._after
        self._empty_chains += other._empty_chains
        self._gone_chains += other._gone_chains

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        if self._empty_chains or self._gone_chains:
            return False
        return next(self.differences(), None) is None

    def differences(self) -> Iterator[tuple[Element | None, Element | None]]:
        """Each element that is to be another, as it is before and after; None where there is none.

        One that has the same key before and after is in both.
        """
        for name, old in self._before.items():
            new = self._after[name]
            if not _same(old, new):
                yield old, new

    def changes(self) -> Changes:
        """The transaction."""
        made = Changes()
        for table, name in self._empty_chains:
            made.create_chain(table, name)
        changed = [*self.differences()]
        for old, _new in changed:
            if old is not None:
                made.delete(old)
        for _old, new in changed:
            if new is not None:
                made.create(new)
        for table, name in self._gone_chains:
            made.delete_chain(table, name)
        return made


def _same(one: Element | None, other: Element | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or (one.data == other.data and one.comment == other.comment)
