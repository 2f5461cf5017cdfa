"""What must hold for a change to be made: looked at as late as can be, when it is about to happen.

Whoever restores what a running container has lost must not lay it down for one that has gone
meanwhile. The functions that lay down know nothing of that, so this is asked where changes happen:
in an nftables transaction when it is known for which state of the ruleset it was made (anything
committed after the look has it refused, and asked anew), and under iptables' lock.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_checks: list[Callable[[str], None]] = []


class OnlyWhile:
    """`with OnlyWhile(check):` what changes a packet filter in the body calls `check` before.

    check: gets what is about to be done, in words, and raises to have it not done. Of the whole
    process: for one with a single thread.
    """

    __slots__ = ("_check",)

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def __enter__(self) -> None:
        _checks.append(self._check)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _checks.pop()


def require(what: str) -> None:
    """Raise what the checks raise, if this must not be done: "set sysctl … to 1"."""
    for check in _checks:
        check(what)
