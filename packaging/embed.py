"""Compile the plugins' program, `pycni.c`: Python's own static library, and what it starts with.

PyInstaller's bootloader takes 2.5 of the 15 ms of CPU of a cold plugin: it executes itself a second
time to set the library path, has a shared libpython adjusted to where it was loaded, and reads its
first modules out of two archives. This program is linked at a fixed address, with them inside.
"""

from __future__ import annotations

import marshal
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
_OPTIMIZE = 2
_FIRST = {"encodings": True, "encodings.aliases": False, "encodings.utf_8": False}
"""What the interpreter cannot start without, and whether it is a package."""


def compile_program(main: Path, scratch: Path) -> Path:
    """The program that runs the module in `main`, made in `scratch`.

    Raises SystemExit with the compiler's words.
    """
    (scratch / "frozen.h").write_text(frozen(main))
    python = library()
    if not python.exists():
        sys.exit(f"build: {python} is missing, which Debian's libpython3-dev has")
    target = scratch / "pycni"
    command = [
        "cc", "-O2", "-s", "-no-pie", "-Wall", "-Wextra", "-Werror",
        f"-I{scratch}", f"-isystem{sysconfig.get_path('include')}",
        "-o", str(target), str(HERE / "pycni.c"),
        # Extension modules look for Python in here, and ctypes for libraries beside it: DT_RPATH,
        # unlike DT_RUNPATH, holds for the libraries of a library too, and before LD_LIBRARY_PATH.
        "-Wl,--export-dynamic,--disable-new-dtags,-rpath,$ORIGIN",
        "-Wl,--whole-archive", str(python), "-Wl,--no-whole-archive",
        "-l:libexpat.a", "-l:libz.a", *sysconfig.get_config_var("LIBS").split(), "-lm",
    ]  # fmt: skip
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}build: the plugins' program does not compile")
    return target


def library() -> Path:
    """Python's own static library."""
    directory, name = sysconfig.get_config_vars("LIBPL", "LIBRARY")
    return Path(directory, name)


def frozen(main: Path) -> str:
    """A table of frozen modules in C: what Python starts with, and `main` as `__main__`."""
    sources = [(name, _source(name), package) for name, package in _FIRST.items()]
    arrays, rows = [], []
    for at, (name, source, package) in enumerate([*sources, ("__main__", main, False)]):
        text = source.read_bytes()
        code = compile(text, source.name, "exec", dont_inherit=True, optimize=_OPTIMIZE)
        numbers = ",".join(map(str, marshal.dumps(code)))
        arrays.append(f"static const unsigned char code{at}[] = {{{numbers}}};\n")
        rows.append(f'    {{"{name}", code{at}, sizeof code{at}, .is_package = {int(package)}}},\n')
    table = "".join(["static const struct _frozen frozen[] = {\n", *rows, "    {0},\n};\n"])
    return "".join([*arrays, table])


def _source(module: str) -> Path:
    package, _, name = module.partition(".")
    return Path(sysconfig.get_path("stdlib")) / package / f"{name or '__init__'}.py"
