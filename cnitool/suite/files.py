"""Install the executables into a directory, or remove them.

Safe while a runtime is calling plugins there: the new library directory is laid beside the old
one, each executable is replaced by a rename, and an old library directory goes only when no
process uses it any more. Only what a build of ours left is ever removed. What stood there of
another suite is kept under another name, and comes back when ours goes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

CONTENTS_PREFIX = "pycni-lib-"
"""Of the library directory; the digest of its content follows."""
FORMER = ".pycni-former"
"""Follows the name of an executable of another suite that ours stands in for."""
UNFINISHED = ".pycni-unfinished"


def install(source: Path, target: Path, named: Path | None = None) -> Iterator[str]:
    """Put the tree that a build left in `source` into `target`; says what it has done.

    named: what `target` is called on its machine, where this process has another root. Raises
    OSError.
    """
    target.mkdir(parents=True, exist_ok=True)
    (contents,) = source.glob(f"{CONTENTS_PREFIX}*/")
    if not (target / contents.name).is_dir():
        unfinished = target / f"{contents.name}{UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(contents, unfinished)
        unfinished.rename(target / contents.name)
    copies: dict[int, Path] = {}
    kept: list[str] = []
    for name in sorted(executables(source)):
        if _keep(target / name):
            kept.append(name)
        _replace(source / name, target / name, copies)
    yield f"installed {', '.join(sorted(executables(target)))} in {target}"
    if kept:
        yield f"kept {', '.join(kept)} of another suite, to come back when this one is uninstalled"
    yield from _remove_old(target, named or target, keep=contents.name)


def remove(target: Path, named: Path | None = None) -> Iterator[str]:
    """Remove from `target` what `install` put there; bring back what it kept. Raises OSError."""
    names = sorted(executables(target))
    back = [name for name in names if os.path.lexists(former(target / name))]
    for name in names:
        if name in back:
            former(target / name).replace(target / name)
        else:
            (target / name).unlink()
    yield f"removed {', '.join(one for one in names if one not in back) or 'nothing'} from {target}"
    if back:
        yield f"brought back {', '.join(back)} of the former suite"
    for left in sorted(target.glob(f"*{FORMER}")):
        yield f"left {left}: somebody has put another {left.name.removesuffix(FORMER)} in its place"
    yield from _remove_old(target, named or target)


def executables(target: Path) -> list[str]:
    """The files in `target` that name a library directory of ours as theirs."""
    mark = CONTENTS_PREFIX.encode()
    return [
        path.name
        for path in target.iterdir()
        if path.is_file() and not path.name.startswith(".") and mark in path.read_bytes()
    ]


def kept(target: Path) -> list[str]:
    """The names of the executables of another suite that would come back."""
    return sorted(path.name.removesuffix(FORMER) for path in target.glob(f"*{FORMER}"))


def former(path: Path) -> Path:
    """Where the executable is kept that stood at `path` before."""
    return path.with_name(path.name + FORMER)


def _keep(path: Path) -> bool:
    """Give another suite's executable a second name beside its own, links included."""
    if not os.path.lexists(path):
        return False
    if path.is_file() and CONTENTS_PREFIX.encode() in path.read_bytes():
        return False
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    unfinished.unlink(missing_ok=True)
    os.link(path, unfinished, follow_symlinks=False)
    unfinished.replace(former(path))
    return True


def _replace(file: Path, target: Path, copies: dict[int, Path]) -> None:
    """Copy `file` to `target` in one step for whoever looks; hard links stay hard links."""
    unfinished = target.with_name(f".{target.name}{UNFINISHED}")
    unfinished.unlink(missing_ok=True)
    inode = file.stat().st_ino
    if inode in copies:
        os.link(copies[inode], unfinished)
    else:
        shutil.copy2(file, unfinished)
        copies[inode] = target
    unfinished.replace(target)


def _remove_old(target: Path, named: Path, keep: str = "") -> Iterator[str]:
    """Remove library directories but one, unless a running process has mapped a file of it."""
    for contents in target.glob(f"{CONTENTS_PREFIX}*/"):
        if contents.name == keep:
            continue
        user = _user(named / contents.name)
        if user:
            yield f"left {contents}, in use by process {user}, to the next install"
        else:
            shutil.rmtree(contents)


def _user(contents: Path) -> str:
    """A process that has a file of it mapped, or is a launcher that is about to execute it."""
    replaced = re.compile(rf" {re.escape(str(contents.parent))}/[^/\n]+ \(deleted\)$", re.MULTILINE)
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if maps.parent.name == str(os.getpid()):  # all it needs is in memory
            continue
        try:
            mapped = maps.read_text(errors="replace")
        except OSError:  # it has ended, or is one that not even root may look into
            continue
        if f"{contents}/" in mapped or replaced.search(mapped):
            return maps.parent.name
    return ""
