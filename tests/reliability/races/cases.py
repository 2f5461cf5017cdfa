"""Which call meets which, and what must come of it.

A case is a call A that is held in its middle while a call B runs to its end, or until it waits for
a lock that A has; then A goes on. Before it, `n` is attached where the host is a used one, and who
else the case wants. The letters are the containers: a is A's, b is B's.

Some of it no runtime may do: two calls for one attachment at once, or GC beside an ADD that its
list does not have (SPEC.md, section 2 "Lifecycle & Ordering"). There it is only asked that nothing
breaks for others, that errors are errors, and that a later DEL leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.kit.calls import Document
from tests.reliability.races.stage import Stage

Act = Callable[[Stage], Document | None]
PORT = 8080


class Case(NamedTuple):
    """before: who is attached. after: who must be, whole. succeed: which calls must ("AB").

    one_wins: just one of the two may succeed, and the other is told whose the port is.
    """

    name: str
    a: Act
    b: Act
    before: str = ""
    after: str = ""
    succeed: str = "AB"
    one_wins: bool = False


def _add(who: str, port: int = 0) -> Act:
    return lambda stage: stage.add(who, port)


def _delete(who: str) -> Act:
    return lambda stage: stage.delete(who)


def _gc(*valid: str) -> Act:
    return lambda stage: stage.gc(*valid)


def _check(who: str) -> Act:
    return lambda stage: stage.check(who)


CASES = (
    Case("ADD, ADD of another", _add("a"), _add("b"), after="ab"),
    Case("ADD, DEL of another", _add("a"), _delete("b"), before="b", after="a"),
    Case("ADD, DEL of the same", _add("a"), _delete("a"), succeed="B"),
    Case("ADD, GC that lists it", _add("a"), _gc("a", "n"), after="a"),
    Case("ADD, GC that does not", _add("a"), _gc("n"), succeed="B"),
    Case("ADD, ADD for its host port", _add("a", PORT), _add("b", PORT), succeed="", one_wins=True),
    Case("ADD, ADD of the same", _add("a"), _add("a"), succeed=""),
    Case("DEL, ADD of another", _delete("a"), _add("b"), before="a", after="b"),
    Case("DEL, DEL of another", _delete("a"), _delete("b"), before="ab"),
    Case("DEL, DEL of the same", _delete("a"), _delete("a"), before="a"),
    Case("DEL, GC", _delete("a"), _gc("n"), before="ab"),
    Case("GC, ADD that it does not list", _gc("n"), _add("b"), before="a", succeed="A"),
    Case("GC, GC", _gc("n"), _gc("n"), before="ab"),
    Case("CHECK, ADD of another", _check("a"), _add("b"), before="a", after="ab"),
    Case("CHECK, DEL of another", _check("a"), _delete("b"), before="ab", after="a"),
    Case("CHECK, DEL of the same", _check("a"), _delete("a"), before="a", succeed="B"),
)
