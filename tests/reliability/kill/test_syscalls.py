"""tests/kit/syscalls: the order of the calls, each strike, and that nothing is left of a target."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.syscalls import (
    HOLD,
    KILL_ISSUER,
    KILL_TREE,
    Fail,
    Outcome,
    Point,
    Send,
    Supervisor,
)

SECONDS = 20


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as made:
        yield made


def write_and_rename(directory: Path) -> int:
    (directory / "one").write_text("1")
    (directory / "one").rename(directory / "two")
    return 7


def with_a_child(directory: Path) -> int:
    """The child makes a directory, then its parent a file that says how the child has ended."""
    child = os.fork()
    if child == 0:
        (directory / "child").mkdir()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (directory / "parent").write_text(str(status))
    return 0


def number_of(outcome: Outcome, call: str) -> int:
    return outcome.calls.index(call) + 1


def test_the_calls_that_change_something_are_listened_to(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    outcome = supervisor.run(lambda: write_and_rename(tmp_path))
    assert outcome.calls == ["openat", "write", "rename"]
    assert (outcome.status, outcome.struck) == (7, False)
    assert (tmp_path / "two").read_text() == "1"


def test_the_calls_of_threads_and_children_have_one_order(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    def target() -> int:
        thread = threading.Thread(target=(tmp_path / "thread").mkdir)
        thread.start()
        thread.join()
        (tmp_path / "thread").rmdir()
        with_a_child(tmp_path)
        (tmp_path / "child").rmdir()
        (tmp_path / "parent").unlink()
        return 0

    first = supervisor.run(target)
    assert {"mkdir", "rmdir", "openat", "unlink"} < set(first.calls)
    assert len({one.pid for one in first.points}) == 3
    for _ in range(5):
        assert supervisor.run(target).calls == first.calls


def test_a_command_gets_its_input_and_environment(supervisor: Supervisor) -> None:
    script = "import os, sys; print(sys.stdin.read() + os.environ['A']); sys.exit('bad')"
    command = [sys.executable, "-I", "-S", "-c", script]
    outcome = supervisor.run(command, env={"A": "2"}, stdin=b"1")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (1, b"12\n", b"bad\n")
    assert outcome.calls[0] == "execve"


def test_what_cannot_be_started_is_told(supervisor: Supervisor, tmp_path: Path) -> None:
    outcome = supervisor.run([str(tmp_path / "missing")])
    assert outcome.status == 125
    assert b"FileNotFoundError" in outcome.stderr


def test_a_tree_is_killed_before_the_call(supervisor: Supervisor, tmp_path: Path) -> None:
    def target() -> int:
        return with_a_child(tmp_path)

    at = number_of(supervisor.run(target), "mkdir")
    (tmp_path / "child").rmdir()
    (tmp_path / "parent").unlink()
    outcome = supervisor.run(target, at=at, strike=KILL_TREE)
    assert (outcome.status, outcome.struck) == (-signal.SIGKILL, True)
    assert list(tmp_path.iterdir()) == []
    assert supervisor.is_idle()


def test_the_issuer_alone_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    def target() -> int:
        return with_a_child(tmp_path)

    at = number_of(supervisor.run(target), "mkdir")
    (tmp_path / "child").rmdir()
    outcome = supervisor.run(target, at=at, strike=KILL_ISSUER)
    assert (outcome.status, outcome.struck) == (0, True)
    assert not (tmp_path / "child").exists()
    assert (tmp_path / "parent").read_text() == str(-signal.SIGKILL)


def test_a_call_fails_and_is_not_carried_out(supervisor: Supervisor, tmp_path: Path) -> None:
    def target() -> int:
        try:
            return write_and_rename(tmp_path)
        except OSError as error:
            return error.errno or 0

    outcome = supervisor.run(target, at=3, strike=Fail(errno.EIO))
    assert outcome.status == errno.EIO
    assert not (tmp_path / "two").exists()


def test_a_signal_comes_with_the_call(supervisor: Supervisor, tmp_path: Path) -> None:
    def target() -> int:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
        return write_and_rename(tmp_path)

    outcome = supervisor.run(target, at=3, strike=Send(signal.SIGTERM))
    assert outcome.status == 3
    assert (tmp_path / "two").exists()


def test_only_what_counts_has_a_number(supervisor: Supervisor, tmp_path: Path) -> None:
    def is_rename(point: Point) -> bool:
        return point.call == "rename"

    outcome = supervisor.run(
        lambda: write_and_rename(tmp_path), at=1, strike=KILL_TREE, counts=is_rename
    )
    assert outcome.calls == ["rename"]
    assert (tmp_path / "one").read_text() == "1"


def test_a_call_waits_while_another_target_runs(supervisor: Supervisor, tmp_path: Path) -> None:
    def target() -> int:
        return write_and_rename(tmp_path)

    with supervisor.start(target, at=3, strike=HOLD) as held:
        assert held.reached()
        assert (tmp_path / "one").exists()
        assert supervisor.run(lambda: write_and_rename(tmp_path)).status == 7
        (tmp_path / "two").unlink()
        (tmp_path / "one").write_text("2")
        outcome = held.release()
    assert (outcome.status, outcome.calls) == (7, ["openat", "write", "rename"])
    assert (tmp_path / "two").read_text() == "2"


def test_a_point_beyond_the_end_is_not_reached(supervisor: Supervisor, tmp_path: Path) -> None:
    with supervisor.start(lambda: write_and_rename(tmp_path), at=4) as held:
        assert not held.reached()
        assert held.finish().status == 7


def test_a_held_target_ends_with_its_supervisor(tmp_path: Path) -> None:
    with Supervisor() as supervisor, supervisor.start(lambda: with_a_child(tmp_path), at=2) as held:
        assert held.reached()
    assert not Path(f"/proc/{held.pid}").exists()


def test_no_process_outlives_a_supervisor_that_dies(tmp_path: Path) -> None:
    """Nobody would answer, and a call without an answer fails, which a target may not notice."""
    answers, answer = os.pipe()
    dying = os.fork()
    if dying == 0:
        run = Supervisor().start(lambda: with_a_child(tmp_path), at=2)
        run.reached()
        os.write(answer, b" ".join(str(one.pid).encode() for one in run.points) + b"\n")
        signal.pause()
    text = os.read(answers, 100)
    ends = [os.pidfd_open(int(pid)) for pid in set(text.split())]
    os.kill(dying, signal.SIGKILL)
    os.waitpid(dying, 0)
    for fd in ends:
        assert select.select([fd], [], [], SECONDS)[0], "it is still there"
    for fd in (*ends, answers, answer):
        os.close(fd)
    assert not (tmp_path / "parent").exists()
