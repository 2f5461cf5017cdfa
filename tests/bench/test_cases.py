"""The arithmetic of the benchmark: a wrong verdict would be believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.cases import EMPTY, START, Bar, Case, Row, race
from bench.entries import PLUGINS
from bench.field import COLD, REFERENCE, WARM
from bench.notes import alone_lines, left_out_lines, second_kernel_lines
from bench.process import Call, Timed, run
from bench.report import lines_against_empty, lines_against_reference, lines_of_every
from cni_bundle.plugins import PLUGINS as BUNDLED


def row(bars: Mapping[str, Bar], size: int = 0, **walls: list[float]) -> Row:
    timed = {
        suite: [Timed(wall, wall / 2, b"") for wall in times] for suite, times in walls.items()
    }
    return Row("case", "ADD", bars, size, timed)


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (None, None),
        (Bar(0.5, REFERENCE), True),
        (Bar(0.49, REFERENCE), False),
        (Bar(10), True),
        (Bar(9.9), False),
    ],
)
def test_medians_and_verdicts(bar: Bar | None, verdict: bool | None) -> None:
    bars = {WARM: bar} if bar else {}
    measured = row(bars, warm=[0.02, 9, 0.001], cold=[1], reference=[0.04, 0.039, 0.041])
    lines = {line.suite: line for line in lines_against_reference([measured])}
    warm = lines[WARM]
    assert (warm.against, warm.rounds) == (REFERENCE, 3)
    assert (warm.wall, warm.cpu) == pytest.approx((20, 10))
    assert warm.ratio == pytest.approx(0.5)
    assert warm.verdict is verdict
    assert lines[COLD].verdict is None
    assert lines[COLD].ratio == pytest.approx(25)
    assert lines[REFERENCE].ratio == 1


def test_without_the_reference_there_is_no_ratio() -> None:
    (line,) = lines_against_reference([row({COLD: Bar(30)}, cold=[0.02])])
    assert (line.against, line.ratio, line.verdict) == ("", 0, True)


def test_a_bar_against_what_was_not_measured_is_neither_met_nor_missed() -> None:
    for lines in (lines_against_reference, lines_of_every):
        (line,) = lines([row({WARM: Bar(0.5, REFERENCE)}, warm=[0.02])])
        assert (line.against, line.bar, line.verdict) == ("", "", None)


def test_growth_is_a_suites_own() -> None:
    bars = {WARM: Bar(1.2, EMPTY)}
    rows = [
        row(bars, 0, warm=[0.010], reference=[0.1]),
        row(bars, 1000, warm=[0.011], reference=[0.2]),
        row(bars, 4000, warm=[0.013]),
    ]
    lines = lines_against_empty(rows)
    assert [(line.suite, line.size, line.verdict) for line in lines] == [
        (WARM, 0, None),
        (REFERENCE, 0, None),
        (WARM, 1000, True),
        (REFERENCE, 1000, None),
        (WARM, 4000, False),
    ]
    assert [line.ratio for line in lines] == pytest.approx([1, 1, 1.1, 2, 1.3])


def test_a_bar_against_the_references_start() -> None:
    start = row({}, reference=[0.003])
    start.verb = "VERSION"
    bars = {COLD: Bar(6, START), WARM: Bar(0.5, REFERENCE)}
    add = row(bars, reference=[0.004], cold=[0.0186], warm=[0.002])
    check = row({}, cold=[0.01])
    check.verb = "CHECK"
    lines = {(line.verb, line.suite): line for line in lines_of_every([start, add, check])}
    cold = lines["ADD", COLD]
    assert (cold.against, cold.bar, cold.verdict) == (START, "≤ 6x start", False)
    assert cold.ratio == pytest.approx(6.2)
    warm = lines["ADD", WARM]
    assert (warm.against, warm.verdict) == (REFERENCE, True)
    assert warm.ratio == pytest.approx(0.5)
    assert (lines["CHECK", COLD].against, lines["CHECK", COLD].ratio) == ("", 0)


def test_what_is_left_out_is_told_by_its_reason() -> None:
    told = left_out_lines({"vrf": "no [kernel]", "a": "broken", "vlan": "no [kernel]"}, {"a"})
    assert told == ["Left out: vrf, vlan: no \\[kernel]", "Left out: [red]✗[/] a: broken"]


def test_who_had_nobody_to_race_against() -> None:
    met, alone = row({}, warm=[0.1], reference=[0.1]), row({}, warm=[0.1])
    assert alone_lines([met]) == []
    assert alone_lines([met, alone]) == ["This reference has none: case"]


def test_the_second_kernels_times_come_with_a_warning() -> None:
    assert second_kernel_lines([]) == []
    (said,) = second_kernel_lines([row({}, warm=[0.1])])
    assert "on one CPU" in said


def test_no_plugin_is_forgotten() -> None:
    assert set(BUNDLED) - {"vxlan", "etcd-ipam"} == set(PLUGINS)


def test_suites_take_turns_at_being_first() -> None:
    order: list[str] = []

    def measure(suite: Any) -> dict[str, Timed]:
        order.append(suite.name)
        return {"ADD": Timed(1, 1, b"")}

    suites: list[Any] = [SimpleNamespace(name="a", size=0), SimpleNamespace(name="b", size=0)]
    (found,) = race(Case("case", {"ADD": {}}, measure), suites, 4)
    assert "".join(order[-8:]) == "abbaabba"
    assert {name: len(timed) for name, timed in found.timed.items()} == {"a": 4, "b": 4}


def test_a_row_for_each_verb_and_size() -> None:
    def measure(suite: Any) -> dict[str, Timed]:
        return {"ADD": Timed(1, 1, b""), "DEL": Timed(2, 1, b"")}

    suites: list[Any] = [SimpleNamespace(name="a", size=size) for size in (0, 10)]
    rows = race(Case("case", {"ADD": {}, "DEL": {}}, measure), suites, 3)
    assert [(one.verb, one.size, len(one.timed["a"])) for one in rows] == [
        ("ADD", 0, 3),
        ("ADD", 10, 3),
        ("DEL", 0, 3),
        ("DEL", 10, 3),
    ]


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_process_is_fed_and_timed(tmp_path: Path) -> None:
    echo = script(tmp_path / "echo", 'read -r line\necho "$CNI_COMMAND $line"')
    timed = run(Call(echo, {"CNI_COMMAND": "ADD"}, b"config\n"))
    assert timed.output == b"ADD config\n"
    assert 0 < timed.cpu < 10
    assert 0 < timed.wall < 10


def test_a_failed_process_is_no_measurement(tmp_path: Path) -> None:
    failing = script(tmp_path / "failing", "echo no address; exit 3")
    with pytest.raises(RuntimeError, match=r"failing ADD ended with status 3: no address"):
        run(Call(failing, {"CNI_COMMAND": "ADD"}, b""))
