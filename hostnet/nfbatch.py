"""Transactions of nftables for many owners at once, where each by itself would be too many.

A commit waits for the kernel, about a millisecond each (RCU), and each look-up is a system call. A
host with a thousand containers that has lost its rules needs 3,000 of the one and 20,000 of the
other. Here what owners are given is planned, one on what the ones before left, and carried out in
one transaction over all tables; and maps are read whole, once, as long as nobody else changes the
ruleset.
"""

from __future__ import annotations

import errno

from hostnet import condition, netfilter
from hostnet.condition import Owners
from hostnet.netlink import NetlinkError
from hostnet.nfchange import Changes
from hostnet.nfdraft import Draft, batches
from hostnet.nfelement import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from hostnet.netfilter import Netfilter
    from hostnet.nfelement import Element, Map, Values


class Batch:
    """`with Batch() as batch:` between `begin` and `commit`, what is given to owners gathers.

    owners: whose they are. If any of them has gone before the commit, there is none. Of the whole
    process: for one with a single thread. Does nothing on a kernel without nftables.
    """

    __slots__ = ("_drafts", "_maps", "_nl", "_number", "owners")

    def __init__(self) -> None:
        self._nl: Netfilter | None = None
        self._number = -1
        self._maps = _Maps()
        self._drafts: dict[str, Draft] = {}
        self.owners = Owners()

    def __enter__(self) -> Batch:
        nl = netfilter.find()
        if nl is not None and nl.available():
            self._nl = nl
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel()
        if self._nl is not None:
            self._nl.close()

    def begin(self) -> None:
        """From here on changes gather, for the state that the ruleset is in now."""
        if self._nl is None:
            return
        number = self._nl.generation()
        if number != self._number:
            self._maps.forget(self._nl)
            self._number = number
        batches.append(self)
        netfilter.hold(True)

    def cancel(self) -> None:
        """Carry out nothing of what has gathered; what comes now is carried out at once."""
        if self in batches:
            batches.remove(self)
        netfilter.hold(False)
        self._drafts.clear()
        self.owners = Owners()

    def draft(self, nl: Netfilter, table: str) -> Draft:
        """The table as what has gathered leaves it; what is drafted on it is no part of that."""
        whole = self._drafts.get(table)
        if whole is None:
            whole = self._drafts[table] = Draft(nl, self._maps)
        return Draft(nl, whole)

    def gather(self, table: str, draft: Draft, what: str) -> bool:
        """Take a draft of this table in; False if it changes nothing. Raises what checks raise."""
        if draft.is_empty:
            return False
        condition.require(what, gathers=True)
        self._drafts[table].join(draft)
        return True

    def commit(self) -> bool:
        """Carry out what has gathered; False where it is to be looked at anew: somebody changed
        the ruleset meanwhile, or an owner has gone. Raises NetlinkError.
        """
        drafts, owners = [*self._drafts.values()], self.owners
        self.cancel()
        try:
            if self._nl is None or all(one.is_empty for one in drafts):
                return True
            return not owners.any_gone() and self._commit(self._nl, drafts)
        finally:
            owners.take_back()

    def _commit(self, nl: Netfilter, drafts: list[Draft]) -> bool:
        changes = Changes()
        for one in drafts:
            changes.extend(one.changes())
        try:
            changes.commit(nl, self._number, "write to the nftables tables of containers")
        except NetlinkError as error:
            if error.errno != errno.ERESTART:
                raise
            return False
        self._number += 1
        for one in drafts:
            self._maps.note(one)
        return True


class Apart:
    """`with Apart():` what changes in the body is carried out at once, also in a batch.

    For what needs one change done before the next. What has gathered is to be looked at anew then.
    """

    __slots__ = ("_set_aside",)

    def __enter__(self) -> None:
        self._set_aside = [*batches]
        batches.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        batches.extend(self._set_aside)


class _Maps:
    """The elements of maps, each read whole when it is asked for first."""

    __slots__ = ("_found", "_nl")

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], dict[Values, Element]] = {}

    def forget(self, nl: Netfilter) -> None:
        """Read them anew, by this socket."""
        self._nl = nl
        self._found.clear()

    def get(self, wanted: Element) -> Element | None:
        return self._of(wanted.map).get(wanted.key)

    def _of(self, of: Map) -> dict[Values, Element]:
        found = self._found.get(of.where)
        if found is None:
            found = self._found[of.where] = {one.key: one for one in dump(self._nl, of)}
        return found

    def note(self, draft: Draft) -> None:
        """What it says has been carried out."""
        for old, new in draft.differences():
            if new is not None:
                self._of(new.map)[new.key] = new
            elif old is not None:
                del self._of(old.map)[old.key]
