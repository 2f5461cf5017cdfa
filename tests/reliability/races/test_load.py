"""Ten thousand operations of a crowd, under churn: none fails that need not, and nothing is left.

The seed is printed, and RACES_SEED in the environment repeats a run's choices; what the machine
makes of them it does not repeat.
"""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.daemon import Daemon
from libcni import NetworkConfigList, Runtime
from tests.kit.host import Host
from tests.kit.tables import Publish, Row
from tests.reliability.races import networks
from tests.reliability.races.churn import Churn
from tests.reliability.races.mix import Crowd, reserved

VERBS = ("ADD", "ADD refused", "CHECK", "DEL", "GC", "STATUS")
HEADINGS = (
    "run",
    "containers",
    "operations",
    *VERBS,
    "plugin calls served by cnid",
    "changes by others",
    "failed",
)


class Run(NamedTuple):
    """A run of the crowd. sample, whole: containers, and operations of each."""

    name: str
    warm: bool
    networks: tuple[Callable[[Host], NetworkConfigList], ...]
    sample: tuple[int, int]
    whole: tuple[int, int]


RUNS = (
    Run("warm, nftables", True, networks.NFTABLES, (8, 10), (200, 35)),
    Run("cold, nftables", False, networks.NFTABLES, (4, 4), (60, 35)),
    Run("warm, iptables beside nftables", True, networks.EVERY, (3, 4), (40, 20)),
    Run("cold, iptables", False, (networks.by_iptables,), (3, 4), (20, 20)),
)
_rows: list[Row] = []


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("run", RUNS, ids=[one.name for one in RUNS])
def test_a_crowd_under_churn(
    run: Run, *, whole: bool, built: Path, host: Host, tmp_path: Path, publish: Publish
) -> None:
    seed = int(os.environ.get("RACES_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"RACES_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    containers, operations = run.whole if whole else run.sample
    networks.connect(host)
    host.share("file */cache/results/", "file */tuning/")
    daemon = Daemon(built / "cnid", host, tmp_path) if run.warm else None
    try:
        environ = {"CNID_SOCKET": str(daemon.socket) if daemon else "", "PATH": os.defpath}
        runtime = Runtime([str(built)], str(host.state / "cache"), environ=environ)
        with Churn(host, seed) as churn:
            places = [host.container(f"c{number}") for number in range(containers)]
            chains = [make(host) for make in run.networks]
            crowd = Crowd(runtime, chains, places, seed, churn.beat)
            crowd.run(operations)
            print(*crowd.problems, sep="\n")  # noqa: T201 - at once, whatever comes after
            assert crowd.problems == []
            for one in chains:
                there = crowd.holdings.addresses(one.name)
                assert reserved(host.state / "ipam" / one.name) == there
            crowd.leave()
            assert crowd.problems == []
            served = daemon.calls() if daemon else 0
    finally:
        if daemon:
            daemon.stop()
    networks.disconnect(host)
    total = sum(crowd.done.values())
    assert total >= containers * operations
    assert served > total or not daemon, f"only {served} calls were warm"
    counts = [crowd.done[verb] for verb in VERBS]
    _rows.append([run.name, containers, total, *counts, served, churn.steps, len(crowd.problems)])
    publish("races-load", HEADINGS, _rows)
