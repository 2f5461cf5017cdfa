"""Man pages, completion and schemas: put them below /usr/local/share, and take them away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

_LIST = "pycni/installed"
"""Names, relative to the directory, all that was put there."""


def install(source: Path, target: Path) -> Iterator[str]:
    """Copy the documents that a release has in `source`, or that were installed there.

    Raises OSError.
    """
    if source.resolve() == target.resolve():  # `cnitool` that is installed, called again
        yield f"{target} has these man pages and completion"
        return
    files = _documents(source)
    for name in set(_installed(target)) - set(files):
        (target / name).unlink(missing_ok=True)
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    (target / _LIST).write_text("".join(f"{name}\n" for name in files))
    yield f"installed man pages and completion in {target}"


def remove(target: Path) -> Iterator[str]:
    """Remove what `install` put there, and the directories of ours that are empty then."""
    names = _installed(target)
    if not names:
        return
    for name in [*names, _LIST]:
        (target / name).unlink(missing_ok=True)
    for directory in sorted({(target / name).parent for name in [*names, _LIST]}, reverse=True):
        if "pycni" in directory.relative_to(target).parts:
            directory.rmdir()
    yield f"removed man pages and completion from {target}"


def _documents(source: Path) -> list[str]:
    """All of a release's tree; of a directory like /usr/local/share what was put there, since the
    rest is others'."""
    listed = _installed(source)
    found = [source / name for name in listed] if listed else source.rglob("*")
    return sorted(str(one.relative_to(source)) for one in found if one.is_file())


def _installed(target: Path) -> list[str]:
    try:
        names = (target / _LIST).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [name for name in names if name and ".." not in Path(name).parts]
