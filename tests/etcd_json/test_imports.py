"""What a plugin pays that asks etcd: the modules it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEAR = {"enum", "functools", "http", "json", "re", "selectors", "socket", "ssl", "threading"}
DEAR |= {"asyncio", "dataclasses", "email", "logging", "subprocess", "typing", "urllib"}


def test_the_client_imports_little() -> None:
    program = "import sys, etcd_json, etcd_json.watch; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    )
    assert set(done.stdout.split()) & DEAR == set()
