"""Where no daemon takes the call, the cold executable runs; and where one does, it alone."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cnid import protocol
from tests.cnid import fake
from tests.cnid.daemon import PLUGINS, SECONDS, Daemon, Suite, while_stopped
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, Namespace, libc, mount

CONFIG = {"cniVersion": "1.1.0", "name": "n", "type": "probe"}
COLD = ["probe ADD"]


def _refusal(daemon: Daemon) -> str:
    """Why the daemon refused the one request that it did."""
    (line,) = daemon.wait_for(lambda line: line["msg"] in ("refused", "dropped"))
    why: str = line["why"]
    return why


# ---- no daemon ----------------------------------------------------------------------------------


def test_no_daemon(suite: Suite, container: Namespace) -> None:
    assert suite.call("ADD", CONFIG, container).code == 0
    assert suite.cold_runs() == COLD


@pytest.mark.parametrize("path", ["", "/" + "x" * 200, "/etc/passwd", "/nowhere/cnid.sock"])
def test_no_daemon_at_the_path(
    path: str, suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    answer = suite.call("ADD", CONFIG, container, environ={"CNID_SOCKET": path})
    assert answer.code == 0
    assert suite.cold_runs() == COLD
    assert daemon.status()["calls"] == []


def test_a_socket_that_a_killed_daemon_left(suite: Suite, container: Namespace) -> None:
    fake.listen(suite.socket).close()
    assert suite.call("ADD", CONFIG, container).code == 0
    assert suite.cold_runs() == COLD


# ---- a daemon that is none ----------------------------------------------------------------------


@pytest.fixture
def other_binaries(tmp_path: Path, compiled: Path, suite: Suite, request: Any) -> None:
    """Put another build of the launcher in the suite's place."""
    for name in PLUGINS:
        (suite.path / name).unlink()
        os.link(compiled / request.param, suite.path / name)


IMPATIENT_SECONDS = 0.2
impatient = pytest.mark.parametrize("other_binaries", ["impatient"], indirect=True)


@impatient
def test_a_daemon_that_accepts_and_says_nothing(
    other_binaries: None, suite: Suite, container: Namespace
) -> None:
    with fake.listen(suite.socket) as listener:
        running = suite.start("ADD", CONFIG, container)
        connection, _ = fake.accept(listener)
        with connection:
            assert connection.recv(16) == b"", "it has given up"
        assert running.answer().code == 0
    assert suite.cold_runs() == COLD


@impatient
def test_a_daemon_whose_queue_is_full(
    other_binaries: None, suite: Suite, container: Namespace
) -> None:
    with fake.listen(suite.socket) as listener:
        listener.listen(0)
        with fake.connect(suite):
            assert suite.call("ADD", CONFIG, container).code == 0
    assert suite.cold_runs() == COLD


@pytest.mark.parametrize("answer", [b"", b"R", b"X", b"D"])
def test_a_daemon_that_does_not_take_the_call(
    answer: bytes, suite: Suite, container: Namespace
) -> None:
    with fake.listen(suite.socket) as listener:
        running = suite.start("ADD", CONFIG, container)
        connection, request = fake.accept(listener)
        assert (request.plugin, request.build) == ("probe", "test")
        with connection:
            if answer:
                connection.send(answer)
        assert running.answer().code == 0
    assert suite.cold_runs() == COLD


@impatient
def test_a_call_that_takes_longer_than_a_daemon_may_be_silent(
    other_binaries: None, suite: Suite, container: Namespace
) -> None:
    with fake.listen(suite.socket) as listener:
        running = suite.start("ADD", CONFIG, container)
        connection, _ = fake.accept(listener, take=True)
        with connection:
            assert select.select([connection], [], [], 3 * IMPATIENT_SECONDS)[0] == []
            connection.send(b"D\x07")
        assert running.answer() == (7, b"", b"")
    assert suite.cold_runs() == []


def test_a_signal_before_anybody_has_taken_the_call(suite: Suite, container: Namespace) -> None:
    """Nobody ever will: it dies, as of any signal."""
    with fake.listen(suite.socket) as listener:
        running = suite.start("ADD", CONFIG, container)
        connection, _ = listener.accept()
        with connection:
            message, descriptors = protocol.receive(connection, protocol.DESCRIPTORS)
            assert message
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(SECONDS)
            assert not protocol.take(descriptors[-1])
            for fd in descriptors:
                os.close(fd)
    assert running.process.returncode == -signal.SIGTERM
    running.answer()
    assert suite.cold_runs() == []


def test_a_daemon_of_another_user(suite: Suite, container: Namespace) -> None:
    with fake.listen(suite.socket, fake.NOBODY) as listener:
        assert suite.call("ADD", CONFIG, container).code == 0
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(16) == b"", "it was told nothing"
    assert suite.cold_runs() == COLD


@pytest.mark.parametrize(("command", "remedy"), [("ADD", "call DEL, then"), ("DEL", "call it")])
def test_a_daemon_that_dies_with_the_call(
    command: str, remedy: str, suite: Suite, container: Namespace
) -> None:
    """One error that says what to do, and nothing run twice."""
    with fake.listen(suite.socket) as listener:
        running = suite.start(command, CONFIG, container)
        connection, _ = fake.accept(listener, take=True)
        connection.close()
        answer = running.answer()
    assert answer.code == 11
    assert answer.stderr == b""
    assert f"probe: the daemon cnid went away during {command}" in answer.document["msg"]
    assert remedy in answer.document["msg"]
    assert suite.cold_runs() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_crosses_the_answer(number: int, suite: Suite, container: Namespace) -> None:
    """The daemon closes with the signal unread, which resets the connection: the answer counts."""
    with fake.listen(suite.socket) as listener:
        running = suite.start("ADD", CONFIG, container)
        connection, _ = fake.accept(listener, take=True)
        with connection:
            running.process.send_signal(number)
            assert select.select([connection], [], [], SECONDS)[0]
            assert connection.recv(16, socket.MSG_PEEK) == bytes([ord("T"), number])
            while_stopped(running.process.pid, partial(connection.send, b"D\x07"), connection.close)
        assert running.answer() == (7, b"", b"")


# ---- a daemon that refuses ----------------------------------------------------------------------


@pytest.mark.parametrize("other_binaries", ["other-build"], indirect=True)
def test_a_daemon_of_another_build(
    other_binaries: None, suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    (suite.path / "pycni-lib-test").rename(suite.path / "pycni-lib-other")
    assert suite.call("ADD", CONFIG, container).code == 0
    assert suite.cold_runs() == COLD
    assert _refusal(daemon) == "it is of build 'other', the daemon of 'test'"


def test_a_plugin_that_the_daemon_does_not_have(
    suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    os.link(suite.path / "probe", suite.path / "stranger")
    suite.call("ADD", CONFIG, container, plugin="stranger")
    assert suite.cold_runs() == ["stranger ADD"]
    assert _refusal(daemon) == "there is no plugin 'stranger'"


def test_a_caller_in_another_network_namespace(
    host: Host, suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    elsewhere = host.container()
    assert elsewhere.run(suite.call, "ADD", CONFIG, container).code == 0
    assert suite.cold_runs() == COLD
    assert _refusal(daemon).endswith("is in another network namespace")


@pytest.mark.parametrize(
    ("wrapper", "where"),
    [
        (["unshare", "--mount"], "mount namespace"),
        (["unshare", "--user", "--map-root-user"], "user namespace"),
    ],
)
def test_a_caller_in_another_namespace(
    wrapper: list[str], where: str, suite: Suite, daemon: Daemon
) -> None:
    config = {**CONFIG, "cniVersion": "1.1.0"}
    assert suite.call("DEL", config, wrapper=wrapper).code == 0
    assert suite.cold_runs() == ["probe DEL"]
    assert _refusal(daemon).endswith(f"is in another {where}")


def test_a_caller_under_another_root_directory(
    suite: Suite, daemon: Daemon, tmp_path: Path
) -> None:
    """There the stand-in finds no Python."""
    environ = {"CNID_SOCKET": "/cnid.sock"}
    proc = tmp_path / "proc"
    proc.mkdir()
    mount("proc", proc, "proc")
    try:
        inside = [shutil.which("chroot", path="/usr/sbin:/usr/bin") or "chroot", str(tmp_path)]
        answer = suite.call("DEL", CONFIG, environ=environ, wrapper=inside, path="/bin")
    finally:
        libc("umount2", bytes(proc), MNT_DETACH)
    assert answer.status == 127
    assert _refusal(daemon).endswith("is in another root directory")


def test_an_environment_that_is_too_large(
    suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    large = {f"V{number}": "x" * 100_000 for number in range(3)}
    assert suite.call("ADD", CONFIG, container, environ=large).code == 0
    assert suite.cold_runs() == COLD
    just = {"V": "x" * 100_000, "W": "x" * 98_000}
    assert suite.call("ADD", CONFIG, container, environ=just).code == 0
    assert suite.cold_runs() == []


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-"])
def test_a_closed_stream(closed: str, suite: Suite, daemon: Daemon, container: Namespace) -> None:
    wrapper = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    config = {**CONFIG, "do": "wreck"}  # whose result is the same in every process
    answers = [
        suite.call("ADD", config, container, environ=environ, wrapper=wrapper)
        for environ in ({}, {"CNID_SOCKET": ""})
    ]
    assert answers[0] == answers[1]
    assert suite.cold_runs() == COLD * 2
    assert daemon.status()["calls"] == []


# ---- a namespace that is another when the daemon opens it ---------------------------------------


@pytest.mark.parametrize("form", ["/proc/self/fd/{}", "/proc/thread-self/fd/{}", "/dev/fd/{}"])
def test_a_netns_that_means_the_caller(
    form: str, suite: Suite, daemon: Daemon, container: Namespace
) -> None:
    fd = os.open(container.path, os.O_RDONLY)
    running = suite.start("ADD", CONFIG, form.format(fd), pass_fds=[fd])
    os.close(fd)
    assert running.answer().code == 0
    assert suite.cold_runs() == COLD
    assert _refusal(daemon) == "CNI_NETNS is another file when the caller opens it"


def test_a_netns_that_leads_to_the_caller(
    suite: Suite, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/proc/self/fd/200")
    fd = os.open(container.path, os.O_RDONLY)
    os.dup2(fd, 200)
    try:
        answer = suite.call("ADD", CONFIG, tmp_path / "link", pass_fds=[200])
    finally:
        os.close(fd)
        os.close(200)
    assert answer.code == 0
    assert suite.cold_runs() == COLD


def test_a_relative_netns_is_served(suite: Suite, daemon: Daemon, container: Namespace) -> None:
    path = container.path.name
    answer = suite.call("ADD", CONFIG, path, cwd=container.path.parent)
    assert answer.code == 0
    assert suite.cold_runs() == []


# ---- who may connect ----------------------------------------------------------------------------


@pytest.fixture
def public(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> str:
    """The socket's name in the working directory, which every user may search.

    Those above it are pytest's own, and closed.
    """
    directory = suite.socket.parent
    directory.chmod(0o711)
    monkeypatch.chdir(directory)
    with fake.As(fake.NOBODY):
        assert Path("bin").exists()
    return suite.socket.name


def test_another_user_cannot_connect(public: str, suite: Suite, daemon: Daemon) -> None:
    assert stat.S_IMODE(suite.socket.stat().st_mode) == 0o600
    with fake.As(fake.NOBODY), pytest.raises(PermissionError):
        fake.connect(suite, public)


def test_another_user_is_refused_who_can(public: str, suite: Suite, daemon: Daemon) -> None:
    suite.socket.chmod(0o666)
    with fake.As(fake.NOBODY):
        connection = fake.connect(suite, public)
    with connection:
        output = fake.send(connection, fake.request(suite, "STATUS"))
        assert connection.recv(16) == b"R"
    assert fake.read_all(output) == b""
    assert _refusal(daemon) == f"it is of user {fake.NOBODY}"
