"""What is measured, and the bars it is held to: the promises for the cold executables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.attachment import Attachment, bridge, host_local, portmap
from bench.field import Suite
from bench.process import Timed

_PORT = 8080
_WARM_UP = 2


@dataclass(frozen=True)
class Bar:
    """A promise. limit: ours against `against` as a factor, or CPU milliseconds without it."""

    limit: float
    against: str = ""


@dataclass
class Row:
    """One verb of one case: a list of measurements for each suite, in the order they were made."""

    case: str
    verb: str
    bar: Bar | None = None
    timed: dict[str, list[Timed]] = field(default_factory=dict)

    def wall(self, suite: str) -> float:
        """Median wall-clock time in milliseconds."""
        return statistics.median(one.wall for one in self.timed[suite]) * 1000

    def cpu(self, suite: str) -> float:
        """Median CPU time in milliseconds."""
        return statistics.median(one.cpu for one in self.timed[suite]) * 1000

    def ratio(self, suite: str, against: str) -> float:
        """Median wall-clock time of one suite as a factor of another's."""
        return self.wall(suite) / self.wall(against)


@dataclass(frozen=True)
class Case:
    """A name, the bars by verb, and a function that measures every verb once."""

    name: str
    bars: dict[str, Bar | None]
    measure: Callable[[Suite], dict[str, Timed]]


def _version(suite: Suite) -> dict[str, Timed]:
    return {"VERSION": Attachment(suite, [bridge(suite, True)]).version()}


def _host_local(suite: Suite) -> dict[str, Timed]:
    one = Attachment(suite, [host_local(suite)])
    return {"ADD": one.add(), "DEL": one.delete()}


def _bridge(suite: Suite) -> dict[str, Timed]:
    one = Attachment(suite, [bridge(suite, False)])
    return {"ADD": one.add(), "DEL": one.delete()}


def _chain(suite: Suite) -> dict[str, Timed]:
    one = Attachment(suite, [bridge(suite, True), portmap(_PORT)])
    return {"ADD": one.add(), "DEL": one.delete()}


def _nothing(suite: Suite) -> dict[str, Timed]:
    one = Attachment(suite, [bridge(suite, True), portmap(_PORT)], container_id="unknown")
    return {"DEL": one.delete()}


def against_reference(ours: str, reference: str) -> list[Case]:
    """The cases in which both suites run."""
    del ours
    return [
        Case("VERSION", {"VERSION": Bar(30)}, _version),
        Case("host-local alone", {"ADD": None, "DEL": None}, _host_local),
        Case("bridge + host-local", {"ADD": None, "DEL": None}, _bridge),
        Case(
            "bridge (ipMasq) + host-local + portmap",
            {"ADD": Bar(1.0, reference), "DEL": Bar(0.5, reference)},
            _chain,
        ),
        Case("the same, nothing to delete", {"DEL": None}, _nothing),
    ]


def growth(base: str) -> Case:
    """The whole chain, with suites that differ only in how many containers are there already."""
    bar = Bar(1.2, base)
    return Case("whole chain with others there", {"ADD": bar, "DEL": bar}, _chain)


def race(case: Case, suites: Sequence[Suite], rounds: int) -> list[Row]:
    """Measure the case `rounds` times, the suites taking turns, and who is first too."""
    rows = {verb: Row(case.name, verb, bar) for verb, bar in case.bars.items()}
    for number in range(-_WARM_UP, rounds):
        turn = suites if number % 2 == 0 else tuple(reversed(suites))
        for suite in turn:
            for verb, timed in case.measure(suite).items():
                if number >= 0:
                    rows[verb].timed.setdefault(suite.name, []).append(timed)
    return list(rows.values())
