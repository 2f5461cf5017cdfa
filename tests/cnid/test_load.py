"""Two hundred containers at once, and what the daemon weighs."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnid.pool import GROWN_CALLS
from tests.cnid.daemon import Daemon, Gate, Suite, wait_until
from tests.kit.host import Host
from tests.kit.namespace import CLONE_NEWNET, Namespace, in_thread, libc

CONTAINERS = 200

MEMORY = 60 << 20
"""Bytes, PSS, of the daemon and all its workers together."""


@pytest.fixture
def namespaces(many_files: None) -> Iterator[list[int]]:
    """Open network namespaces: made and removed faster than ones with a path."""

    def make() -> list[int]:
        found = []
        for _ in range(CONTAINERS):
            libc("unshare", CLONE_NEWNET)
            found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        return found

    made = in_thread(make)
    yield made
    for fd in made:
        os.close(fd)


def _links(namespaces: list[int]) -> set[str]:
    """The names of the links in all of them."""

    def look() -> set[str]:
        found: set[str] = set()
        for fd in namespaces:
            libc("setns", fd, CLONE_NEWNET)
            found |= {name for _, name in socket.if_nameindex()}
        return found

    return in_thread(look)


def _chain(host: Host) -> tuple[dict[str, Any], dict[str, Any]]:
    ipam = {"type": "host-local", "subnet": "10.1.0.0/16", "dataDir": str(host.state)}
    net = {"cniVersion": "1.1.0", "name": "net", "ipam": ipam}
    return {**net, "type": "bridge", "isGateway": True, "ipMasq": True}, {**net, "type": "portmap"}


class Crowd:
    """All containers call at once."""

    def __init__(self, suite: Suite, namespaces: list[int]) -> None:
        self.suite = suite
        self.paths = [f"/proc/{os.getpid()}/fd/{fd}" for fd in namespaces]

    def call(self, command: str, configs: list[dict[str, Any]]) -> list[Any]:
        """The documents, after seeing that nobody failed."""
        running = [
            self.suite.start(command, config, path, environ={"CNI_CONTAINERID": f"c{number}"})
            for number, (path, config) in enumerate(zip(self.paths, configs, strict=True))
        ]
        answers = [one.answer() for one in running]
        assert [one for one in answers if one.status] == []
        return [one.document for one in answers]


def test_two_hundred_containers_at_once(host: Host, suite: Suite, namespaces: list[int]) -> None:
    bridge, portmap = _chain(host)
    crowd = Crowd(suite, namespaces)

    def ports(results: list[Any]) -> list[dict[str, Any]]:
        return [
            {
                **portmap,
                "prevResult": result,
                "runtimeConfig": {
                    "portMappings": [{"hostPort": 10_000 + number, "containerPort": 80}]
                },
            }
            for number, result in enumerate(results)
        ]

    with Daemon(suite) as daemon:
        results = crowd.call("ADD", [bridge] * CONTAINERS)
        addresses = {result["ips"][0]["address"] for result in results}
        assert len(addresses) == CONTAINERS
        assert _links(namespaces) == {"lo", "eth0"}
        assert crowd.call("ADD", ports(results))
        assert _published(host) == {
            (str(10_000 + number), result["ips"][0]["address"].split("/")[0])
            for number, result in enumerate(results)
        }
        assert crowd.call("DEL", ports(results)) == [None] * CONTAINERS
        assert crowd.call("DEL", [bridge] * CONTAINERS) == [None] * CONTAINERS
        assert _links(namespaces) == {"lo"}
        assert [path.name for path in (host.state / "net").glob("10.*")] == []
        warm = 4 * CONTAINERS - len(suite.cold_runs())
        wait_until(lambda: sum(row["calls"] for row in daemon.status()["calls"]) == warm)
        found = daemon.status()
        assert [row["errors"] for row in found["calls"]] == [0] * 4
        assert found["lost"] == 0


def _published(host: Host) -> set[tuple[str, str]]:
    """(host port, container's address) of each mapping."""
    rules = host.command("nft", "list", "table", "inet", "pycni_portmap").stdout
    return set(re.findall(r"tcp \. (\d+) comment [^:]+ : ([\d.]+) \. 80\b", rules))


def _pss(pid: int) -> int:
    """Bytes; memory that several processes share counts for each in equal parts."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) << 10


def test_memory_when_every_worker_has_served(
    host: Host, suite: Suite, gate: Gate, container: Namespace
) -> None:
    probe = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}
    attach = {**probe, "do": "attach", "gate": str(gate.directory)}
    bridge, portmap = _chain(host)
    portmap["runtimeConfig"] = {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}
    waiting = []
    with Daemon(suite) as daemon:
        # Workers that wait at the gate, so that it is another one's turn for each chain.
        for number in range(len(daemon.pids)):
            result = suite.call("ADD", bridge, container).document
            ports = {**portmap, "prevResult": result}
            for command, config in (("ADD", ports), ("DEL", ports), ("DEL", bridge)):
                assert suite.call(command, config, container).code == 0
            environ = {"CNI_CONTAINERID": f"c{number}"}
            waiting.append(suite.start("ADD", attach, container, environ=environ))
            gate.arrivals(1)
        gate.open()
        assert [one.answer().code for one in waiting] == [0] * len(waiting)
        daemon.calls(5 * len(daemon.pids))
        assert all(one["calls"] for one in daemon.status()["workers"])
        weights = {pid: _pss(pid) for pid in daemon.processes()}
    assert sum(weights.values()) < MEMORY, json.dumps(weights)


def test_workers_that_a_crowd_made_grow_are_replaced_when_it_is_over(suite: Suite) -> None:
    probe = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}

    def crowd(size: int) -> None:
        answers = [suite.start("STATUS", probe) for _ in range(size)]
        assert [one.answer().code for one in answers] == [0] * size

    with Daemon(suite, "--workers=3", "--rest=0.2") as daemon:
        first = set(daemon.pids)

        def grown() -> list[int]:
            return [one["pid"] for one in daemon.status()["workers"] if one["calls"] >= GROWN_CALLS]

        while len(grown()) < 3:
            crowd(30)
        wait_until(lambda: len(grown()) == 1 and len(daemon.status()["workers"]) == 3)
        warm = grown()[0]
        assert warm in first
        assert suite.call("STATUS", probe).code == 0
        assert daemon.status()["lost"] == 0
        assert suite.cold_runs() == []


def test_calls_go_on_while_workers_are_replaced(suite: Suite) -> None:
    """A worker may be dismissed in the very moment in which the kernel wakes it for a call."""
    probe = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}
    with Daemon(suite, "--workers=3", "--rest=0") as daemon:
        first = set(daemon.pids)
        count = 0

        def replaced() -> bool:
            return len(first - {one["pid"] for one in daemon.status()["workers"]}) > 1

        while not replaced() or count < 300:
            answers = [suite.start("STATUS", probe) for _ in range(10)]
            assert [one.answer().code for one in answers] == [0] * 10
            count += 10
        daemon.calls(count)
        assert daemon.status()["lost"] == 0
        assert suite.cold_runs() == []
