"""Two containers of two networks want one host port at once: just one gets it, at every point.

portmap alone, since nothing else decides it. The one is held before each system call of its ADD,
while the other's runs.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from cni.errors import PORT_TAKEN
from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.namespace import CLONE_NEWNET, Namespace, libc
from tests.kit.syscalls import Supervisor
from tests.kit.tables import Publish, Row
from tests.reliability.races.meet import Met, meet
from tests.reliability.races.stage import child

SINGLE = "192.0.2.1"
PAIRS = (("", ""), ("", SINGLE), (SINGLE, ""), (SINGLE, SINGLE))
PORT = 8080
SAMPLE = 29
"""In a sample, one of so many points."""
_rows: list[Row] = []


class Wants:
    """What the two ask for: each its own address, all at the same port."""

    def __init__(self, runtime: Runtime, netns: Namespace, backend: str, pair: tuple[str, str]):
        self._runtime = runtime
        self._netns = netns
        self._backend = backend
        self._at = dict(zip("ab", pair, strict=True), n=SINGLE)

    def _config(self, who: str) -> dict[str, Any]:
        port = PORT if who != "n" else PORT + 1
        mapping = {"hostPort": port, "containerPort": 80, "hostIP": self._at[who]}
        result = {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "sandbox": str(self._netns)}],
            "ips": [{"interface": 0, "address": f"10.0.0.{ord(who)}/24"}],
        }
        return {
            "cniVersion": "1.1.0",
            "name": f"net-{who}",
            "type": "portmap",
            "backend": self._backend,
            "runtimeConfig": {"portMappings": [mapping]},
            "prevResult": result,
        }

    def add(self, who: str) -> None:
        self._runtime.add(self._config(who), container=who, netns=self._netns)

    def check(self, who: str) -> None:
        config = self._config(who)
        self._runtime.check(config, config["prevResult"], container=who, netns=self._netns)

    def delete(self, who: str) -> None:
        self._runtime.delete(self._config(who), container=who)


def _rules() -> Counter[str]:
    text = subprocess.run(
        ["nft", "--stateless", "list", "ruleset"], text=True, capture_output=True, check=True
    )
    return Counter(text.stdout.splitlines())


def _judge(met: Met, wants: Wants) -> None:
    failed = [one for one in (met.a, met.b) if one.status]
    assert len(failed) == 1, [one.stdout for one in (met.a, met.b)]
    winner, loser = ("a", "b") if failed[0] is met.b else ("b", "a")
    error = json.loads(failed[0].stdout)
    assert error["code"] == PORT_TAKEN, error
    assert f'interface eth0 of container {winner} on network "net-{winner}"' in error["msg"], error
    wants.check(winner)
    there = "\n".join(_rules())
    assert f"10.0.0.{ord(winner)}" in there
    assert f"10.0.0.{ord(loser)}" not in there, "left by the loser"
    wants.delete(winner)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("used", [False, True], ids=["new host", "used host"])
@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize("pair", PAIRS, ids=["-".join(one or "all" for one in p) for p in PAIRS])
def test_one_port_for_two(
    pair: tuple[str, str],
    backend: str,
    *,
    used: bool,
    whole: bool,
    host: Host,
    tmp_path: Path,
    publish: Publish,
) -> None:
    wants = Wants(Runtime(tmp_path), host.container(), backend, pair)
    counted: Counter[str] = Counter()
    first = 1 + PAIRS.index(pair) * 4
    distance = (1 if backend == "nftables" else 2) if whole else SAMPLE
    points = itertools.count(1 if whole else first, distance)
    with Supervisor() as supervisor:
        try:
            _play(wants, supervisor, points, counted, new=None if used else _new_host)
        finally:
            host.enter()
    assert counted["points"] > 0
    shown = [one or "all" for one in pair]
    kind = "used" if used else "new"
    _rows.append([backend, kind, *shown, *(counted[key] for key in ("points", "b", "waited"))])
    headings = ("backend", "host", "A's address", "B's", "points of A", "of which B got it")
    publish("races-ports", (*headings, "of which B waited for A's lock"), _rows)


def _new_host() -> None:
    libc("unshare", CLONE_NEWNET)


def _play(
    wants: Wants,
    supervisor: Supervisor,
    points: Iterable[int],
    counted: Counter[str],
    new: Callable[[], None] | None,
) -> None:
    """new: makes a host for each point; None for one with another port published, for all."""
    _new_host()
    if new is None:
        wants.add("n")
    for who in "ab":
        wants.add(who)
        wants.delete(who)
    expected = _rules()
    a, b = (child(lambda who=who: wants.add(who)) for who in "ab")  # type: ignore[misc]
    for number in points:
        if new is not None:
            new()
        met = meet(supervisor, a, b, number)
        if met is None:
            break
        try:
            _judge(met, wants)
            left = _rules() - expected
            assert not left, left
        except AssertionError as error:
            error.add_note(f"at point {number} of A")
            raise
        counted["points"] += 1
        counted["b"] += bool(met.a.status)
        counted["waited"] += met.waited
