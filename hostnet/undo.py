"""The undo stack: what was done is undone, in reverse order, unless all of it succeeded."""

from __future__ import annotations

from hostnet import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


class Undo:
    """`with Undo() as undo:` and a body that says after each act how to undo it.

    When the body ends, nothing is undone; when an exception leaves it (the one the door makes of
    SIGTERM too), everything is, and no signal cuts that short. What goes wrong on the way is
    added to the exception as notes and hides neither it nor the steps that are left.
    """

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def push(self, revert: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `revert(*args, **kwargs)` if it comes to undoing."""
        self._steps.append(lambda: revert(*args, **kwargs))

    def step(self, act: Callable[[], T], revert: Callable[[T], object]) -> T:
        """Act, and note how to undo it, with no signal in between; `revert` gets act's result.

        `act` must be bounded, as the kernel's work is, for signals wait until it is done.
        """
        mask = signals.hold()
        try:
            result = act()
            self._steps.append(lambda: revert(result))
        finally:
            signals.release(mask)
        return result

    def discard(self) -> None:
        """Forget all steps: what was done stays."""
        self._steps.clear()

    def unwind(self) -> list[BaseException]:
        """Undo all steps now, the last one first; gives what went wrong."""
        problems: list[BaseException] = []
        mask = signals.hold()
        try:
            while self._steps:
                revert = self._steps.pop()
                try:
                    revert()
                except BaseException as problem:  # noqa: BLE001 (the other steps come first)
                    problems.append(problem)
        finally:
            signals.release(mask)
        return problems

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.discard()
            return
        for problem in self.unwind():
            error.add_note(f"while undoing: {problem}")

    def __del__(self) -> None:
        # A signal's exception that struck on the way into __exit__ leaves the steps here.
        if self._steps:
            self.unwind()
