"""Install the executables into a directory, or remove them.

    install.py [--root DIR] [--units UNITDIR] FROM BINDIR
    install.py --remove [--root DIR] [--units UNITDIR] BINDIR

Safe while a runtime is calling plugins there: the new library directory is laid beside the old
one, each executable is replaced by a rename, and an old library directory goes only when no
process uses it any more. Only what a build of ours left is ever removed.

--units: also systemd's units of the daemons, which name BINDIR. --root: where the machine's root is
that this is for (DESTDIR of a package build).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from lean import CONTENTS_PREFIX

_UNFINISHED = ".pycni-unfinished"
_UNITS = Path(__file__).resolve().parent / "systemd"
_UNQUOTED = re.compile(r"/[\w./+@-]*", re.ASCII)
"""Paths that mean themselves everywhere in a unit."""


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


def install_units(directory: Path, bindir: Path) -> None:
    """Put the units of the daemons in `bindir` into `directory`. Starts and enables nothing."""
    if not _UNQUOTED.fullmatch(str(bindir)):
        print(f"left out systemd's units: {bindir} would need quotes in them")
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in _units(bindir):
        unfinished = directory / f".{name}{_UNFINISHED}"
        unfinished.write_text(text)
        unfinished.replace(directory / name)
    names = [name for name, _ in _units(bindir)]
    print(
        f"installed {', '.join(names)} in {directory}; a new build's daemon starts with\n"
        "  systemctl daemon-reload && systemctl enable cnid.socket cnid.service && "
        "systemctl restart cnid.socket cnid.service\n"
        "and likewise with cni-dhcp.socket cni-dhcp.service, for networks with dhcp"
    )


def remove_units(directory: Path, bindir: Path) -> None:
    """Remove what `install_units` put there, unless somebody has changed it."""
    for name, text in _units(bindir):
        unit = directory / name
        if not unit.exists():
            continue
        if unit.read_text() == text:
            unit.unlink()
            print(f"removed {unit}")
        else:
            print(f"left {unit}, which is not as it was installed")


def _units(bindir: Path) -> Iterator[tuple[str, str]]:
    for unit in sorted(_UNITS.iterdir()):
        yield unit.name, unit.read_text().replace("@BINDIR@", str(bindir))


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


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Install the executables.")
    parser.add_argument("--remove", action="store_true")
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--units", type=Path)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIRECTORY")
    asked = parser.parse_args()
    *sources, bindir = (path.absolute() for path in asked.directories)
    if len(sources) != (not asked.remove):
        parser.error("expected FROM BINDIR, or --remove BINDIR")
    target = _below(asked.root, bindir)
    units = _below(asked.root, asked.units.absolute()) if asked.units else None
    if asked.remove:
        remove(target)
    else:
        install(sources[0], target)
    if units:
        (remove_units if asked.remove else install_units)(units, bindir)


def _below(root: Path, path: Path) -> Path:
    return root.absolute() / path.relative_to("/")


if __name__ == "__main__":
    main()
