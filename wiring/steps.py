"""Steps that all run whatever becomes of the others: how DEL and GC clean up."""

from __future__ import annotations

from cni.errors import SYSTEM, TRY_AGAIN_LATER, CniError, together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec

    P = ParamSpec("P")


class Steps:
    """Runs steps, keeps what fails, and raises it at the end, all together.

    errors: what failed so far.
    """

    __slots__ = ("errors",)

    def __init__(self) -> None:
        self.errors: list[CniError] = []

    def run(self, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call `step(*args, **kwargs)`; a CniError or OSError of it waits for `finish`."""
        try:
            step(*args, **kwargs)
        except CniError as error:
            self.errors.append(error)
        except OSError as error:
            code = TRY_AGAIN_LATER if isinstance(error, TimeoutError) else SYSTEM
            self.errors.append(CniError(code, str(error)))

    def finish(self) -> None:
        """Raise one CniError for all that failed, if anything did."""
        if self.errors:
            raise together(self.errors)
