"""The race of every plugin, where it is not two suites' executables alone that are needed."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from bench.every import Measured, measure
from bench.field import COLD, REFERENCE, WARM
from bench.second_kernel import lane

BUILT = Path(__file__).resolve().parents[2] / "dist" / "bin"
THEIRS = Path("/usr/lib/cni")


def test_a_plugin_with_a_daemon_and_one_without_a_reference() -> None:
    measured = measure(BUILT, THEIRS, ["dhcp", "tap"], 1, lambda _: None)
    assert (measured.left_out, measured.failed, measured.unknown) == ({}, set(), {})
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


@pytest.mark.timeout(300)  # a twentieth of it where nobody else works
def test_another_kernel_measures_what_this_one_cannot() -> None:
    measured = lane.measure(BUILT, THEIRS, ["vlan", "dummy"], 1)
    assert (measured.left_out, measured.failed, measured.unknown) == ({}, set(), {})
    assert measured.kernel != platform.release()
    suites = {(row.case, row.verb): set(row.timed) for row in measured.rows}
    assert suites["vlan", "ADD"] == {COLD, WARM, REFERENCE}
    assert suites["dummy", "ADD"] == {COLD, WARM}
    assert len(suites) == 6


def test_a_kernel_that_measures_nothing_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "linux.uml"
    kernel.write_text("#!/bin/sh\necho Kernel panic\n")
    kernel.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    measured = lane.measure(BUILT, THEIRS, ["vlan"], 1)
    assert measured.left_out["vlan"].endswith("no result; it said: Kernel panic")
    assert measured.failed == {"vlan"}


def test_no_other_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    measured = lane.measure(BUILT, THEIRS, ["vlan", "vrf"], 1)
    (why,) = set(measured.left_out.values())
    assert "linux.uml" in why
    assert set(measured.left_out) == {"vlan", "vrf"}
    assert not measured.failed


def test_what_another_kernel_found_counts() -> None:
    here = Measured(left_out={"vlan": "no", "vrf": "no", "tap": "x"}, unknown={"vlan": "vlan"})
    here.unknown["vrf"] = "vrf"
    here.resume(Measured(left_out={"vrf": "broken"}, failed={"vrf"}))
    assert here.left_out == {"tap": "x", "vrf": "broken"}
    assert here.failed == {"vrf"}
