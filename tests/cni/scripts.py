"""Executables for tests, as POSIX shell scripts."""

from __future__ import annotations

from pathlib import Path


def script(path: Path, body: str, shell: str = "/bin/sh") -> str:
    """Write an executable; its path."""
    path.write_text(f"#!{shell}\n{body}\n")
    path.chmod(0o755)
    return str(path)
