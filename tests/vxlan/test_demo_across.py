"""`make demo-overlay` plays to its end with the built executables: what a reader runs first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "dist" / "bin"


@pytest.mark.parametrize("peers", ["static", "etcd"])
def test_the_demo(peers: str) -> None:
    assert (PLUGINS / "vxlan").exists(), "no executables in dist/bin: run `make build` first"
    played = subprocess.run(
        [sys.executable, "-m", "examples.demo_overlay"],
        cwd=ROOT,
        env={**os.environ, "PEERS": peers},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.startswith(f"{peers}: ")
    assert played.stdout.count("✓") == 6 + 5 + 1  # pairs of containers, more attempts, clean-up
    assert "✗" not in played.stdout
