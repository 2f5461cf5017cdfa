"""Install the executables into a directory, or remove them: `install.py [--remove] [FROM] BINDIR`.

Safe while a runtime is calling plugins there: the new library directory is laid beside the old
one, each executable is replaced by a rename, and an old library directory goes only when no
process uses it any more. Only what a build of ours left is ever removed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lean import CONTENTS_PREFIX

_UNFINISHED = ".pycni-unfinished"


def install(source: Path, target: Path) -> None:
    """Put the tree that `build.py` left in `source` into `target`, replacing an older one."""
    target.mkdir(parents=True, exist_ok=True)
    (contents,) = source.glob(f"{CONTENTS_PREFIX}*")
    if not (target / contents.name).is_dir():
        unfinished = target / f"{contents.name}{_UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(contents, unfinished)
        unfinished.rename(target / contents.name)
    copies: dict[int, Path] = {}
    for file in sorted(source.iterdir()):
        if file.is_file():
            _replace(file, target / file.name, copies)
    for old in _contents(target):
        if old.name != contents.name:
            _remove_unused(old)
    print(f"installed {', '.join(sorted(_executables(target)))} in {target}")


def _replace(file: Path, target: Path, copies: dict[int, Path]) -> None:
    """Copy `file` to `target` in one step for whoever looks; hard links stay hard links."""
    unfinished = target.with_name(f".{target.name}{_UNFINISHED}")
    unfinished.unlink(missing_ok=True)
    inode = file.stat().st_ino
    if inode in copies:
        os.link(copies[inode], unfinished)
    else:
        shutil.copy2(file, unfinished)
        copies[inode] = target
    unfinished.replace(target)


def remove(target: Path) -> None:
    """Remove from `target` what `install` put there, and nothing else."""
    names = _executables(target)
    for name in names:
        (target / name).unlink()
    for contents in _contents(target):
        _remove_unused(contents)
    print(f"removed {', '.join(sorted(names)) or 'nothing'} from {target}")


def _contents(target: Path) -> list[Path]:
    return [path for path in target.glob(f"{CONTENTS_PREFIX}*") if path.is_dir()]


def _executables(target: Path) -> list[str]:
    """The files in `target` that name a library directory of ours as theirs."""
    mark = CONTENTS_PREFIX.encode()
    return [path.name for path in target.iterdir() if path.is_file() and mark in path.read_bytes()]


def _remove_unused(contents: Path) -> None:
    """Remove an old library directory unless a running process has mapped a file of it."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            used = f"{contents}/" in maps.read_text(errors="replace")
        except OSError:  # it has ended
            continue
        if used:
            print(f"left {contents}, in use by process {maps.parent.name}, to the next install")
            return
    shutil.rmtree(contents)


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["--remove", target]:
            remove(Path(target).absolute())
        case [source, target]:
            install(Path(source).absolute(), Path(target).absolute())
        case _:
            sys.exit("usage: install.py FROM BINDIR | install.py --remove BINDIR")


if __name__ == "__main__":
    main(sys.argv[1:])
