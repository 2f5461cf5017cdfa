"""Build the executables: `build.py DIRECTORY` leaves the relocatable tree there.

PyInstaller finds what all plugins, the daemon and cnitool need, and lays it into a directory that
is named after its content; the C compiler makes the plugins' program in it (`embed.py`), and the
launcher, which knows that name. Each plugin's entry is a hard link to the launcher, so that
whatever copies the tree (cp -r, cp -rL, tar, an image's COPY, a file at a time) copies files that
work, where symbolic links get lost or dangle.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cni import jsontext
from cni.versions import version_answer
from cni_bundle.plugins import DAEMON, PLUGINS
from cnitool.suite.files import CONTENTS_PREFIX

ROOT = Path(__file__).resolve().parent.parent


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
    (contents,) = (made / "bin").glob(f"{CONTENTS_PREFIX}*")
    launcher = made / "bin" / DAEMON
    compile_launcher(launcher, contents.name.removeprefix(CONTENTS_PREFIX))
    for name in PLUGINS:
        os.link(launcher, made / "bin" / name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    (made / "bin").rename(target)
    target.touch()  # make compares it with the sources


def compile_launcher(target: Path, build_name: str) -> None:
    """Compile the launcher of a build. Raises SystemExit with the compiler's words.

    With musl where it is there: before main, glibc asks the processor what it can do, some twenty
    CPUID instructions that each leave a virtual machine. Of 0.46 ms, musl takes 0.17. And in as few
    pages as can be, since each that is touched is a page fault; a static program that is linked at
    a fixed address has nothing that RELRO would protect.
    """
    answer = jsontext.dumps(version_answer()) + "\n"
    command = [
        "musl-gcc" if shutil.which("musl-gcc") else "cc",
        "-static", "-Os", "-s", "-Wl,-z,noseparate-code,-z,norelro", "-Wall", "-Wextra", "-Werror",
        f'-DBUILD="{build_name}"', f"-DVERSION_ANSWER={_as_c(answer)}",
        "-o", str(target), str(ROOT / "cnid" / "launcher.c"),
    ]  # fmt: skip
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}build: the launcher does not compile")


def _as_c(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


if __name__ == "__main__":
    build(Path(sys.argv[1]))
