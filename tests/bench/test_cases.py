"""The arithmetic of the benchmark: a wrong verdict would be believed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import process
from bench.cases import Bar, Case, Row, race
from bench.process import Timed
from bench.report import lines


def row(bar: Bar | None, ours: list[float], theirs: list[float]) -> Row:
    def times(walls: list[float]) -> list[Timed]:
        return [Timed(wall, wall / 2, b"") for wall in walls]

    return Row("case", "ADD", bar, {"ours": times(ours), "theirs": times(theirs)})


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (None, None),
        (Bar(0.5, "theirs"), True),
        (Bar(0.49, "theirs"), False),
        (Bar(10), True),
        (Bar(9.9), False),
    ],
)
def test_medians_and_verdicts(bar: Bar | None, verdict: bool | None) -> None:
    (line,) = lines([row(bar, [0.02, 9, 0.001], [0.04, 0.039, 0.041])], "theirs")
    assert (line.suite, line.against) == ("ours", "theirs")
    assert (line.wall, line.cpu) == pytest.approx((20, 10))
    assert line.ratio == pytest.approx(0.5)
    assert line.verdict is verdict


def test_suites_take_turns_at_being_first() -> None:
    order: list[str] = []

    def measure(suite: Any) -> dict[str, Timed]:
        order.append(suite.name)
        return {"ADD": Timed(1, 1, b"")}

    suites: list[Any] = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    (found,) = race(Case("case", {"ADD": None}, measure), suites, 4)
    assert "".join(order[-8:]) == "abbaabba"
    assert {name: len(timed) for name, timed in found.timed.items()} == {"a": 4, "b": 4}


def test_a_process_is_fed_and_timed(tmp_path: Path) -> None:
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nread -r line\necho "$CNI_COMMAND $line"\n')
    echo.chmod(0o755)
    timed = process.run(echo, {"CNI_COMMAND": "ADD"}, b"config\n")
    assert timed.output == b"ADD config\n"
    assert 0 < timed.cpu < 10
    assert 0 < timed.wall < 10


def test_a_failed_process_is_no_measurement(tmp_path: Path) -> None:
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho no address; exit 3\n")
    failing.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"failing ADD ended with status 3: no address"):
        process.run(failing, {"CNI_COMMAND": "ADD"}, b"")
