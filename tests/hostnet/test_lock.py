"""The bounded lock against other processes, which take it as the reference does."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from hostnet import lock
from hostnet.lock import Lock, LockTimeout, NamespaceLock
from tests.kit.host import Host
from tests.kit.namespace import Namespace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def flock(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that wants the lock, by flock(1), and gives it back when its stdin ends."""
    held = ["flock", "--exclusive", str(path), "sh", "-c", "echo held; read line || true"]
    with subprocess.Popen(held, stdin=-1, stdout=-1, text=True) as process:
        try:
            yield process
        finally:
            if process.stdin and not process.stdin.closed:
                process.stdin.close()


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    with flock(path) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process


def waiting(path: Path) -> int:
    """How many are in the kernel's queue for the lock."""
    inode = f":{path.stat().st_ino} "
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and inode in line for line in lines)


def when_somebody_waits(path: Path, act: Callable[[], object]) -> threading.Thread:
    """Act, in a thread, as soon as the kernel has somebody in the queue for the lock."""

    def watch() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if waiting(path):
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def is_free(path: Path) -> bool:
    return subprocess.run(["flock", "-n", path, "true"], check=False).returncode == 0


def test_it_excludes_others_and_lets_go(path: Path) -> None:
    with Lock(str(path)):
        assert not is_free(path)
    assert is_free(path)
    assert path.read_bytes() == b""


def test_it_lets_go_after_an_exception(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Lock(str(path)):
        raise ZeroDivisionError
    assert is_free(path)


def test_what_is_in_the_file_stays(path: Path) -> None:
    path.write_text("x")
    with Lock(str(path)):
        pass
    assert path.read_text() == "x"


def test_the_wait_is_bounded_and_names_the_holder(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    start = time.monotonic()
    with pytest.raises(LockTimeout) as caught, Lock(str(path), seconds=0.2):
        pass
    assert 0.2 <= time.monotonic() - start < 2
    assert str(caught.value) == (
        f"waited {round(caught.value.seconds, 1):g} s for the lock {path}, "
        f"which process {holder.pid} (flock) holds"
    )


class Turns:
    """Holders that are before us in the queue: each is looked at three times, then it gives it on.

    The clock stands still but for these looks, of which each takes three seconds.
    """

    SECONDS = 3.0
    LOOKS = 3

    def __init__(self, path: Path, first: subprocess.Popen[str], holders: ExitStack) -> None:
        self.queue = [first]
        while len(self.queue) < 4:
            self.queue.append(holders.enter_context(flock(path)))
            deadline = time.monotonic() + 10
            while waiting(path) < len(self.queue) - 1:
                assert time.monotonic() < deadline
        self._left = self.LOOKS
        self._now = 0.0
        self._look = lock._holder_pid

    def monotonic(self) -> float:
        return self._now

    def holder_pid(self, fd: int) -> str:
        holder = self._look(fd)
        if self.queue and holder == str(self.queue[0].pid):
            self._now += self.SECONDS
            self._left -= 1
            if self._left == 0:
                self._left = self.LOOKS
                stdin = self.queue.pop(0).stdin
                assert stdin
                stdin.close()
        return holder


@pytest.fixture
def turns(
    path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Turns]:
    with ExitStack() as holders:
        turns = Turns(path, holder, holders)
        monkeypatch.setattr(lock, "time", turns)
        monkeypatch.setattr(lock, "_holder_pid", turns.holder_pid)
        monkeypatch.setattr(lock, "_LOOKS", 1000)
        yield turns


def test_a_queue_that_moves_is_waited_for(path: Path, turns: Turns) -> None:
    """Each of four holds it for nine seconds, and none for ten."""
    with Lock(str(path)):
        assert turns.monotonic() == 36
        assert turns.queue == []
        assert not is_free(path)


def test_the_wait_in_a_queue_is_bounded_too(path: Path, turns: Turns) -> None:
    third = turns.queue[2].pid
    with pytest.raises(LockTimeout) as caught, Lock(str(path), in_all=20):
        pass
    # Over at the look that began after 21 s, and took three.
    assert str(caught.value) == (
        f"waited 24 s for the lock {path}, which process {third} (flock) holds"
    )


def test_after_the_wait_is_over_the_lock_is_nobodys(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(LockTimeout), Lock(str(path), seconds=0.05):
        pass
    holder.communicate()
    # The thread that still waited takes it now and gives it back: with a bounded wait we get it.
    with Lock(str(path), seconds=5):
        assert not is_free(path)
    subprocess.run(["flock", "-w", "5", path, "true"], check=True)


def test_a_waiter_gets_it(path: Path, holder: subprocess.Popen[str]) -> None:
    watcher = when_somebody_waits(path, holder.communicate)
    with Lock(str(path), seconds=5):
        watcher.join()
        assert holder.returncode == 0
        assert not is_free(path)
    assert is_free(path)


@pytest.mark.usefixtures("holder")
def test_a_signal_ends_the_wait(path: Path) -> None:
    def strike(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, strike)
    try:
        watcher = when_somebody_waits(path, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        with pytest.raises(KeyboardInterrupt), Lock(str(path), seconds=5):
            pass
        watcher.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_lock_file_that_somebody_removed_is_worth_nothing(path: Path) -> None:
    """As when a cleaning script empties the directory while others wait at the lock."""
    ours = Lock(str(path))
    others = Lock(str(path))
    with open(path, "w") as old:
        fcntl.flock(old, fcntl.LOCK_EX)

        def clean_up() -> None:
            path.unlink()
            others.acquire()
            old.close()
            when_somebody_waits(path, others.release)

        watcher = when_somebody_waits(path, clean_up)
        ours.acquire()  # the old file's lock at first, which is not enough
        watcher.join()
    assert others._fd == -1, "the new file's lock came after the other had given it back"
    assert not is_free(path)
    ours.release()


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Lock(str(tmp_path / "missing" / "lock")):
        pass


COUNT = """
import sys
from hostnet.lock import Lock

for _ in range(50):
    with Lock(sys.argv[1]):
        with open(sys.argv[2]) as file:
            number = int(file.read())
        with open(sys.argv[2], "w") as file:
            file.write(str(number + 1))
"""


def test_many_processes_at_once(path: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    env = {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-S", "-c", COUNT, str(path), str(counter)]
    running = [subprocess.Popen(command, env=env) for _ in range(6)]
    assert [one.wait(30) for one in running] == [0] * 6
    assert counter.read_text() == "300"


def test_no_descriptor_is_left(path: Path, holder: subprocess.Popen[str]) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(LockTimeout), Lock(str(path), seconds=0.01):
        pass
    holder.communicate()
    # The thread that still waited takes the lock, gives it back and closes its descriptor.
    deadline = time.monotonic() + 5
    while not set(os.listdir("/proc/self/fd")) <= before:
        assert time.monotonic() < deadline


def test_a_namespace_has_a_lock_of_its_own(host: Host, container: Namespace) -> None:
    def bounded() -> None:
        with NamespaceLock(seconds=0.05):
            pass

    with NamespaceLock():
        assert not is_free(host.path)
        assert is_free(container.path)
        container.run(bounded)
        with pytest.raises(LockTimeout, match=f"process {os.getpid()} "):
            host.run(bounded)
    with NamespaceLock(seconds=5):  # after the thread of the one that gave up
        assert not is_free(host.path)
