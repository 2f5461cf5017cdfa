"""Systemd's units of the daemons: put them in place, and take them away."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cnitool.suite.files import UNFINISHED

_UNQUOTED = re.compile(r"/[\w./+@-]*", re.ASCII)
"""Paths that mean themselves everywhere in a unit."""


def install(templates: Path, directory: Path, bindir: Path) -> Iterator[str]:
    """Put the units of the daemons in `bindir` into `directory`. Starts and enables nothing.

    templates: the directory of the units with @BINDIR@ in them. Raises OSError.
    """
    if not _UNQUOTED.fullmatch(str(bindir)):
        yield f"left out systemd's units: {bindir} would need quotes in them"
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in _units(templates, bindir):
        unfinished = directory / f".{name}{UNFINISHED}"
        unfinished.write_text(text)
        unfinished.replace(directory / name)
    names = [name for name, _ in _units(templates, bindir)]
    yield (
        f"installed {', '.join(names)} in {directory}; a new build's daemon starts with\n"
        "  systemctl daemon-reload && systemctl enable cnid.socket cnid.service && "
        "systemctl restart cnid.socket cnid.service\n"
        "and likewise with cni-dhcp.socket cni-dhcp.service, for networks with dhcp"
    )


def remove(templates: Path, directory: Path, bindir: Path, *, stop: bool) -> Iterator[str]:
    """Remove what `install` put there, unless somebody has changed it.

    stop: also stop and disable them first, where systemd runs.
    """
    found = [(directory / name, text) for name, text in _units(templates, bindir)]
    ours = [unit for unit, text in found if unit.exists() and unit.read_text() == text]
    if ours and stop:
        yield from _stop([unit.name for unit in ours])
    for unit, _ in found:
        if unit in ours:
            unit.unlink()
            yield f"removed {unit}"
        elif unit.exists():
            yield f"left {unit}, which is not as it was installed"


def _stop(names: list[str]) -> Iterator[str]:
    if not Path("/run/systemd/system").is_dir() or not shutil.which("systemctl"):
        return
    done = subprocess.run(
        ["systemctl", "disable", "--now", "--quiet", *names],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    yield f"stopped {', '.join(names)}" if not done.returncode else done.stderr.strip()


def _units(templates: Path, bindir: Path) -> Iterator[tuple[str, str]]:
    for unit in sorted(templates.iterdir()):
        yield unit.name, unit.read_text().replace("@BINDIR@", str(bindir))
