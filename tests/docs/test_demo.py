"""`make demo` plays to its end with the built executables: what a reader runs first."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.pages import ROOT


def test_the_demo() -> None:
    assert (ROOT / "dist" / "bin" / "bridge").exists(), "run `make build` first"
    played = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert "✓" in played.stdout
    assert "✗" not in played.stdout
