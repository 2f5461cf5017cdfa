"""Build the executables: `build.py DIRECTORY` leaves the relocatable tree there.

PyInstaller makes one program for all plugins; each plugin's entry is a hard link to it, so that
whatever copies the tree (cp -r, cp -rL, tar, an image's COPY, a file at a time) copies files that
work, where symbolic links get lost or dangle.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cni_bundle.plugins import PLUGINS

ROOT = Path(__file__).resolve().parent.parent
_FIRST = "bridge"


def build(target: Path) -> None:
    """Replace `target` by a fresh build. Raises SystemExit with PyInstaller's words."""
    work = ROOT / "build"
    made = work / "dist"
    command = [
        sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN",
        "--workpath", str(work / "work"), "--distpath", str(made),
        str(ROOT / "packaging" / "pycni.spec"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}build: PyInstaller failed")
    for name in PLUGINS:
        if name != _FIRST:
            os.link(made / "bin" / _FIRST, made / "bin" / name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    (made / "bin").rename(target)
    target.touch()  # make compares it with the sources


if __name__ == "__main__":
    build(Path(sys.argv[1]))
