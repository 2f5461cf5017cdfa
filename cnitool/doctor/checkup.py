"""All checks, one after the other, and how they are shown."""

from __future__ import annotations

import sys

from cnitool import show
from cnitool.doctor import install, kernel, networks, system
from cnitool.doctor.model import ERROR, NOTE, OK, WARNING, Finding, Host
from cnitool.state import world

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnitool.settings import Settings

CHECKS: tuple[tuple[str, Callable[[Host], Iterator[Finding]]], ...] = (
    ("kernel", kernel.links),
    ("kernel", kernel.filters),
    ("sysctl", system.settings),
    ("firewall", system.forwarding),
    ("firewall", system.others),
    ("plugins", install.executables),
    ("daemon", install.daemon),
    ("networks", networks.configurations),
    ("attachments", networks.leftovers),
    ("ipam", networks.ranges),
)
_MARKS = {ERROR: "✗", WARNING: "!", NOTE: "i", OK: "✓"}
_COLOURS = {ERROR: "\x1b[31m", WARNING: "\x1b[33m", NOTE: "\x1b[36m", OK: "\x1b[32m"}


def run(settings: Settings, *, as_json: bool) -> int:
    """Show every finding; 1 where one is an error. Raises CniError, OSError."""
    seen = world.read(settings)
    used = frozenset().union(*(one.executables for one in seen.networks))
    host = Host(settings, seen, used)
    found = list(examine(host))
    if as_json:
        show.document(
            [
                {"level": one.level, "area": one.area, "text": one.text, "remedy": one.remedy}
                for one in found
            ]
        )
    else:
        for one in found:
            _print(one)
        errors, warnings = (sum(one.level == level for one in found) for level in (ERROR, WARNING))
        sys.stdout.write(f"\n{errors} errors, {warnings} warnings\n")
    return 1 if any(one.level == ERROR for one in found) else 0


def examine(host: Host) -> Iterator[Finding]:
    """Everything. A check that cannot be made is a finding, and keeps none from being made."""
    for area, check in CHECKS:
        try:
            yield from check(host)
        except OSError as error:
            yield Finding(WARNING, area, f"cannot be examined: {error}", "run it as root")


def _print(one: Finding) -> None:
    begin, end = (_COLOURS[one.level], "\x1b[0m") if show.in_colours() else ("", "")
    sys.stdout.write(f"{begin}{_MARKS[one.level]} {one.area:<11}{end} {one.text}\n")
    if one.remedy:
        sys.stdout.write(f"{'':14}{one.remedy}\n")
