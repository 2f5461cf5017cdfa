"""All steps run, and what failed is told together."""

from __future__ import annotations

import pytest

from cni.errors import IN_THE_WAY, SYSTEM, TRY_AGAIN_LATER, CniError
from wiring.steps import Steps


def test_nothing_failed() -> None:
    done: list[str] = []
    steps = Steps()
    steps.run(done.append, "one")
    steps.finish()
    assert done == ["one"]


def test_every_step_runs_and_the_first_error_gives_the_code() -> None:
    done: list[str] = []

    def fail(error: Exception) -> None:
        raise error

    steps = Steps()
    steps.run(fail, CniError(IN_THE_WAY, "first"))
    steps.run(fail, OSError("second"))
    steps.run(fail, TimeoutError("the lock"))
    steps.run(done.append, "third")
    with pytest.raises(CniError) as caught:
        steps.finish()
    assert done == ["third"]
    assert (caught.value.code, caught.value.msg) == (IN_THE_WAY, "first; second; the lock")
    assert [error.code for error in steps.errors] == [IN_THE_WAY, SYSTEM, TRY_AGAIN_LATER]


def test_a_defect_is_not_kept() -> None:
    def defect() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Steps().run(defect)
