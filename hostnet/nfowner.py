"""Whose is which nftables element: a map holds packets' keys, and this holds the owners.

An element has no owner field that can be looked up, so each table has a map `owners` beside its
maps: (hash of the group, hash of the owner, index) gives a record from which all elements of that
owner follow. Both are written in one transaction. To remove an owner, nothing else is needed than
its name, and what others own is not looked at.

A record may also stand for chains of the owner's own: they are made empty before the elements that
jump to them, and go after them.

An owner is a name of the form "group/…"; the whole of it counts, and the part before the first
slash makes it findable together with others of its group. An element of a map that is `shared` may
be held by several owners, and goes with the last one; `holders` counts those held by more than one.
"""

from __future__ import annotations

import errno
import ipaddress
from _blake2 import blake2s

from hostnet.nfchange import Changes, change
from hostnet.nfelement import Element, Map, dump, get, number
from hostnet.nftable import chain_exists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from hostnet.netlink import Netlink
    from hostnet.nfelement import Values

    Held: TypeAlias = dict[tuple[str, Values], Element]


class TakenError(OSError):
    """`element` cannot be had, `found` is there already; its comment says whose it is."""

    def __init__(self, element: Element, found: Element) -> None:
        super().__init__(errno.EEXIST, f"{element} is taken: {found}")
        self.element = element
        self.found = found


class Owner:
    """An owner as the map `owners` has it: two hashes, and the name (which may be cut short)."""

    __slots__ = ("group", "member", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.group = group_key(name.partition("/")[0])
        self.member = _hash(name)

    @classmethod
    def found(cls, element: Element) -> Owner:
        """The owner of an element of `owners`."""
        owner = cls(element.comment)
        owner.group, owner.member = str(element.key[0]), str(element.key[1])
        return owner


def group_key(group: str) -> str:
    """The hash by which a group is found."""
    return _hash(group + "/")


def _hash(text: str) -> str:
    """60 bits as text, so that `nft list table` shows a person what the kernel compares."""
    return blake2s(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()[:15]


class Registry:
    """The owners of a table's elements.

    data: the layout of a record. elements, chains: which elements and (names of) chains a record
    of an owner stands for, pure functions.
    """

    __slots__ = ("_chains", "_elements", "holders", "owners", "table")

    def __init__(
        self,
        table: str,
        data: str,
        elements: Callable[[Values, Owner], Iterable[Element]],
        chains: Callable[[Values, Owner], Iterable[str]] | None = None,
    ) -> None:
        self.table = table
        self.owners = Map(table, "owners", "ifname . ifname . mark", data)
        self.holders = Map(table, "holders", "ifname . ipv6_addr", "mark")
        self._elements = elements
        self._chains = chains

    def records(self, nl: Netlink, owner: Owner) -> list[Values]:
        """The owner's records; none where it owns nothing or the table is missing."""
        found: list[Values] = []
        while True:
            record = get(nl, Element(self.owners, (owner.group, owner.member, len(found))))
            if record is None:
                return found
            found.append(record.data)

    def held(self, records: Iterable[Values], owner: Owner) -> Held:
        """The elements that these records of the owner stand for."""
        return {one.identity: one for record in records for one in self._elements(record, owner)}

    def holders_of(self, nl: Netlink, element: Element) -> int:
        """How many owners hold an element of a shared map."""
        counted = get(nl, self._counter(element))
        if counted is not None:
            return number(counted.data[0])
        return 0 if get(nl, element) is None else 1

    def give(
        self,
        nl: Netlink,
        owner: Owner,
        records: list[Values],
        guard: Callable[[Held], None] | None = None,
    ) -> bool:
        """Make the owner own exactly this, in one transaction; what is missing of it is restored.

        guard: called with what it held, to look up what else must (not) be there and to raise.
        False where all was so already. Raises TakenError for an element that
        is not shared and another's, NetlinkError, ContentionError.
        """

        def plan() -> Changes:
            before = self.records(nl, owner)
            old, new = self.held(before, owner), self.held(records, owner)
            if guard is not None:
                guard(old)
            changes = Changes()
            chains = self._own_chains(records, owner)
            for chain in chains:
                changes.create_chain(self.table, chain)
            self._drop(nl, changes, [one for name, one in old.items() if name not in new])
            for name, element in new.items():
                self._take(nl, changes, element, name in old)
            self._drop_chains(nl, changes, self._own_chains(before, owner) - chains)
            self._rewrite(changes, owner, before, records)
            return changes

        return change(nl, plan, f"write to the nftables table inet {self.table}")

    def remove(self, nl: Netlink, owner: Owner) -> list[Values]:
        """Remove all the owner owns, in one transaction; gives the records it had.

        Raises NetlinkError, ContentionError.
        """
        before: list[Values] = []

        def plan() -> Changes:
            before[:] = self.records(nl, owner)
            changes = Changes()
            self._drop(nl, changes, self.held(before, owner).values())
            self._drop_chains(nl, changes, self._own_chains(before, owner))
            self._rewrite(changes, owner, before, [])
            return changes

        # The cheapest of all calls is the one that finds nothing: one look-up.
        if self.records(nl, owner):
            change(nl, plan, f"remove {owner.name} from the nftables table inet {self.table}")
        return before

    def strangers(self, nl: Netlink, group: str, keep: Iterable[str]) -> list[Owner]:
        """The owners of this group that are not among `keep`. Lists the whole map."""
        key = group_key(group)
        known = {Owner(name).member for name in keep}
        found = {
            str(one.key[1]): Owner.found(one)
            for one in dump(nl, self.owners)
            if one.key[0] == key and one.key[1] not in known
        }
        return list(found.values())

    def _own_chains(self, records: Iterable[Values], owner: Owner) -> set[str]:
        if self._chains is None:
            return set()
        return {chain for record in records for chain in self._chains(record, owner)}

    def _drop_chains(self, nl: Netlink, changes: Changes, chains: Iterable[str]) -> None:
        for chain in chains:
            if chain_exists(nl, self.table, chain):
                changes.delete_chain(self.table, chain)

    def _take(self, nl: Netlink, changes: Changes, element: Element, held: bool) -> None:
        found = get(nl, element)
        if found is None:
            changes.create(element)
        elif held or found.comment == element.comment:
            # With the comment of the same owner it is the same owner's, whose record got lost.
            if found.data != element.data:
                changes.delete(element)
                changes.create(element)
        elif element.map.shared:
            self._count(nl, changes, element, +1)
        else:
            raise TakenError(element, found)

    def _drop(self, nl: Netlink, changes: Changes, elements: Iterable[Element]) -> None:
        for element in elements:
            others = element.map.shared and self._count(nl, changes, element, -1)
            found = get(nl, element)
            if found is None or (others and found.comment != element.comment):
                continue
            changes.delete(element)
            if others:
                # It was labelled with the first of its holders, which leaves.
                changes.create(Element(element.map, element.key, element.data))

    def _count(self, nl: Netlink, changes: Changes, element: Element, step: int) -> bool:
        """Count one holder more or less; False for the last one."""
        counter = self._counter(element)
        counted = get(nl, counter)
        before = number(counted.data[0]) if counted is not None else 1
        if before + step < 1:
            return False
        if counted is not None:
            changes.delete(counted)
        if before + step > 1:
            data = (before + step,)
            changes.create(Element(self.holders, counter.key, data, element.comment))
        return True

    def _counter(self, element: Element) -> Element:
        """The element of `holders` that counts this one."""
        digest = blake2s(element.map.key.pack(element.key), digest_size=16).digest()
        return Element(self.holders, (element.map.name, ipaddress.IPv6Address(digest)))

    def _rewrite(
        self, changes: Changes, owner: Owner, before: list[Values], after: list[Values]
    ) -> None:
        for index in range(max(len(before), len(after))):
            old = before[index] if index < len(before) else None
            new = after[index] if index < len(after) else None
            if old == new:
                continue
            key = owner.group, owner.member, index
            if old is not None:
                changes.delete(Element(self.owners, key))
            if new is not None:
                changes.create(Element(self.owners, key, new, owner.name))
