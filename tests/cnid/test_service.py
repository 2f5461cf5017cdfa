"""What runs the daemon and looks at it: its command line, systemd, its log, status and metrics."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cnid.heal_supervisor import HealSupervisor
from cnid.status import as_text
from cnid.tally import Tally
from tests.cnid import exposition, fake
from tests.cnid.daemon import PYTHON, SECONDS, Daemon, Gate, Suite, cnid
from tests.kit.namespace import Namespace

LOOPBACK = {"cniVersion": "1.1.0", "name": "lo", "type": "loopback"}
PROBE = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _calls(suite: Suite, container: Namespace) -> None:
    """Four calls of two plugins, one of which fails."""
    assert suite.call("STATUS", LOOPBACK).code == 0
    assert suite.call("STATUS", LOOPBACK).code == 0
    assert suite.call("ADD", {**PROBE, "do": "wreck"}, container).code == 0
    assert suite.call("DEL", PROBE, environ={"CNI_IFNAME": "a/b"}).code == 4


# ---- the log ------------------------------------------------------------------------------------


def test_a_line_for_each_call(suite: Suite, daemon: Daemon, container: Namespace) -> None:
    before = datetime.now(UTC)
    environ = {"TRACEPARENT": PARENT, "CNI_CONTAINERID": "c9", "CNI_IFNAME": "net0"}
    config = {**PROBE, "name": "blue", "do": "wreck"}
    assert suite.call("ADD", config, container, environ=environ).code == 0
    assert suite.call("DEL", {**PROBE, "name": 7}, environ={"CNI_CONTAINERID": "c8"}).code == 7
    good, bad = daemon.calls(2)
    assert before.timestamp() - 1 < datetime.fromisoformat(good["time"]).timestamp()
    for line in (good, bad):
        assert 0 < line.pop("seconds") < SECONDS
        assert 0 <= line.pop("waited") < SECONDS
        assert line.pop("worker") in daemon.pids
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert good == {
        "msg": "call",
        "plugin": "probe",
        "verb": "ADD",
        "network": "blue",
        "container": "c9",
        "ifname": "net0",
        "status": 0,
        "traceparent": PARENT,
    }
    assert bad == {
        "msg": "call",
        "plugin": "probe",
        "verb": "DEL",
        "network": "",
        "container": "c8",
        "ifname": "eth0",
        "status": 1,
        "code": 7,
        "error": 'probe: key "name": found 7, expected a string',
    }


def test_the_time_of_a_call_holds_its_waiting(
    suite: Suite, gate: Gate, container: Namespace
) -> None:
    attach = {**PROBE, "do": "attach", "gate": str(gate.directory)}
    with Daemon(suite, "--workers=1", "--patience=60") as daemon:
        first = suite.start("ADD", attach, container)
        gate.arrivals(1)
        second = suite.start("ADD", attach, container, environ={"CNI_CONTAINERID": "c2"})
        while not daemon.status()["waiting"]:
            os.sched_yield()
        gate.open()
        assert [first.answer().code, second.answer().code] == [0, 0]
        one, other = daemon.calls(2)
        assert other["waited"] > one["waited"]
        (row,) = daemon.status()["calls"]
        assert row["p99"] / 1000 >= other["waited"]


# ---- status -------------------------------------------------------------------------------------


def test_status(suite: Suite, daemon: Daemon, container: Namespace) -> None:
    _calls(suite, container)
    daemon.calls(4)
    shown = cnid(suite, "status", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    found = json.loads(shown.stdout)
    assert (found["build"], found["pid"]) == ("test", daemon.process.pid)
    assert 0 <= found["uptime"] < SECONDS * 10
    assert (found["waiting"], found["refused"], found["lost"]) == (0, 0, 0)
    assert sorted(one["pid"] for one in found["workers"]) == sorted(daemon.pids)
    assert sum(one["calls"] for one in found["workers"]) == 4
    assert not any(one["busy"] for one in found["workers"])
    rows = {(row["plugin"], row["verb"]): row for row in found["calls"]}
    assert {key: (row["calls"], row["errors"]) for key, row in rows.items()} == {
        ("loopback", "STATUS"): (2, 0),
        ("probe", "ADD"): (1, 0),
        ("probe", "DEL"): (1, 1),
    }
    assert all(0 < row["p50"] <= row["p99"] < SECONDS * 1000 for row in found["calls"])


def test_status_for_people(suite: Suite, daemon: Daemon, container: Namespace) -> None:
    _calls(suite, container)
    daemon.calls(4)
    shown = cnid(suite, "--socket=/nowhere", "status", f"--socket={suite.socket}")
    lines = shown.stdout.splitlines()
    assert re.fullmatch(
        rf"cnid test, process {daemon.process.pid}, up 0:\d\d:\d\d: 2 workers, 0 busy, "
        r"0 calls waiting, 0 refused, 0 lost",
        lines[0],
    )
    assert lines[2].split() == ["plugin", "verb", "calls", "errors", "p50", "ms", "p99", "ms"]
    assert [line.split()[:4] for line in lines[3:6]] == [
        ["loopback", "STATUS", "2", "0"],
        ["probe", "ADD", "1", "0"],
        ["probe", "DEL", "1", "1"],
    ]
    assert sorted(line.split()[0] for line in lines[8:10]) == sorted(map(str, daemon.pids))
    assert re.fullmatch(
        r"heal: process \d+, \d+ MiB, \d+ looks, the last in \d+ ms at 0 attachments; 0 healed, "
        r"0 problems",
        lines[11],
    )


def test_a_long_uptime_counts_its_days() -> None:
    text = as_text(
        {
            "build": "b",
            "pid": 1,
            "uptime": 200_000.5,
            "waiting": 0,
            "refused": 0,
            "lost": 0,
            "workers": [],
            "calls": [],
        }
    )
    assert "up 2 days, 7:33:20:" in text


def test_status_without_a_daemon(suite: Suite) -> None:
    shown = cnid(suite, "status")
    assert shown.returncode == 1
    assert shown.stderr == (
        f"cnid: no daemon answers at {suite.socket}: No such file or directory\n"
    )


@pytest.mark.parametrize("answer", [b"", b"hello"])
def test_status_of_another_program(answer: bytes, suite: Suite) -> None:
    with fake.listen(suite.socket) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                if answer:
                    connection.send(answer)

        program = threading.Thread(target=serve)
        program.start()
        shown = cnid(suite, "status")
        program.join()
    assert shown.returncode == 1
    assert shown.stderr.startswith(f"cnid: no daemon answers at {suite.socket}: it ")


# ---- metrics ------------------------------------------------------------------------------------


def _scrape_unix(path: Path) -> tuple[str, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


def test_metrics_on_a_unix_socket(suite: Suite, container: Namespace, tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    with Daemon(suite, "--workers=2", f"--metrics=unix:{path}") as daemon:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        empty = exposition.read(_scrape_unix(path)[1])
        assert empty["cnid_call_seconds"].samples == {}
        _calls(suite, container)
        daemon.calls(4)
        head, body = _scrape_unix(path)
        assert head.startswith("HTTP/1.0 200 OK\r\n")
        assert "Content-Type: text/plain; version=0.0.4" in head
        assert f"Content-Length: {len(body)}" in head
        found = exposition.read(body)
        assert {name: one.kind for name, one in found.items()} == {
            "cnid_workers": "gauge",
            "cnid_workers_busy": "gauge",
            "cnid_waiting": "gauge",
            "cnid_refused_total": "counter",
            "cnid_lost_total": "counter",
            "cnid_heal_looks_total": "counter",
            "cnid_healed_total": "counter",
            "cnid_heal_problems": "gauge",
            "cnid_errors_total": "counter",
            "cnid_call_seconds": "histogram",
        }
        assert found["cnid_workers"].samples == {("cnid_workers", ()): 2}
        status, delete = (
            (("plugin", "loopback"), ("verb", "STATUS")),
            (("plugin", "probe"), ("verb", "DEL")),
        )
        assert found["cnid_call_seconds"].samples["cnid_call_seconds_count", status] == 2
        assert found["cnid_errors_total"].samples["cnid_errors_total", delete] == 1
        assert found["cnid_errors_total"].samples["cnid_errors_total", status] == 0
    assert not path.exists()


@pytest.mark.parametrize("address", ["127.0.0.1:9100", "[::1]:9100"])
def test_metrics_on_a_loopback_port(address: str, suite: Suite) -> None:
    """The port is free: the host's network namespace is the test's own."""
    with Daemon(suite, "--workers=1", f"--metrics={address}"):
        for _ in range(3):
            client = http.client.HTTPConnection(address, timeout=SECONDS)
            client.request("GET", "/metrics")
            answer = client.getresponse()
            assert exposition.read(answer.read().decode())["cnid_workers"]
            client.close()


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9100", "10.0.0.1:9100", "[::]:9100", "localhost:9100", "127.0.0.1",
                "127.0.0.1:70000", ":9100", "127.0.0.1:x"]
)  # fmt: skip
def test_metrics_anywhere_else_are_refused(address: str, suite: Suite) -> None:
    ended = cnid(suite, f"--metrics={address}")
    assert ended.returncode == 1
    assert f"metrics at {address!r}: expected unix:PATH or a loopback address" in ended.stderr
    assert not suite.socket.exists()


def test_metrics_of_many_calls_are_well_formed() -> None:
    tally = Tally()
    for number in range(2000):
        plugin, verb = f"p{number % 3}", ("ADD", "DEL", 'b"ad')[number % 3]
        tally.count(
            {
                "plugin": plugin,
                "verb": verb,
                "seconds": number / 100,
                "waited": 0.001,
                "status": number % 2,
            }
        )
    found = exposition.read(tally.as_prometheus(8, 3, 1, HealSupervisor(None).state()))
    counts = found["cnid_call_seconds"].samples
    assert sum(v for (name, _), v in counts.items() if name == "cnid_call_seconds_count") == 2000
    assert {row["verb"] for row in tally.rows()} == {"ADD", "DEL", "other"}
    assert all(row["p50"] < row["p99"] for row in tally.rows())


# ---- systemd ------------------------------------------------------------------------------------


def test_systemd_hears_when_it_is_ready_and_stops(suite: Suite, daemon: Daemon) -> None:
    daemon.stop()
    assert daemon.notice() == "STOPPING=1"


def test_systemd_hears_that_it_lives(suite: Suite) -> None:
    with Daemon(suite, environ={"WATCHDOG_USEC": "200000"}) as daemon:
        assert [daemon.notice() for _ in range(3)] == ["WATCHDOG=1"] * 3


def test_the_watchdog_of_another_process(suite: Suite) -> None:
    with Daemon(suite, environ={"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}) as daemon:
        daemon.stop()
        assert daemon.notice() == "STOPPING=1"


_ACTIVATE = """
import os, sys
os.dup2(200, 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ.setdefault("LISTEN_FDS", "1")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def activated(suite: Suite) -> Any:
    """A socket as systemd's, and the wrapper that hands it over as sd_listen_fds(3) has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(suite.socket))
        listener.listen()
        os.dup2(listener.fileno(), 200)
    yield [PYTHON, "-IS", "-c", _ACTIVATE]
    os.close(200)


def test_socket_activation(suite: Suite, activated: list[str]) -> None:
    """Calls that came before the daemon are served; and the socket stays systemd's."""
    early = suite.start("STATUS", LOOPBACK)
    with Daemon(suite, "--socket=/nowhere", wrapper=activated, pass_fds=[200]) as daemon:
        assert early.answer().code == 0
        assert suite.call("STATUS", LOOPBACK).code == 0
        daemon.calls(2)
        second = cnid(suite)
        assert f"another cnid serves {suite.socket}: process" in second.stderr
    assert suite.cold_runs() == []
    assert suite.socket.exists()


def test_socket_activation_with_something_else(suite: Suite, activated: list[str]) -> None:
    wrong = "the socket unit must say ListenSequentialPacket=PATH and Accept=no"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(suite.socket) + "2")
        stream.listen()
        os.dup2(stream.fileno(), 200)
        assert wrong in cnid(suite, wrapper=activated, pass_fds=[200]).stderr
    ended = cnid(suite, wrapper=["env", "LISTEN_FDS=2", *activated], pass_fds=[200])
    assert "LISTEN_FDS: found '2', expected one socket" in ended.stderr


# ---- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [["--workers=0"], ["--calls=0"], ["--workers=x"], ["nonsense"], ["--patience=x"]]
)
def test_a_command_that_makes_no_sense(wrong: list[str], suite: Suite) -> None:
    ended = cnid(suite, *wrong)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "_count" not in ended.stderr


def test_something_in_the_socket_s_place(suite: Suite) -> None:
    suite.socket.write_text("mine")
    ended = cnid(suite)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"cnid: {suite.socket} is there and is no socket; remove it or choose another path\n"
    )
    assert suite.socket.read_text() == "mine"


def test_a_directory_that_cannot_be_made(suite: Suite) -> None:
    ended = cnid(suite, "--socket=/proc/x/cnid.sock")
    assert ended.returncode == 1
    assert ended.stderr == "cnid: socket /proc/x/cnid.sock: No such file or directory\n"


def test_a_port_for_metrics_that_is_taken(suite: Suite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = cnid(suite, f"--metrics={where}")
    assert ended.returncode == 1
    assert ended.stderr == f"cnid: metrics at {where}: Address already in use\n"


def test_closed_streams(suite: Suite) -> None:
    """0, 1 and 2 are lent to calls, and so must be nothing of the daemon's own."""
    wrapper = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    with Daemon(suite, "--workers=1", wrapper=wrapper) as daemon:
        for _ in range(2):
            assert suite.call("STATUS", LOOPBACK) == (0, b"", b"")
        for pid in daemon.processes():
            assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
    assert suite.cold_runs() == []


def test_version(suite: Suite) -> None:
    assert cnid(suite, "--version").stdout.startswith("cnid, pycni ")


def test_a_build_whose_name_is_too_long() -> None:
    import subprocess

    from tests.cnid.daemon import IMPORT_PATH

    code = (
        f"import sys; sys.path[:0] = {IMPORT_PATH!r}.split(':')\n"
        "from cnid.main import main\n"
        "sys.exit(main({}, 'x' * 17, []))\n"
    )
    ended = subprocess.run([PYTHON, "-IS", "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "has more than 16 characters" in ended.stderr
