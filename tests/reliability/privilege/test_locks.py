"""Whoever may open a file may lock it: nobody without privileges can keep plugins waiting."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostnet import lock
from hostnet.iptables_look import Here, Marker
from hostnet.lock import Lock, LockTimeout, NamespaceLock
from tests.kit.host import Host
from tests.kit.namespace import libc
from tests.reliability.privilege.confined import drop_all_but
from tests.reliability.privilege.rootless import USER

NETNS = Path("/proc/thread-self/ns/net")
_CLONE_NEWUSER = 0x10000000


def _ordinary_user() -> None:
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


def _root_of_its_own() -> None:
    _ordinary_user()
    libc("unshare", _CLONE_NEWUSER)


def _root_without_capabilities() -> None:
    drop_all_but(())


STRANGERS = {
    "an ordinary user": _ordinary_user,
    "root of a user namespace": _root_of_its_own,
    "root without capabilities": _root_without_capabilities,
}


@contextmanager
def held(path: Path, become: Callable[[], None]) -> Iterator[None]:
    """Another process holds the lock of a file for the length of the body."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become()
            fd = os.open(path, os.O_RDONLY)
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.write(tell, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(ready, 1), "it could not lock it"
        yield
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-ins are: the machine's own /run has other tenants."""
    directory = tmp_path / "beside"
    monkeypatch.setattr(lock, "_BESIDE", str(directory))
    return directory


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_keeps_nobody_waiting(who: str, host: Host, beside: Path) -> None:
    with held(NETNS, STRANGERS[who]):
        with NamespaceLock(seconds=0.2) as mine:
            (stand_in,) = beside.iterdir()
            assert (beside.stat().st_mode & 0o777, stand_in.stat().st_mode & 0o777) == (
                0o700,
                0o600,
            )
            assert os.path.samestat(os.fstat(mine.fileno()), stand_in.stat())
            # Those whose lock it is exclude each other all the same.
            with pytest.raises(LockTimeout, match=f"process {os.getpid()} "):
                NamespaceLock(seconds=0.2).acquire()
        with NamespaceLock(seconds=0.2):
            pass
    with NamespaceLock(seconds=0.2) as mine:
        assert os.path.samestat(os.fstat(mine.fileno()), NETNS.stat())


def test_one_of_ours_is_waited_for(host: Host, beside: Path) -> None:
    with held(NETNS, lambda: None), pytest.raises(LockTimeout, match="waited"):
        NamespaceLock(seconds=0.2).acquire()
    assert not beside.exists()


def test_a_lock_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    mask = os.umask(0)
    try:
        with Lock(str(path)):
            assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)  # the reference's, or ours of old
        with Lock(str(path)):
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(mask)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Lock(str(path)).acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_the_markers_name_is_anybodys(host: Host, beside: Path) -> None:
    """iptables' rules are changed all the same, and looked at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.bind(Marker._NAME)
        assert Marker.is_there()
        with NamespaceLock(), Marker():
            assert Marker.is_there()
        assert Here.settled(None).nl is None
