"""The plugins' program takes what it starts with from itself, and the rest from beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import embed
import pytest

from tests.packaging.test_bundle import CONFIG, STATUS, python_half

_SYSTEM = re.compile(r"/(usr/)?lib(64)?/.*\.so[.0-9]*$|/etc/(ld\.so\.|localtime)|/(proc|dev)/")
"""What the C library and its loader read, and the kernel's own."""


def test_a_frozen_module_is_what_its_source_says(tmp_path: Path) -> None:
    main = tmp_path / "boot.py"
    main.write_text("print('hello')\n")
    table = embed.frozen(main)
    rows = re.findall(r'\{"([\w.]+)", (code\d+), sizeof \2, \.is_package = (\d)\},', table)
    assert [(name, package) for name, _, package in rows] == [
        ("encodings", "1"),
        ("encodings.aliases", "0"),
        ("encodings.utf_8", "0"),
        ("__main__", "0"),
    ]
    last = re.search(rf"{rows[-1][1]}\[\] = {{([\d,]+)}}", table)
    assert last
    code = bytes(map(int, last[1].split(",")))
    script = "import marshal, sys; exec(marshal.loads(sys.stdin.buffer.read()))"
    done = subprocess.run(
        [sys.executable, "-c", script], input=code, capture_output=True, check=True
    )
    assert done.stdout == b"hello\n"


def test_without_pythons_library_the_build_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = tmp_path / "boot.py"
    main.touch()
    monkeypatch.setattr(embed, "library", lambda: tmp_path / "libpython.a")
    with pytest.raises(SystemExit, match="libpython3-dev"):
        embed.compile_program(main, tmp_path)


def test_looks_for_no_module_on_the_machine(built: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = ["strace", "-qq", "-e", "trace=%file", "-o", str(trace), str(built / "loopback")]
    hostile = {"PYTHONHOME": "/nowhere", "PYTHONPATH": str(tmp_path), "LANG": "C"}
    done = subprocess.run(
        command, env={**STATUS, **hostile}, input=CONFIG, text=True, capture_output=True,
        check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    paths = re.findall(r'(?:open|stat|access|readlink)\w*\([^"]*"([^"]+)"', trace.read_text())
    assert str(python_half(built).with_name("modules.bin")) in paths
    assert [one for one in paths if not (one.startswith(str(built)) or _SYSTEM.match(one))] == []
