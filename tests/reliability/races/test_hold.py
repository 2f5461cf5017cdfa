"""Two calls at once, wherever one can meet the other: no failure, nothing double, nothing left.

A is held before each system call that can change something, one after the other; there B runs to
its end. Where B is about to wait for a lock that A has, A is let go first: that is what happens to
B, only faster.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INTERNAL, PORT_TAKEN
from libcni import NetworkConfigList
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.syscalls import Supervisor
from tests.kit.tables import Publish
from tests.reliability.races import networks
from tests.reliability.races.cases import CASES, PORT, Act, Case
from tests.reliability.races.meet import Met, changes_something, meet
from tests.reliability.races.stage import Containers, Stage, child

Make = Callable[[Host], NetworkConfigList]
NETWORKS: tuple[tuple[str, Make, int], ...] = (
    ("bridge", networks.published, 1),
    ("pruned", networks.pruned, 1),
    ("iptables", networks.by_iptables, 4),
    ("ptp", networks.routed, 1),
    ("vxlan", networks.overlay, 1),
    ("macvlan", networks.lan, 1),
)
"""With the distance between two points, in the whole matrix."""
COUNTED = ("points of A", "B waited", "one refused")
HEADINGS = ("A, B", *(f"{host}: {what}" for host in ("new host", "used") for what in COUNTED))
_tables: dict[str, dict[str, list[object]]] = {}
"""The rows of each network's table, by case."""


def judge(stage: Stage, case: Case, met: Met, *, neighbour: bool) -> None:
    """Look what came of it. Raises AssertionError."""
    present, reported = set(case.after), set[str]()
    for name, who, outcome in (("A", "a", met.a), ("B", "b", met.b)):
        assert outcome.stderr == b"", outcome.stderr.decode()
        document: Any = json.loads(outcome.stdout or b"null")
        if outcome.status:
            assert outcome.status == 1, outcome
            assert document["code"] != INTERNAL, document
            assert name not in case.succeed, f"{name} failed: {document}"
        elif document is not None:
            stage.attached(who, document, PORT if case.one_wins else 0)
            reported.add(who)
    if case.one_wins:
        present = {_winner(met)}
    for who in sorted(present | ({"n"} if neighbour else set())):
        stage.check(who)
    for who in reported - present:
        # Another call took it away, of which no ADD can know; CHECK must.
        try:
            stage.check(who)
        except PluginError as error:
            assert error.code == CHECK_FAILED, error.document  # noqa: PT017
    ips = [one["address"] for who in present for one in stage.known[who][0]["ips"]]
    assert len(set(ips)) == len(ips), ips


def _winner(met: Met) -> str:
    """The one of the two that has the port; the other was told so."""
    failed = [one for one in (met.a, met.b) if one.status]
    assert len(failed) == 1, f"{len(failed)} of two failed"
    winner = "a" if failed[0] is met.b else "b"
    document = json.loads(failed[0].stdout)
    assert document["code"] == PORT_TAKEN, document
    assert f"container {winner} on network" in document["msg"], document
    return winner


class Play:
    """A case on one kind of host of one network."""

    def __init__(self, stages: Callable[[], Stage], supervisor: Supervisor, case: Case) -> None:
        self._stages = stages
        self._supervisor = supervisor
        self._case = case
        self._expected: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()

    def on_used_host(self, numbers: Iterable[int]) -> None:
        """One host for all points, with a neighbour that stays."""
        with self._stages() as stage:
            stage.attach("n")
            self._rehearse(stage)
            for number in numbers:
                if not self._act(stage, number, neighbour=True):
                    break
            stage.delete("n")

    def on_new_hosts(self, numbers: Iterable[int]) -> None:
        """One for each point, without anything that attachments share."""
        with self._stages() as stage:
            self._rehearse(stage)
        for number in numbers:
            with self._stages() as stage:
                if not self._act(stage, number, neighbour=False):
                    break

    def length(self) -> int:
        """How many points A has; on a host of its own."""
        with self._stages() as stage:
            self._rehearse(stage)  # which also has everything imported
            for who in self._case.before:
                stage.attach(who)
            act = self._target(self._case.a, stage)
            points = self._supervisor.run(act, counts=changes_something()).points
            self._clean(stage)
        return len(points)

    def _target(self, act: Act, stage: Stage) -> Callable[[], int]:
        return child(lambda: act(stage))

    def _rehearse(self, stage: Stage) -> None:
        """What is left when one call comes after the other, which all else is compared with."""
        for who in self._case.before:
            stage.attach(who)
        for act in (self._case.a, self._case.b):
            with suppress(PluginError):
                act(stage)
        self._clean(stage)
        self._expected = Counter(stage.state())

    def _act(self, stage: Stage, number: int, *, neighbour: bool) -> bool:
        """False where A has no such point."""
        for who in self._case.before:
            stage.attach(who)
        try:
            a, b = (self._target(act, stage) for act in (self._case.a, self._case.b))
            met = meet(self._supervisor, a, b, number)
            if met is not None:
                judge(stage, self._case, met, neighbour=neighbour)
            self._clean(stage)
            left = Counter(stage.state()) - self._expected
            assert not left, sorted(left)
        except (AssertionError, PluginError) as error:
            print(f"{self._case.name}, at point {number} of A: {error}")  # noqa: T201
            error.add_note(f"{self._case.name}, at point {number} of A")
            raise
        if met is None:
            return False
        self.counted["points"] += 1
        self.counted["waited"] += met.waited
        self.counted["failed"] += bool(met.a.status or met.b.status)
        return True

    def _clean(self, stage: Stage) -> None:
        for who in "ab":
            stage.delete(who)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as made:
        yield made


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("title", "network", "distance"), NETWORKS, ids=[n[0] for n in NETWORKS])
@pytest.mark.parametrize("used", [False, True], ids=["new host", "used host"])
def test_one_call_in_the_middle_of_another(
    title: str,
    network: Make,
    distance: int,
    *,
    used: bool,
    whole: bool,
    host: Host,
    tmp_path: Path,
    supervisor: Supervisor,
    publish: Publish,
) -> None:
    runtime = Runtime(tmp_path)
    has_ports = network not in (networks.pruned, networks.overlay, networks.lan)
    cases = [one for one in CASES if has_ports or not one.one_wins]
    if not whole:
        cases = cases[used :: 4 if network is networks.published else 9 + used]
    rows = _tables.setdefault(title, {})
    with Containers() as containers:
        for turn, case in enumerate(cases):
            play = Play(lambda: Stage(host, runtime, network, containers), supervisor, case)
            numbers: Iterable[int] = itertools.count(1, distance)
            if not whole:
                length = play.length()
                numbers = [1 + turn * length // len(cases) % length]
            (play.on_used_host if used else play.on_new_hosts)(numbers)
            assert play.counted["points"] > 0
            row = rows.setdefault(case.name, list[object]([""] * 2 * len(COUNTED)))
            counted = [play.counted[what] for what in ("points", "waited", "failed")]
            row[3 * used : 3 * used + 3] = counted
            publish(f"races-{title}", HEADINGS, [[name, *row] for name, row in rows.items()])
