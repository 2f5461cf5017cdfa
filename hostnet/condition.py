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

_checks: list[tuple[Callable[[str], None], bool]] = []


class OnlyWhile:
    """`with OnlyWhile(check):` what changes a packet filter in the body calls `check` before.

    check: gets what is about to be done, in words, and raises to have it not done. late: it says
    nothing of a change that gathers with others (`Owners`), for it would have to be asked again
    when that is made. Of the whole process: for one with a single thread.
    """

    __slots__ = ("_check", "_late")

    def __init__(self, check: Callable[[str], None], *, late: bool = False) -> None:
        self._check = check
        self._late = late

    def __enter__(self) -> None:
        _checks.append((self._check, self._late))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _checks.pop()


class Owners:
    """Those whose changes gather to be made together, and what takes them back from each.

    They are asked about right before that is done, and after it.
    """

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, tuple[Callable[[], bool], list[Callable[[], None]]]] = {}

    def add(self, owner: str, is_gone: Callable[[], bool], take_back: Callable[[], None]) -> None:
        """An owner, or one more change of his."""
        self._found.setdefault(owner, (is_gone, []))[1].append(take_back)

    def any_gone(self) -> bool:
        """Whether there is one among them who has gone."""
        return any(is_gone() for is_gone, _ in self._found.values())

    def take_back(self) -> None:
        """From each who has gone, take back what may have been changed for him."""
        for is_gone, undo in self._found.values():
            if is_gone():
                for take_back in undo:
                    take_back()


def require(what: str, *, gathers: bool = False) -> None:
    """Raise what the checks raise, if this must not be done: "set sysctl … to 1".

    gathers: it is not done now but with others, whose `Owners` are asked about then.
    """
    for check, late in _checks:
        if not (gathers and late):
            check(what)
