"""Two daemons on one host: the second is refused or takes over, and no call ever notices."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from bench.daemon import Daemon
from cnid.status import ask
from libcni import Attachment, Runtime
from tests.kit.host import Host
from tests.reliability.races import networks

SECONDS = 20
CONTAINERS = 3


@pytest.fixture
def attached(host: Host) -> None:
    networks.connect(host)


def _call_until(over: threading.Event, runtime: Runtime, host: Host, number: int) -> list[str]:
    """ADD, CHECK and DEL of one container, again and again; what went wrong."""
    network = networks.published(host)
    one = Attachment(f"c{number}", str(host.containers[number + 1]))  # the first is the wire's
    problems: list[str] = []
    while not over.is_set() and not problems:
        try:
            runtime.add(network, one)
            runtime.check(network, one)
            runtime.delete(network, one)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
            problems.append(str(error))
    return problems


def test_calls_while_daemons_come_and_go(
    host: Host, attached: None, built: Path, tmp_path: Path, whole: bool
) -> None:
    """Each round: a second is refused; the first is killed, and another takes its place."""
    host.share("file */cache/results/")
    environ = {"CNID_SOCKET": str(tmp_path / "cnid.sock"), "PATH": os.defpath}
    runtime = Runtime([str(built)], str(host.state / "cache"), environ=environ)
    for number in range(CONTAINERS):
        host.container(f"c{number}")
    over = threading.Event()
    problems: list[str] = []
    callers = [
        threading.Thread(
            target=lambda n=number: problems.extend(_call_until(over, runtime, host, n))
        )
        for number in range(CONTAINERS)
    ]
    daemon = _start(built, host, tmp_path)
    for one in callers:
        one.start()
    try:
        for turn in range(20 if whole else 2):
            before = daemon.calls()
            second = subprocess.run(
                [built / "cnid", f"--socket={daemon.socket}", "--conf-dir="],
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
            assert second.returncode == 1
            assert f"{daemon.socket}" in second.stderr
            assert daemon.calls() >= before, "the second took the first one's socket"
            if turn % 2:
                daemon.stop()
            else:
                _kill(daemon)
            daemon = _start(built, host, tmp_path)
            assert ask(str(daemon.socket))["workers"]
    finally:
        over.set()
        for one in callers:
            one.join()
        daemon.stop()
    assert problems == []
    networks.disconnect(host)


def _start(built: Path, host: Host, directory: Path) -> Daemon:
    (directory / "notify").unlink(missing_ok=True)
    return Daemon(built / "cnid", host, directory)


def _kill(daemon: Daemon) -> None:
    """SIGKILL the daemon alone; its workers end with it."""
    daemon._process.kill()
    daemon._process.wait(SECONDS)
