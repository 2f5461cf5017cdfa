"""Whatever happens to launcher, daemon or worker: the caller gets an answer, the daemon goes on."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal
import socket
import termios
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cnid.protocol import LONGEST
from tests.cnid import fake
from tests.cnid.daemon import (
    SECONDS,
    Daemon,
    Gate,
    Running,
    Suite,
    cnid,
    state,
    wait_until,
    while_stopped,
)
from tests.kit.host import Host
from tests.kit.namespace import Namespace

PROBE = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}
LOOPBACK = {"cniVersion": "1.1.0", "name": "lo", "type": "loopback"}


def _attach(gate: Gate) -> dict[str, Any]:
    """The config of a call that stops at the gate, attached."""
    return {**PROBE, "do": "attach", "gate": str(gate.directory)}


def _attached(gate: Gate) -> set[str]:
    return {path.name.partition("-")[2] for path in gate.directory.glob("attached-*")}


def _one(message: str, daemon: Daemon) -> dict[str, Any]:
    """The one line of the log with this message."""
    (line,) = daemon.wait_for(lambda line: line["msg"] == message)
    found: dict[str, Any] = line
    return found


def _settled(daemon: Daemon) -> int:
    """How many descriptors it has when it has started its other processes."""
    for _ in range(2):  # which it does between two answers
        daemon.status()
    return _descriptors(daemon.process.pid)


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _serves(suite: Suite, daemon: Daemon) -> bool:
    """Whether a call is served warm now."""
    suite.cold_runs()
    assert suite.call("STATUS", LOOPBACK).code == 0
    return not suite.cold_runs()


# ---- on the socket ------------------------------------------------------------------------------


def _cut(suite: Suite) -> bytes:
    return fake.request(suite, "STATUS")[:-1]


def _bad(suite: Suite) -> list[tuple[bytes, int, str]]:
    """Messages, how many descriptors go with each, and why it is refused."""
    good = fake.request(suite, "STATUS")
    return [
        (b"\0", 0, "it is not a request"),
        (b"GET / HTTP/1.1\r\n\r\n", 5, "it is not a request"),
        (os.urandom(1000), 5, "it is not a request"),
        (good[:20], 5, "it is not a request"),
        (good[:-1], 5, "the request is cut off"),
        (good[:52], 5, "the request is cut off"),
        (good[:52] + b"\0", 5, "the request names no plugin"),
        (good[:52] + b"loopback\0", 5, "the request names no plugin"),
        (good, 0, "0 descriptors came with it, expected 5"),
        (good, 3, "3 descriptors came with it, expected 5"),
        (good.ljust(LONGEST + 1, b"\0"), 5, "the request is too long"),
        (fake.request(suite, "STATUS", plugin="../x"), 5, "there is no plugin '../x'"),
    ]


def test_garbage_is_refused(suite: Suite, daemon: Daemon) -> None:
    bad = _bad(suite)
    for message, count, _ in bad:
        with fake.connect(suite) as connection:
            output = fake.send(connection, message, count=count)
            assert connection.recv(16) == b"R", message
            assert fake.read_all(output) == b""
    lines = daemon.wait_for(lambda line: line["msg"] == "refused", len(bad))
    assert [line["why"] for line in lines] == [why for _, _, why in bad]
    assert daemon.status()["refused"] == len(bad)
    assert _serves(suite, daemon)


def test_a_working_directory_that_is_none(suite: Suite, daemon: Daemon) -> None:
    with fake.connect(suite) as connection, open("/dev/null") as null:
        message = fake.request(suite, "STATUS")
        socket.send_fds(connection, [message], [null.fileno()] * 5)
        assert connection.recv(16) == b"R"
    assert "Not a directory" in _one("dropped", daemon)["why"]
    assert _serves(suite, daemon)


def test_a_client_that_takes_its_call_back(suite: Suite, daemon: Daemon) -> None:
    """Nothing of it, however far it came."""
    with fake.connect(suite):
        pass
    with fake.connect(suite) as connection:
        output = fake.send(connection, fake.request(suite, "STATUS"), token=0)
        assert connection.recv(16) == b"R"
        assert connection.recv(16) == b""
    assert fake.read_all(output) == b""
    assert _one("dropped", daemon)["why"] == "the caller has taken it back"
    assert daemon.status()["calls"] == []
    assert _serves(suite, daemon)


@pytest.mark.parametrize(
    ("what", "flags", "why"),
    [
        ("/dev/null", os.O_RDONLY, "its token may block"),
        ("/dev/zero", os.O_RDONLY | os.O_NONBLOCK, "its token is no eventfd of 1"),
        ("/", os.O_PATH, "its token may block"),
    ],
)
def test_a_token_that_is_none(
    what: str, flags: int, why: str, suite: Suite, daemon: Daemon
) -> None:
    with fake.connect(suite) as connection, open("/dev/null") as null:
        streams = [os.dup(null.fileno()) for _ in range(3)]
        streams += [os.open("/", os.O_PATH), os.open(what, flags)]
        socket.send_fds(connection, [fake.request(suite, "STATUS")], streams)
        for fd in streams:
            os.close(fd)
        assert connection.recv(16) == b"R"
    assert why in _one("dropped", daemon)["why"]
    assert _serves(suite, daemon)


def test_a_thousand_connections_at_once(suite: Suite, daemon: Daemon, many_files: None) -> None:
    before = _settled(daemon)
    connections = [fake.connect(suite) for _ in range(1000)]
    assert _serves(suite, daemon), "those who say nothing are in nobody's way"
    for connection in connections:
        connection.send(b"garbage")
    assert {connection.recv(16) for connection in connections} == {b"R"}
    for connection in connections:
        connection.close()
    assert daemon.status()["refused"] == 1000
    wait_until(lambda: _descriptors(daemon.process.pid) <= before)


def test_names_that_are_too_long_for_the_log(suite: Suite, daemon: Daemon) -> None:
    stdin = json.dumps({**LOOPBACK, "name": "ü" * 500_000}).encode()
    environ = {"CNI_CONTAINERID": "\udcff" * 80_000, "TRACEPARENT": "x" * 80_000}
    answer = suite.call("DEL", stdin, plugin="loopback", environ=environ)
    assert answer.code == 4
    assert suite.call("STATUS", stdin, plugin="loopback").code == 7
    first, second = daemon.calls(2)
    assert len(first["container"]) == len(first["traceparent"]) == len(second["network"]) == 200
    assert _serves(suite, daemon)


# ---- descriptors and forks run out --------------------------------------------------------------


def test_descriptors_run_out(suite: Suite, daemon: Daemon) -> None:
    before = _settled(daemon)
    used = max(map(int, os.listdir(f"/proc/{daemon.process.pid}/fd"))) + 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (used + 6, hard))
    silent = [fake.connect(suite) for _ in range(20)]
    running = [suite.start("STATUS", LOOPBACK) for _ in range(20)]
    assert [one.answer().code for one in running] == [0] * 20
    daemon.wait_for(lambda line: line["msg"] == "cannot accept")
    for one in silent:
        one.close()
    wait_until(lambda: _descriptors(daemon.process.pid) <= before)
    assert daemon.status()["waiting"] == 0
    assert _serves(suite, daemon)


def test_the_oldest_connection_makes_room_while_it_speaks(suite: Suite, daemon: Daemon) -> None:
    silent = [fake.connect(suite) for _ in range(3)]
    assert daemon.status()["waiting"] == 0, "by now it has accepted them"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (3, hard))
    while_stopped(
        daemon.process.pid,
        lambda: silent.extend(fake.connect(suite) for _ in range(3)),
        *(partial(one.send, b"garbage") for one in silent),
    )
    daemon.wait_for(lambda line: line["msg"] == "cannot accept")
    for one in silent:
        one.close()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert _serves(suite, daemon)


def test_no_descriptor_at_all(
    suite: Suite, daemon: Daemon, gate: Gate, container: Namespace
) -> None:
    """Callers that find all workers busy wait in the kernel's queue while it lasts."""
    busy = [
        suite.start("ADD", _attach(gate), container, environ={"CNI_CONTAINERID": f"c{number}"})
        for number in range(2)
    ]
    gate.arrivals(2)
    used = max(map(int, os.listdir(f"/proc/{daemon.process.pid}/fd"))) + 1
    limits = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    running = suite.start("STATUS", LOOPBACK)
    daemon.wait_for(lambda line: line["msg"] == "cannot accept")
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (used + 6, limits[1]))
    gate.open()
    assert [one.answer().code for one in (running, *busy)] == [0] * 3
    assert suite.cold_runs() == []
    assert len(daemon.wait_for(lambda line: line["msg"] == "cannot accept")) < 20


def test_no_worker_can_be_forked(suite: Suite, compiled: Any) -> None:
    """Workers in a PID namespace of their own: with the first goes every other, and all forks."""
    patient = ["--workers=3", "--patience=60"]
    with Daemon(suite, *patient, wrapper=["unshare", "--pid"]) as daemon:
        assert _serves(suite, daemon)
        os.kill(daemon.pids[0], signal.SIGKILL)
        lines = daemon.wait_for(lambda line: line["msg"] == "cannot fork a worker")
        assert "Cannot allocate memory" in lines[0]["error"]
        wait_until(lambda: not daemon.status()["workers"])
        with fake.connect(suite) as connection:  # a request waits, the daemon serves others
            output = fake.send(connection, fake.request(suite, "STATUS"))
            for _ in range(100):  # none of which makes it try again at once
                assert daemon.status()["waiting"] == 1
            assert len(daemon.wait_for(lambda line: line["msg"] == "cannot fork a worker")) < 20
            assert daemon.stop() == 0
            assert connection.recv(16) == b"R"
        assert fake.read_all(output) == b""


# ---- the launcher is signalled ------------------------------------------------------------------


class Middle:
    """An ADD of the bridge in the middle, its foreign IPAM plugin being at the gate."""

    def __init__(self, host: Host, suite: Suite, gate: Gate) -> None:
        gate.delegate(suite.path / "slow")
        self.gate = gate
        self.suite = suite
        self.container = host.container()
        self.config = {
            "cniVersion": "1.0.0",
            "name": "net",
            "type": "bridge",
            "ipam": {"type": "slow"},
        }

    def start(self, container: str = "c7", **environ: str) -> Running:
        given = {"CNI_CONTAINERID": container, **environ}
        running = self.suite.start("ADD", self.config, self.container, environ=given)
        assert self.gate.arrivals(1) == [container]
        return running

    def delete(self, container: str = "c7") -> None:
        given = {"CNI_CONTAINERID": container}
        assert self.suite.call("DEL", self.config, self.container, environ=given).code == 0


@pytest.fixture
def middle(host: Host, suite: Suite, gate: Gate) -> Middle:
    return Middle(host, suite, gate)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_undoes_the_call(
    number: signal.Signals, middle: Middle, daemon: Daemon
) -> None:
    """As a cold plugin does it, in the same words."""
    answers = []
    for environ in ({}, {"CNID_SOCKET": ""}):
        running = middle.start(**environ)
        running.process.send_signal(number)
        answers.append(running.answer())
        assert set(middle.gate.deleted()) == {"c7"}, "the delegate was asked to undo"
        (middle.gate.directory / "deleted").unlink()
    assert answers[0] == answers[1]
    assert answers[0].code == 11
    assert f"was ended by {number.name}; what it had done is undone" in answers[0].document["msg"]
    assert daemon.calls(1)[0]["code"] == 11


def test_a_launcher_that_is_killed_has_its_call_undone(
    middle: Middle, daemon: Daemon, gate: Gate
) -> None:
    running = middle.start()
    other = middle.suite.start("ADD", _attach(gate), middle.container)
    assert gate.arrivals(1) == ["c1"]
    assert _attached(gate) == {"c1"}
    for one in (running, other):
        one.kill()
        assert one.process.stdout is not None
        assert "was ended by SIGTERM" in one.process.stdout.read().decode()
        one.answer()
    assert set(gate.deleted()) == {"c7"}
    assert _attached(gate) == set()
    assert [line["code"] for line in daemon.calls(2)] == [11, 11]


def test_a_client_that_leaves_during_its_call(
    suite: Suite, daemon: Daemon, gate: Gate, container: Namespace
) -> None:
    environ = suite.environ("ADD", str(container))
    fields = {"plugin": "probe", "environ": environ}
    with fake.connect(suite) as connection:
        message = fake.request(suite, "ADD", str(container), **fields)
        output = fake.send(connection, message, json.dumps(_attach(gate)).encode())
        assert gate.arrivals(1) == ["c1"]
        assert _attached(gate) == {"c1"}
    assert "was ended by SIGTERM" in fake.read_all(output).decode()
    assert _attached(gate) == set()
    assert _serves(suite, daemon)


@pytest.mark.parametrize(("said", "signal_name"), [(b"T\x02", "SIGINT"), (b"", "SIGTERM")])
def test_a_wish_to_stop_that_comes_before_the_call_begins(
    said: bytes, signal_name: str, suite: Suite, gate: Gate, container: Namespace
) -> None:
    """Before the kernel was asked to tell of it."""
    fields = {"plugin": "probe", "environ": suite.environ("ADD", str(container))}
    message = fake.request(suite, "ADD", str(container), **fields)
    with Daemon(suite, "--workers=1") as daemon, fake.connect(suite) as connection:
        output: list[int] = []
        stdin = json.dumps(_attach(gate)).encode()
        ask = partial(fake.send, connection, message, stdin)
        stop = partial(connection.send, said) if said else connection.close
        while_stopped(daemon.pids[0], lambda: output.append(ask()), stop)
        assert f"was ended by {signal_name}" in fake.read_all(*output).decode()
    assert _attached(gate) == set()


def test_a_worker_hears_signals_again_after_a_call_that_was_stopped(
    suite: Suite, gate: Gate, container: Namespace
) -> None:
    """And after one that left signals blocked and ignored, which no plugin should."""
    with Daemon(suite, "--workers=1") as daemon:
        for _ in range(2):
            running = suite.start("ADD", _attach(gate), container)
            assert gate.arrivals(1) == ["c1"]
            running.process.send_signal(signal.SIGTERM)
            assert running.answer().code == 11
            assert suite.call("ADD", {**PROBE, "do": "wreck"}, container).code == 0
        assert len(daemon.calls(4)) == 4
    assert _attached(gate) == set()
    assert suite.cold_runs() == []


# ---- a worker dies ------------------------------------------------------------------------------


def _busy(daemon: Daemon) -> list[int]:
    return [one["pid"] for one in daemon.status()["workers"] if one["busy"]]


def test_a_worker_that_is_killed_in_the_middle(
    suite: Suite, daemon: Daemon, gate: Gate, container: Namespace
) -> None:
    running = suite.start("ADD", _attach(gate), container)
    assert gate.arrivals(1) == ["c1"]
    (pid,) = _busy(daemon)
    os.kill(pid, signal.SIGKILL)
    answer = running.answer()
    assert answer.code == 11
    assert "may be half done: call DEL, then try again" in answer.document["msg"]
    assert _attached(gate) == {"c1"}
    assert suite.call("DEL", _attach(gate), container).code == 0
    assert _attached(gate) == set()
    assert _one("worker died during a call", daemon)["pid"] == pid
    found = daemon.status()
    assert found["lost"] == 1
    assert len(found["workers"]) == 2, "it has been replaced"
    assert suite.cold_runs() == []


def test_a_worker_that_is_killed_while_its_delegate_runs(middle: Middle, daemon: Daemon) -> None:
    """The delegate runs on; DEL then gives back what it allocates."""
    running = middle.start()
    os.kill(_busy(daemon)[0], signal.SIGKILL)
    assert running.answer().code == 11
    middle.gate.open()
    middle.delete()
    assert middle.gate.deleted() == ["c7"]


def test_a_plugin_that_kills_its_worker(suite: Suite, daemon: Daemon, container: Namespace) -> None:
    for _ in range(5):
        assert suite.call("ADD", {**PROBE, "do": "die"}, container).code == 11
    daemon.wait_for(lambda line: line["msg"] == "worker died during a call", 5)
    assert _serves(suite, daemon)
    assert suite.cold_runs() == []


def test_idle_workers_that_are_killed_are_replaced(suite: Suite, daemon: Daemon) -> None:
    """And a call that comes at once is answered."""
    assert _serves(suite, daemon)
    before = daemon.processes()[1:]
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert suite.call("STATUS", LOOPBACK).code == 0
    wait_until(lambda: len(now := set(daemon.processes()[1:])) == 2 and not now & set(before))
    assert _serves(suite, daemon)


def test_signals_to_workers_do_nothing(
    suite: Suite, daemon: Daemon, gate: Gate, container: Namespace
) -> None:
    """systemd sends them to every process of a unit, and a terminal to every one of a group."""
    running = suite.start("ADD", _attach(gate), container)
    assert gate.arrivals(1) == ["c1"]
    for pid in daemon.processes()[1:]:
        wait_until(lambda pid=pid: os.getpgid(pid) == pid)  # type: ignore[misc]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO):
            os.kill(pid, number)
    gate.open()
    assert running.answer().code == 0
    assert daemon.processes()[1:] == daemon.pids


# ---- the daemon dies ----------------------------------------------------------------------------


def test_the_daemon_is_killed_during_fifty_calls(
    suite: Suite, gate: Gate, container: Namespace
) -> None:
    """Those with a worker end there, the others cold; and the next daemon need not wait."""
    ids = [f"c{number}" for number in range(50)]
    with Daemon(suite, "--patience=60") as daemon:
        workers = len(daemon.pids)
        running = [
            suite.start("ADD", _attach(gate), container, environ={"CNI_CONTAINERID": one})
            for one in ids
        ]
        arrived = gate.arrivals(workers)
        wait_until(lambda: daemon.status()["waiting"] == len(ids) - workers)
        daemon.kill()
        arrived += gate.arrivals(len(ids) - workers)
        assert suite.cold_runs() == ["probe ADD"] * (len(ids) - workers)
        with Daemon(suite, "--workers=2") as second:
            assert _serves(suite, second)
            assert sum(os.path.exists(f"/proc/{pid}") for pid in daemon.pids) == workers
            gate.open()
            assert [one.answer().code for one in running] == [0] * len(ids)
    assert sorted(arrived) == sorted(ids)
    assert _attached(gate) == set(ids)


def test_the_daemon_lets_calls_end(suite: Suite, gate: Gate, container: Namespace) -> None:
    """And those that wait for a worker run cold."""
    with Daemon(suite, "--workers=1", "--patience=60") as daemon:
        first = suite.start("ADD", _attach(gate), container)
        assert gate.arrivals(1) == ["c1"]
        second = suite.start("ADD", _attach(gate), container, environ={"CNI_CONTAINERID": "c2"})
        wait_until(lambda: daemon.status()["waiting"] == 1)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.notice() == "STOPPING=1"
        assert gate.arrivals(1) == ["c2"]
        assert suite.cold_runs() == ["probe ADD"]
        assert not _serves(suite, daemon)
        assert daemon.process.poll() is None
        gate.open()
        assert [first.answer().code, second.answer().code] == [0, 0]
        assert daemon.process.wait(SECONDS) == 0
        assert daemon.calls(1)[0]["container"] == "c1"
    assert not suite.socket.exists()


def test_calls_are_served_while_the_daemon_is_stopped(suite: Suite, daemon: Daemon) -> None:
    """Workers accept by themselves; what they tell of it is heard later."""
    assert _serves(suite, daemon)
    served: list[bool] = []
    while_stopped(daemon.process.pid, lambda: served.append(_serves(suite, daemon)))
    assert served == [True]
    assert len(daemon.calls(2)) == 2


def test_stopping_with_messages_unread(suite: Suite) -> None:
    with Daemon(suite, "--workers=1") as daemon:
        connections = [fake.connect(suite) for _ in range(50)]
        assert daemon.status()["waiting"] == 0, "by now it has accepted them"
        while_stopped(
            daemon.process.pid,
            *(partial(one.send, b"garbage") for one in connections),
            lambda: daemon.process.send_signal(signal.SIGTERM),
        )
        assert daemon.process.wait(SECONDS) == 0
        for one in connections:
            one.close()


def test_a_call_for_a_worker_that_has_just_died(suite: Suite) -> None:
    """Whoever gets it, nobody keeps its stdout open."""
    with Daemon(suite, "--workers=1") as daemon, fake.connect(suite) as connection:
        assert _serves(suite, daemon)
        output: list[int] = []

        def ask() -> None:
            output.append(fake.send(connection, fake.request(suite, "STATUS")))

        def kill() -> None:
            os.kill(daemon.pids[0], signal.SIGKILL)
            wait_until(lambda: state(daemon.pids[0]) == "Z")

        while_stopped(daemon.process.pid, ask, kill)
        assert connection.recv(16) in (b"R", b"D\x01")  # D where its death was noticed first
        connection.close()
        fake.read_all(*output)
        assert _serves(suite, daemon)


def test_a_caller_whose_stdin_does_not_end(suite: Suite, container: Namespace) -> None:
    """Its worker is free again when it is killed."""
    reading, writing = os.pipe()
    with Daemon(suite, "--workers=1") as daemon:
        running = suite.start("ADD", PROBE, container, stdin=reading)
        os.write(writing, b"{")
        wait_until(lambda: fcntl.ioctl(reading, termios.FIONREAD, bytes(4)) == bytes(4))
        running.kill()
        running.answer()
        assert daemon.calls(1)[0]["code"] == 11
        assert _serves(suite, daemon)
    os.close(reading)
    os.close(writing)


def test_calls_run_cold_when_all_workers_are_stuck(
    suite: Suite, gate: Gate, container: Namespace
) -> None:
    with Daemon(suite, "--workers=1", "--patience=0.1") as daemon:
        first = suite.start("ADD", _attach(gate), container)
        assert gate.arrivals(1) == ["c1"]
        second = suite.start("ADD", _attach(gate), container, environ={"CNI_CONTAINERID": "c2"})
        assert gate.arrivals(1) == ["c2"]
        assert suite.cold_runs() == ["probe ADD"]
        assert _one("refused", daemon)["why"] == "all workers are busy with long calls"
        gate.open()
        assert [first.answer().code, second.answer().code] == [0, 0]
        assert _serves(suite, daemon)


def test_calls_wait_for_a_worker_longer_than_for_a_word(
    suite: Suite, compiled: Path, gate: Gate, container: Namespace
) -> None:
    """By a launcher that waits 1.5 s for a word, and hears meanwhile that the daemon lives."""
    (suite.path / "loopback").unlink()
    os.link(compiled / "patient", suite.path / "loopback")
    with Daemon(suite, "--workers=1", "--patience=60") as daemon:
        first = suite.start("ADD", _attach(gate), container)
        assert gate.arrivals(1) == ["c1"]
        with fake.connect(suite) as connection:
            output = fake.send(connection, fake.request(suite, "STATUS"))
            second = suite.start("STATUS", LOOPBACK)
            assert connection.recv(16) == b"W"
            assert connection.recv(16) == b"W"
            gate.open()
            while connection.recv(16) == b"W":
                pass
        os.close(output)
        assert [first.answer().code, second.answer().code] == [0, 0]
        assert len(daemon.calls(3)) == 3
    assert suite.cold_runs() == []


def test_a_second_daemon_is_refused(suite: Suite, daemon: Daemon) -> None:
    second = cnid(suite)
    assert second.returncode == 1
    assert second.stderr == (
        f"cnid: another cnid serves {suite.socket}: process {daemon.process.pid}\n"
    )
    assert _serves(suite, daemon)


# ---- what one call leaves to the next -----------------------------------------------------------


def test_what_a_caller_does_not_read_is_not_told_the_next(
    suite: Suite, container: Namespace
) -> None:
    with Daemon(suite, "--workers=1"):
        say = {**PROBE, "do": "say"}
        with open("/dev/full", "w") as full:
            answer = suite.call("ADD", say, container, stderr=full)
        assert answer.code == 100
        answer = suite.call("ADD", say, container, environ={"CNI_CONTAINERID": "c2"})
        assert answer.stderr.count(b"Traceback") == 1
        assert b"'c1'" not in answer.stderr
        with open("/dev/full", "w") as full:
            answer = suite.call("ADD", PROBE, container, stdout=full)
        assert answer.status == 1
        assert b"No space left on device" in answer.stderr
        assert suite.call("DEL", PROBE, container) == (0, b"", b"")
    assert suite.cold_runs() == []


def test_a_call_finds_nothing_of_the_one_before(suite: Suite, container: Namespace) -> None:
    with Daemon(suite, "--workers=1") as daemon:
        assert suite.call("ADD", {**PROBE, "do": "wreck"}, container).code == 0
        null = os.readlink(f"/proc/{daemon.pids[0]}/fd/0")
        assert null == os.readlink(f"/proc/{daemon.pids[0]}/fd/1") == "/dev/null"
        assert os.readlink(f"/proc/{daemon.pids[0]}/cwd") == "/"
        answer = suite.call("ADD", PROBE, container, umask=0o027)
        seen = json.loads(answer.document["dns"]["search"][0])
        assert (seen["pid"], seen["umask"], seen["blocked"]) == (daemon.pids[0], 0o027, [])
        assert all(name.startswith("pipe:") for name in seen["files"].values())


def test_a_worker_that_strays_is_not_used_again(suite: Suite, container: Namespace) -> None:
    with Daemon(suite, "--workers=1") as daemon:
        assert suite.call("ADD", {**PROBE, "do": "stray"}, container).code == 0
        assert _one("worker left the host's network namespace", daemon)["pid"] == daemon.pids[0]
        answer = suite.call("ADD", PROBE, container)
        seen = json.loads(answer.document["dns"]["search"][0])
        assert seen["netns"] == os.readlink("/proc/thread-self/ns/net")
        assert seen["pid"] != daemon.pids[0]
        daemon.calls(2)
    assert suite.cold_runs() == []


def test_everything_is_imported_beforehand(host: Host, suite: Suite, container: Namespace) -> None:
    """No verb of any plugin makes a worker import anything."""
    ipam = {"type": "host-local", "subnet": "10.1.0.0/16", "dataDir": str(host.state)}
    bridge = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "isGateway": True,
        "ipMasq": True,
        "ipam": ipam,
    }
    none_valid: dict[str, Any] = {"cni.dev/valid-attachments": []}
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]}
    with Daemon(suite, "--workers=1") as daemon:

        def modules() -> set[str]:
            answer = suite.call("ADD", PROBE, container)
            return set(json.loads(answer.document["dns"]["search"][0])["modules"])

        before = modules()
        result = suite.call("ADD", bridge, container).document
        portmap = {**bridge, "type": "portmap", "runtimeConfig": ports, "prevResult": result}
        chain = ({**bridge, "prevResult": result}, portmap)
        assert suite.call("ADD", portmap, container).code == 0
        for command in ("CHECK", "STATUS", "GC", "DEL", "CHECK"):
            for config in chain:
                suite.call(command, {**config, **none_valid}, container)
        assert suite.call("DEL", b"{", plugin="bridge").code == 6
        assert modules() - before == set()
        assert daemon.status()["workers"][0]["pid"] == daemon.pids[0]


def test_worn_out_workers_lose_no_call(suite: Suite) -> None:
    with Daemon(suite, "--workers=2", "--calls=3") as daemon:
        for _ in range(4):
            running = [suite.start("STATUS", LOOPBACK) for _ in range(10)]
            assert [one.answer() for one in running] == [(0, b"", b"")] * 10
        lines = daemon.calls(40)
        assert len({line["worker"] for line in lines}) >= 13
        assert daemon.status()["lost"] == 0
    assert suite.cold_runs() == []


def test_no_descriptor_leaks_over_500_calls(suite: Suite, container: Namespace) -> None:
    stdin = json.dumps(LOOPBACK).encode()
    messages = [
        fake.request(suite, "STATUS"),
        fake.request(suite, "GC"),  # which fails
        fake.request(suite, "CHECK", str(container)),
        fake.request(suite, "STATUS")[:-1],
    ]

    def ask(message: bytes, token: int) -> None:
        with fake.connect(suite) as connection:
            output = fake.send(connection, message, stdin, token=token)
            while (answer := connection.recv(16)) == b"W":
                pass
            assert answer[:1] in (b"D", b"R")
        fake.read_all(output)

    with Daemon(suite, "--workers=1") as daemon:
        pids = daemon.processes()
        for message in messages:
            ask(message, 1)
        before = [_descriptors(pid) for pid in pids]
        for number in range(500):
            ask(messages[number % 4], int(number % 7 > 0))
        ask(messages[0], 1)
        assert sum(row["calls"] for row in daemon.status()["calls"]) > 300
        wait_until(lambda: [_descriptors(pid) for pid in pids] <= before)


# ---- nobody is waited for -----------------------------------------------------------------------


def test_a_log_on_a_full_disk(suite: Suite) -> None:
    with open("/dev/full", "w") as full, Daemon(suite, "--workers=2", stderr=full) as daemon:
        assert _serves(suite, daemon)


def test_a_log_that_nobody_reads(suite: Suite) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writing, True)
    with Daemon(suite, "--workers=2", stderr=writing) as daemon:
        for _ in range(3):
            assert _serves(suite, daemon)
    os.close(reading)
    os.close(writing)


def test_a_scrape_that_says_nothing(suite: Suite, tmp_path: Any) -> None:
    metrics = f"--metrics=unix:{tmp_path}/metrics"
    with Daemon(suite, "--workers=1", metrics) as daemon, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(f"{tmp_path}/metrics")
        assert _serves(suite, daemon)
        silent.send(b"GET / HTTP/1.1\r\n\r\n")
        assert select.select([silent], [], [], SECONDS)[0]
        assert silent.recv(15) == b"HTTP/1.0 200 OK"
