"""The race of every plugin, where more than two suites are on the field."""

from __future__ import annotations

from pathlib import Path

from bench.every import measure
from bench.field import COLD, REFERENCE, WARM

BUILT = Path(__file__).resolve().parents[2] / "dist" / "bin"
THEIRS = Path("/usr/lib/cni")


def test_a_plugin_with_a_daemon_and_one_without_a_reference() -> None:
    measured = measure(BUILT, THEIRS, ["dhcp", "tap"], 1, lambda _: None)
    assert (measured.left_out, measured.failed, measured.unknown) == ({}, set(), [])
    ours = {COLD, WARM}
    assert {(row.case, row.verb): set(row.timed) for row in measured.rows} == {
        ("dhcp", "ADD"): {*ours, REFERENCE},
        ("dhcp", "CHECK"): {*ours, REFERENCE},
        ("dhcp", "DEL"): {*ours, REFERENCE},
        ("tap", "ADD"): ours,
        ("tap", "CHECK"): ours,
        ("tap", "DEL"): ours,
    }


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    measured = measure(tmp_path, THEIRS, ["dhcp"], 1, lambda _: None)
    assert measured.left_out == {"dhcp": "this suite has none"}
    assert not measured.failed
