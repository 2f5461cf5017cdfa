"""What is measured, and the bars it is held to: the project's promises."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.attachment import Attachment, bridge, host_local, portmap
from bench.field import COLD, REFERENCE, WARM, Suite
from bench.process import Timed

_PORT = 8080
_WARM_UP = 2
EMPTY = "empty"
START = "start"
CHAIN = "bridge (ipMasq) + host-local + portmap"


@dataclass(frozen=True)
class Bar:
    """A promise. limit: ours against `against` as a factor, or CPU milliseconds without it.

    against: another suite, or `EMPTY`, the same suite on a host without other containers, or
    `START`, the reference's VERSION, which does nothing but start.
    """

    limit: float
    against: str = ""


@dataclass
class Row:
    """One verb of one case: a list of measurements for each suite, in the order they were made.

    bars: by suite. size: how many other containers are on the host.
    """

    case: str
    verb: str
    bars: Mapping[str, Bar] = field(default_factory=dict)
    size: int = 0
    timed: dict[str, list[Timed]] = field(default_factory=dict)

    def wall(self, suite: str) -> float:
        """Median wall-clock time in milliseconds."""
        return statistics.median(one.wall for one in self.timed[suite]) * 1000

    def cpu(self, suite: str) -> float:
        """Median CPU time in milliseconds."""
        return statistics.median(one.cpu for one in self.timed[suite]) * 1000


@dataclass(frozen=True)
class Case:
    """A name, the bars by verb and suite, and a function that measures every verb once."""

    name: str
    bars: Mapping[str, Mapping[str, Bar]]
    measure: Callable[[Suite], dict[str, Timed]]


def _version(suite: Suite) -> dict[str, Timed]:
    return {"VERSION": Attachment(suite, [bridge(suite, True)]).version()}


def _python(suite: Suite) -> dict[str, Timed]:
    if suite.name != COLD:
        return {}
    (executable,) = suite.directory.glob("pycni-lib-*/pycni")
    return {"VERSION": Attachment(suite, [bridge(suite, True)]).version(executable)}


def _status(suite: Suite) -> dict[str, Timed]:
    return {"STATUS": Attachment(suite, [bridge(suite, True), portmap(_PORT)]).status()}


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


def _than_reference(cold: float | None, warm: float | None) -> dict[str, Bar]:
    limits = {COLD: cold, WARM: warm}
    return {name: Bar(limit, REFERENCE) for name, limit in limits.items() if limit is not None}


def against_reference() -> list[Case]:
    """The cases in which every suite runs."""
    return [
        Case("VERSION", {"VERSION": _than_reference(0.5, 0.5)}, _version),
        Case("VERSION by Python", {"VERSION": {COLD: Bar(30)}}, _python),
        Case("the chain (reference: VERSION)", {"STATUS": _than_reference(None, 0.5)}, _status),
        Case("host-local", {"ADD": {}, "DEL": {}}, _host_local),
        Case("bridge + host-local", {"ADD": {}, "DEL": {}}, _bridge),
        Case(
            CHAIN,
            {"ADD": _than_reference(1.0, 0.12), "DEL": _than_reference(0.5, 0.25)},
            _chain,
        ),
        Case("the same, nothing to delete", {"DEL": {}}, _nothing),
    ]


def growth() -> Case:
    """The whole chain, with suites that differ only in how many containers are there already."""
    bars = dict.fromkeys((COLD, WARM), Bar(1.2, EMPTY))
    return Case(CHAIN, {"ADD": bars, "DEL": bars}, _chain)


def race(case: Case, suites: Sequence[Suite], rounds: int) -> list[Row]:
    """Measure the case `rounds` times, the suites taking turns, and who is first too.

    Gives a row for each verb and each size of the suites' hosts.
    """
    rows: dict[tuple[str, int], Row] = {}
    for number in range(-_WARM_UP, rounds):
        turn = suites if number % 2 == 0 else tuple(reversed(suites))
        for suite in turn:
            for verb, timed in case.measure(suite).items():
                made = Row(case.name, verb, case.bars[verb], suite.size)
                row = rows.setdefault((verb, suite.size), made)
                if number >= 0:
                    row.timed.setdefault(suite.name, []).append(timed)
    return [
        rows[key] for key in sorted(rows, key=lambda key: (list(case.bars).index(key[0]), key[1]))
    ]
