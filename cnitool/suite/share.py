"""Man pages, completion and schemas: put them below /usr/local/share, and take them away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

_LIST = "pycni/installed"
"""Names, relative to the directory, all that was put there."""


def install(source: Path, target: Path) -> Iterator[str]:
    """Copy the documents that a release has in `source`. Raises OSError."""
    files = sorted(str(one.relative_to(source)) for one in source.rglob("*") if one.is_file())
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


def _installed(target: Path) -> list[str]:
    try:
        names = (target / _LIST).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [name for name in names if name and ".." not in Path(name).parts]
