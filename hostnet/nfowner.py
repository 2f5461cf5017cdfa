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

What is one owner's alone, others may wait for (`Waiting`): whose turn it is next gets it in the
transaction in which its holder loses it.
"""

from __future__ import annotations

import errno
import ipaddress
from _blake2 import blake2s

from hostnet.nfchange import change
from hostnet.nfdraft import Draft, batches
from hostnet.nfelement import Element, Map, comment_bytes, comment_of, dump, get, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from hostnet.netfilter import Netfilter
    from hostnet.nfchange import Changes
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
        owner = cls.__new__(cls)
        owner.name = element.comment
        owner.group, owner.member = str(element.key[0]), str(element.key[1])
        return owner

    @property
    def is_whole(self) -> bool:
        """Whether the name is not cut short, as a comment's may be."""
        return self.member == _hash(self.name)


def group_key(group: str) -> str:
    """The hash by which a group is found."""
    return _hash(group + "/")


def _hash(text: str) -> str:
    """60 bits as text, so that `nft list table` shows a person what the kernel compares."""
    return blake2s(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()[:15]


def is_anothers(found: Element, element: Element) -> bool:
    """Whether an element that is on record as `element` has the label of somebody else.

    Labels cut short are taken for the same.
    """
    return found.comment not in ("", element.comment, comment_of(comment_bytes(element.comment)))


class Waiting:
    """How an owner waits for what is another's: pure functions of a record.

    place: the element of a shared set that those hold who wait for what this record stands for,
    None where nobody can; `holding`: the record as it is when it does not wait.
    """

    __slots__ = ("holding", "place")

    def __init__(
        self, place: Callable[[Values], Element | None], holding: Callable[[Values], Values]
    ) -> None:
        self.place = place
        self.holding = holding

    def places(self, records: Iterable[Values]) -> dict[tuple[str, Values], Element]:
        """Where others would wait for what these records hold."""
        held = [self.place(one) for one in records if self.holding(one) == one]
        return {one.identity: one for one in held if one is not None}


class Registry:
    """The owners of a table's elements.

    data: the layout of a record. elements, chains: which elements and (names of) chains a record
    of an owner stands for, pure functions. A record that waits stands for its place.
    """

    __slots__ = ("_chains", "_elements", "_waiting", "holders", "owners", "table")

    def __init__(
        self,
        table: str,
        data: str,
        elements: Callable[[Values, Owner], Iterable[Element]],
        chains: Callable[[Values, Owner], Iterable[str]] | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.table = table
        self.owners = Map(table, "owners", "ifname . ifname . mark", data)
        self.holders = Map(table, "holders", "ifname . ipv6_addr", "mark")
        self._elements = elements
        self._chains = chains
        self._waiting = waiting

    def records(self, nl: Netfilter, owner: Owner) -> list[Values]:
        """The owner's records; none where it owns nothing or the table is missing."""
        return self._records(self.draft(nl), owner)

    def draft(self, nl: Netfilter) -> Draft:
        """The table as it is, and as what has gathered in a batch is going to leave it."""
        return batches[0].draft(nl, self.table) if batches else Draft(nl)

    def _records(self, draft: Draft, owner: Owner) -> list[Values]:
        found: list[Values] = []
        while True:
            record = draft.get(Element(self.owners, (owner.group, owner.member, len(found))))
            if record is None:
                return found
            found.append(record.data)

    def held(self, records: Iterable[Values], owner: Owner) -> Held:
        """The elements that these records of the owner stand for."""
        return {one.identity: one for record in records for one in self._elements(record, owner)}

    def holders_of(self, draft: Draft, element: Element) -> int:
        """How many owners hold an element of a shared map."""
        counted = draft.get(self._counter(element))
        if counted is not None:
            return number(counted.data[0])
        return 0 if draft.get(element) is None else 1

    def give(
        self,
        nl: Netfilter,
        owner: Owner,
        records: list[Values],
        settle: Callable[[Draft, Held], list[Values]] | None = None,
    ) -> bool:
        """Make the owner own exactly this, in one transaction; what is missing of it is restored.

        settle: called with what it held, to look up what else must (not) be there, and to raise or
        to say what it is to be instead of `records`. False where all was so already. In a batch
        (`nfbatch`) it happens with the others. Raises TakenError for an element that is not shared
        and another's, NetlinkError, ContentionError.
        """

        def plan(draft: Draft) -> Draft:
            before = self._records(draft, owner)
            after = records if settle is None else settle(draft, self.held(before, owner))
            self._exchange(draft, owner, before, after)
            self._pass_on(draft, owner, before, after)
            return draft

        what = f"write to the nftables table inet {self.table}"
        if batches:
            return batches[0].gather(self.table, plan(self.draft(nl)), what)
        return change(nl, lambda: plan(Draft(nl)).changes(), what)

    def remove(self, nl: Netfilter, owner: Owner) -> list[Values]:
        """Remove all the owner owns, in one transaction; gives the records it had.

        Raises NetlinkError, ContentionError.
        """
        before: list[Values] = []

        def plan() -> Changes:
            draft = Draft(nl)
            before[:] = self._records(draft, owner)
            self._exchange(draft, owner, before, [])
            self._pass_on(draft, owner, before, [])
            return draft.changes()

        # The cheapest of all calls is the one that finds nothing: one look-up.
        if get(nl, Element(self.owners, (owner.group, owner.member, 0))) is not None:
            change(nl, plan, f"remove {owner.name} from the nftables table inet {self.table}")
        return before

    def _exchange(
        self, draft: Draft, owner: Owner, before: list[Values], after: list[Values]
    ) -> None:
        """Let the owner have these records and what they stand for in place of those before."""
        old = self.held(before, owner)
        new = old if after == before else self.held(after, owner)
        chains = self._own_chains(after, owner)
        for chain in chains:
            draft.create_chain(self.table, chain)
        for name, element in old.items():
            if name not in new:
                self._drop(draft, element)
        for name, element in new.items():
            self._take(draft, element, name in old)
        for chain in self._own_chains(before, owner) - chains:
            draft.delete_chain(self.table, chain)
        self._rewrite(draft, owner, before, after)

    def _pass_on(
        self, draft: Draft, owner: Owner, before: list[Values], after: list[Values]
    ) -> None:
        """Let others have what the owner has lost and they wait for.

        One look-up for each record lost; where somebody waits, a list of all owners.
        """
        if self._waiting is None or before == after:
            return
        kept = self._waiting.places(after)
        lost = self._waiting.places(before)
        wanted = {name for name, one in lost.items() if name not in kept and draft.get(one)}
        if not wanted:
            return
        owners = sorted(dump(draft.nl, self.owners), key=lambda one: (one.comment, one.key[2]))
        for found in owners:
            heir = Owner.found(found)
            place = self._waiting.place(found.data)
            if heir.member == owner.member or place is None or place.identity not in wanted:
                continue
            holding = self._waiting.holding(found.data)
            if holding != found.data and self._is_free(draft, holding, heir):
                wanted.remove(place.identity)
                has = self._records(draft, heir)
                index = number(found.key[2])
                self._exchange(draft, heir, has, [*has[:index], holding, *has[index + 1 :]])

    def _is_free(self, draft: Draft, record: Values, owner: Owner) -> bool:
        elements = self._elements(record, owner)
        return all(one.map.shared or draft.get(one) is None for one in elements)

    def listing(self, nl: Netfilter) -> list[tuple[Owner, Values]]:
        """Every record there is, with whose it is; lists the whole map. Raises NetlinkError."""
        found = sorted(dump(nl, self.owners), key=lambda one: (one.key[1], one.key[2]))
        return [(Owner.found(one), one.data) for one in found]

    def strangers(self, nl: Netfilter, group: str, keep: Iterable[str]) -> list[Owner]:
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

    def _take(self, draft: Draft, element: Element, held: bool) -> None:
        found = draft.get(element)
        # With the comment of the same owner it is the same owner's, whose record got lost.
        if found is None:
            draft.put(element)
        elif element.map.shared:
            if not held and found.comment != element.comment:
                self._count(draft, element, +1)
        elif found.comment != element.comment and (not held or is_anothers(found, element)):
            raise TakenError(element, found)
        elif found.data != element.data:
            draft.put(element)

    def _drop(self, draft: Draft, element: Element) -> None:
        others = element.map.shared and self._count(draft, element, -1)
        found = draft.get(element)
        if found is None or (others and found.comment != element.comment):
            return
        if others:
            # It was labelled with the first of its holders, which leaves.
            draft.put(Element(element.map, element.key, element.data))
        elif element.map.shared or not is_anothers(found, element):
            draft.drop(element)

    def _count(self, draft: Draft, element: Element, step: int) -> bool:
        """Count one holder more or less; False for the last one."""
        counter = self._counter(element)
        counted = draft.get(counter)
        before = number(counted.data[0]) if counted is not None else 1
        if before + step < 1:
            return False
        if before + step > 1:
            data = (before + step,)
            draft.put(Element(self.holders, counter.key, data, element.comment))
        elif counted is not None:
            draft.drop(counter)
        return True

    def _counter(self, element: Element) -> Element:
        """The element of `holders` that counts this one."""
        digest = blake2s(element.map.key.pack(element.key), digest_size=16).digest()
        return Element(self.holders, (element.map.name, ipaddress.IPv6Address(digest)))

    def _rewrite(
        self, draft: Draft, owner: Owner, before: list[Values], after: list[Values]
    ) -> None:
        for index, record in enumerate(after):
            if index >= len(before) or before[index] != record:
                key = owner.group, owner.member, index
                draft.put(Element(self.owners, key, record, owner.name))
        for index in range(len(after), len(before)):
            draft.drop(Element(self.owners, (owner.group, owner.member, index)))
