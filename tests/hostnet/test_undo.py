"""The undo stack under errors and signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from hostnet.undo import Undo


class Terminated(BaseException):
    """What the door makes of SIGTERM."""


@pytest.fixture
def _sigterm() -> Iterator[None]:
    def strike(_number: int, _frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, strike)
    yield
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)  # to this thread, which has it held, and no other


def fail() -> None:
    raise OSError("undo went wrong")


def three_steps(done: list[int], *, error: BaseException | None) -> None:
    with Undo() as undo:
        for number in (1, 2, 3):
            undo.push(done.append, number)
        if error:
            raise error


def test_success_keeps_everything() -> None:
    done: list[int] = []
    three_steps(done, error=None)
    assert done == []


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_any_exception_undoes_in_reverse_order(error: BaseException) -> None:
    done: list[int] = []
    with pytest.raises(type(error)) as caught:
        three_steps(done, error=error)
    assert caught.value is error
    assert done == [3, 2, 1]


def test_discarded_steps_are_not_undone() -> None:
    done: list[int] = []

    def discard_between() -> None:
        with Undo() as undo:
            undo.push(done.append, 1)
            undo.discard()
            undo.push(done.append, 2)
            raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause"):
        discard_between()
    assert done == [2]


def test_what_goes_wrong_on_the_way_hides_nothing() -> None:
    done: list[int] = []

    def with_a_bad_step() -> None:
        with Undo() as undo:
            undo.push(done.append, 1)
            undo.push(fail)
            undo.push(done.append, 3)
            undo.push(fail)
            raise ValueError("the cause")

    with pytest.raises(ValueError, match="the cause") as caught:
        with_a_bad_step()
    assert done == [3, 1]
    assert caught.value.__notes__ == ["while undoing: undo went wrong"] * 2


@pytest.mark.usefixtures("_sigterm")
def test_a_signal_undoes() -> None:
    done: list[int] = []

    def struck() -> None:
        with Undo() as undo:
            undo.push(done.append, 1)
            terminate()

    with pytest.raises(Terminated):
        struck()
    assert done == [1]


@pytest.mark.usefixtures("_sigterm")
def test_a_second_signal_waits_until_all_is_undone() -> None:
    done: list[int] = []

    def struck_twice() -> None:
        with Undo() as undo:
            undo.push(done.append, 1)
            undo.push(terminate)
            undo.push(done.append, 3)
            raise ValueError("the cause")

    with pytest.raises(Terminated) as caught:
        struck_twice()
    assert done == [3, 1]
    assert isinstance(caught.value.__context__, ValueError)


@pytest.mark.usefixtures("_sigterm")
def test_no_signal_between_an_act_and_its_note() -> None:
    done: list[str] = []

    def act() -> str:
        terminate()
        done.append("made")
        return "thing"

    def struck() -> None:
        with Undo() as undo:
            undo.step(act, done.append)
            done.append("never")

    with pytest.raises(Terminated):
        struck()
    assert done == ["made", "thing"]


def test_an_act_that_fails_is_not_undone() -> None:
    done: list[None] = []

    def failing() -> None:
        with Undo() as undo:
            undo.step(fail, done.append)

    with pytest.raises(OSError, match="undo went wrong"):
        failing()
    assert done == []
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []), "signals are let through again"


def test_a_step_gives_what_its_act_gave() -> None:
    with Undo() as undo:
        assert undo.step(lambda: 5, lambda five: five) == 5


def test_steps_that_nobody_unwound_are_undone_at_the_latest_with_the_stack() -> None:
    done: list[int] = []
    undo = Undo()
    undo.push(done.append, 1)
    del undo
    assert done == [1]
