"""`cnitool install` and `cnitool uninstall`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cni.errors import INVALID_ENVIRONMENT, CniError
from cni.record import record
from cnitool.suite import files, share, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnitool.settings import Settings

SHARE = "pycni-share"
"""Beside the executables of a release: what else belongs on a host."""
_SHARES = ("/usr/local/share", "/usr/share")


def _beside() -> Path:
    """The directory of the bundle, when it is the bundle that runs."""
    return Path(os.path.realpath(sys.executable)).parent


@record
class Places:
    """root: where the machine's root is that this is for. bindir, units, share: as they will be
    named there; the last two empty to leave them out. source: the release; documents: the tree of
    its documents."""

    root: str
    bindir: str
    units: str
    share: str
    source: str = ""
    documents: str = ""

    def below(self, path: str) -> Path:
        """A directory of that machine, seen from this one."""
        return Path(self.root).absolute() / os.path.relpath(os.path.abspath(path), "/")

    def release(self) -> Path:
        """The directory with the executables. Raises CniError(INVALID_ENVIRONMENT)."""
        found = Path(self.source or _beside())
        if not any(found.glob(f"{files.CONTENTS_PREFIX}*/")):
            raise CniError(
                INVALID_ENVIRONMENT,
                f"--from: {found} has no {files.CONTENTS_PREFIX}* in it, expected a release",
            )
        return found

    def templates(self) -> Path:
        """The directory of the units. Raises CniError(INVALID_ENVIRONMENT)."""
        return self.shared() / "pycni/systemd"

    def shared(self) -> Path:
        """The release's documents, or those installed. Raises CniError(INVALID_ENVIRONMENT)."""
        if self.documents:
            places = [Path(self.documents)]
        else:
            places = [_beside() / SHARE, *map(self.below, filter(None, (self.share, *_SHARES)))]
        for place in places:
            if (place / "pycni/systemd").is_dir():
                return place
        raise CniError(
            INVALID_ENVIRONMENT,
            f"--documents: found no pycni/systemd in {', '.join(map(str, places))}, expected the "
            "documents of a release",
        )


def install(places: Places) -> int:
    """Put executables and what else is asked for in place. Raises CniError, OSError."""
    release, target = places.release(), places.below(places.bindir)
    if release.resolve() != target.resolve():
        _tell(files.install(release, target, Path(places.bindir).absolute()))
    else:  # unpacked in place
        print(f"{target} has {', '.join(sorted(files.executables(target)))} of this release")
    if places.units:
        where = places.below(places.units)
        _tell(units.install(places.templates(), where, Path(places.bindir).absolute()))
    if places.share:
        _tell(share.install(places.shared(), places.below(places.share)))
    return 0


def uninstall(
    settings: Settings, places: Places, *, keep_rules: bool, only_rules: bool = False
) -> int:
    """Take it away, and bring back what stood there before. Raises CniError, OSError.

    keep_rules: leave rules of running containers where they are. only_rules: only move them, for a
    package manager that takes the rest away.
    """
    target = places.below(places.bindir)
    live = Path(places.root).resolve() == Path("/")
    coming = set(files.kept(target)) if target.is_dir() else set()
    if live and only_rules:
        _hand_over(settings, places, None)
    elif live and coming and not keep_rules:
        _hand_over(settings, places, coming)
    else:
        _take_away(places, live)
    return 0


def _hand_over(settings: Settings, places: Places, coming: set[str] | None) -> None:
    """The executables last: until then every call finds a suite that knows its rules.

    coming: the former suite's, for which ours go; None to let ours stay.
    """
    from cnitool.suite.handover import Handover, strangers

    ours = _with_path(settings, places.bindir)
    if coming is not None:
        for line in strangers(ours, coming | _foreign(places)):
            print(line)
    handover = Handover(ours)
    try:
        _tell(handover.begin())
        if coming is not None:
            _take_away(places, live=True)
    finally:
        handover.end()


def _foreign(places: Places) -> set[str]:
    target = places.below(places.bindir)
    return {one.name for one in target.iterdir()} - {*files.executables(target)}


def _with_path(settings: Settings, bindir: str) -> Settings:
    from cnitool.settings import Settings as Record

    return Record(
        (os.path.abspath(bindir),),
        settings.conf_dir,
        settings.environ,
        settings.ifname,
        settings.cache_dir,
        settings.timeout,
    )


def _take_away(places: Places, live: bool) -> None:
    if places.units:
        where = places.below(places.units)
        bindir = Path(places.bindir).absolute()
        _tell(units.remove(places.templates(), where, bindir, stop=live))
    if places.share:
        _tell(share.remove(places.below(places.share)))
    _tell(files.remove(places.below(places.bindir), Path(places.bindir).absolute()))


def _tell(lines: Iterator[str]) -> None:
    for line in lines:
        print(line)
