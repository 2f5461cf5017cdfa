"""Every plugin, verb by verb: the reference, if it has it, cold and warm take turns as ever."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bench.attachment import Attachment
from bench.cases import START, Bar, Case, Row, race
from bench.entries import BEFORE, ENTRIES, WARM_BAR, Entry
from bench.field import COLD, WARM, Field, Suite, open_field
from bench.process import Timed
from tests.kit.namespace import Namespace

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"

_UNKNOWN = "Unknown device type"
KERNEL = "the kernel"
"""In the place of a verb: what the kernel alone takes of an ADD."""


@dataclass
class Measured:
    """rows: of all plugins. left_out: the reason for each that is not among them. failed: of these,
    the ones in which a call failed. unknown: of these, the ones whose links this kernel does not
    know, and the plugin of each. kernel: the release of that where it was measured.
    """

    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    unknown: dict[str, str] = field(default_factory=dict)
    kernel: str = field(default_factory=platform.release)

    def resume(self, elsewhere: Measured) -> None:
        """What was unknown has been tried in another kernel: its reasons are the ones now."""
        for name in self.unknown:
            del self.left_out[name]
        self.left_out |= elsewhere.left_out
        self.failed |= elsewhere.failed


def measure(
    ours: Path, reference: Path, plugins: Collection[str], rounds: int, say: Callable[[str], None]
) -> Measured:
    """Race them, each on hosts of its own. ours, reference: the executables' directories."""
    measured = Measured()
    for plugin in plugins:
        for entry in ENTRIES.get(plugin, ()):
            name = f"{plugin} ({entry.way})" if entry.way else plugin
            say(f"racing {name}")
            with open_field() as place:
                if entry.kind and not _knows(place.namespace(), entry.kind):
                    measured.left_out[name] = f"this kernel has no {entry.kind}"
                    measured.unknown[name] = plugin
                    continue
                if reason := _hindrance(plugin, entry, ours):
                    measured.left_out[name] = reason
                    continue
                suites: tuple[Suite, ...] = place.ours(ours)
                if (reference / plugin).exists():
                    suites = (*suites, place.reference(reference))
                try:
                    measured.rows += _race(name, entry, suites, place, rounds)
                except RuntimeError as error:
                    measured.left_out[name] = str(error)
                    measured.failed.add(name)
    return measured


def _hindrance(plugin: str, entry: Entry, ours: Path) -> str:
    """What is missing here, or nothing."""
    if not (ours / plugin).exists():
        return "this suite has none"
    if entry.program and not shutil.which(entry.program):
        return f"{entry.program} is not installed"
    return ""


def _knows(namespace: Namespace, kind: str) -> bool:
    """Whether the kernel has links of this kind. It looks for that before it looks at the rest."""
    asked = namespace.command("ip", "link", "add", "name", "asked", "type", kind, check=False)
    return _UNKNOWN not in asked.stderr


def _race(name: str, entry: Entry, suites: Sequence[Suite], place: Field, rounds: int) -> list[Row]:
    """suites: cold, warm, and the reference if it has the plugin."""
    cold, warm, *references = suites
    previous = {suite.host: _lay(entry, suite, place) for suite in (cold, *references)}
    starts = entry.cold is not None and entry.cold.against == START

    def once(suite: Suite) -> dict[str, Timed]:
        if entry.renew:
            entry.renew(suite)
        one = Attachment(
            suite, [entry.config(suite)], ifname=entry.ifname, previous=previous[suite.host]
        )
        timed: dict[str, Timed] = {}
        if starts and suite in references:
            timed["VERSION"] = one.version()
        if entry.kernel and suite in references:
            timed[KERNEL] = entry.kernel(suite)
        timed["ADD"] = one.add()
        if entry.their_check or suite not in references:
            timed["CHECK"] = one.check()
        timed["DEL"] = one.delete()
        return timed

    rows = race(Case(name, _bars(entry.cold), once), suites, rounds)
    assert warm.daemon
    if refused := warm.daemon.refused():
        raise RuntimeError(f"{refused} warm calls ran cold")
    return rows


def _lay(entry: Entry, suite: Suite, place: Field) -> Json:
    """Make a host as the plugin expects it; gives what a plugin before it says."""
    if entry.furnish:
        entry.furnish(suite, place)
    if not entry.chained:
        return None
    made: Json = json.loads(Attachment(suite, [BEFORE]).add().output)
    return made


def _bars(cold: Bar | None) -> dict[str, dict[str, Bar]]:
    add = {WARM: WARM_BAR} if cold is None else {COLD: cold, WARM: WARM_BAR}
    return {"VERSION": {}, KERNEL: {}, "ADD": add, "CHECK": {}, "DEL": {}}
