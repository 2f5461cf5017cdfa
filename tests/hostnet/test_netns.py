"""Namespaces: what is taken for one, and that a thread always comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hostnet import link, netns
from hostnet.netlink import Netlink
from hostnet.netns import NetNS, NetNSError
from tests.kit.host import Host
from tests.kit.namespace import Namespace

HERE = "/proc/thread-self/ns/net"


def where() -> int:
    return os.stat(HERE).st_ino


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/proc/self/ns/mnt", "a namespace of kind mount"),
        ("/proc/self/ns/user", "a namespace of kind user"),
        ("/etc/passwd", "an ordinary file"),
        ("/proc/self/status", "an ordinary file"),
        ("/proc/self", "a directory"),
        ("/dev/null", "a special file"),
    ],
)
def test_what_is_no_network_namespace_is_named(path: str, found: str) -> None:
    with pytest.raises(NetNSError) as caught:
        NetNS.open(path)
    assert str(caught.value) == f"{path} is {found}, and a network namespace was expected"


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NetNSError, match="a special file"):
        NetNS.open(str(tmp_path / "fifo"))


def test_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        NetNS.open(str(tmp_path / "missing"))


def test_no_descriptor_is_left(host: Host, container: Namespace) -> None:
    before = os.listdir("/proc/self/fd")
    for path in ("/proc/self/ns/mnt", "/etc/passwd", "/dev/null"):
        with pytest.raises(NetNSError):
            NetNS.open(path)
    with container.open() as inside:
        inside.netlink().close()
        with inside.entered():
            pass
    assert os.listdir("/proc/self/fd") == before


def test_identity(host: Host, container: Namespace) -> None:
    with container.open() as one, container.open() as other, netns.current() as here:
        assert one.identity == other.identity != here.identity
        assert here.is_current()
        assert not one.is_current()


def test_of_a_socket(host: Host, container: Namespace) -> None:
    with container.open() as inside, inside.netlink() as nl, netns.of_socket(nl) as found:
        assert found.identity == inside.identity
        with found.entered():
            assert inside.is_current()


def test_inside_and_back(host: Host, container: Namespace) -> None:
    home = where()
    with container.open() as inside:
        with inside.entered():
            assert where() == inside.identity[1]
            assert inside.is_current()
        assert where() == home
        with pytest.raises(ZeroDivisionError), inside.entered():
            raise ZeroDivisionError
        assert where() == home


def test_entering_twice_comes_back_in_steps(host: Host, container: Namespace) -> None:
    home = where()
    with container.open() as one, host.container().open() as other, one.entered():
        with other.entered():
            assert other.is_current()
        assert one.is_current()
    assert where() == home


def test_a_socket_is_born_inside(host: Host, container: Namespace) -> None:
    home = where()
    with container.open() as inside, inside.netlink() as there, Netlink() as here:
        assert where() == home
        index = link.create(there, "inner", "bridge").index
        assert link.find(here, "inner") is None
        assert "inner" in container.links()
        link.delete(there, index)


def test_it_outlives_its_path(host: Host) -> None:
    short_lived = host.container()
    with short_lived.open() as inside:
        short_lived.close()
        with inside.netlink() as nl:
            assert link.get(nl, "lo").index == 1


def test_what_cannot_be_entered(host: Host, container: Namespace) -> None:
    home = where()
    inside = container.open()
    inside.close()
    with pytest.raises(NetNSError, match="cannot enter the network namespace") as caught:
        inside.netlink()
    assert str(container) in str(caught.value)
    assert where() == home
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []), "signals are let through again"


def test_signals_wait_until_the_thread_is_back(host: Host, container: Namespace) -> None:
    struck_in: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda *_: struck_in.append(where()))
    try:
        with container.open() as inside:
            with inside.entered():
                signal.raise_signal(signal.SIGTERM)  # to this thread
                assert where() == inside.identity[1]
                assert not struck_in
            assert struck_in == [where()]
    finally:
        signal.signal(signal.SIGTERM, before)


GOES_ON_IN_THE_WRONG_PLACE = """
import sys
from hostnet import netns

inside = netns.NetNS.open(sys.argv[1])
with inside.entered():
    netns._setns_call = lambda fd: 12
print("went on")
"""


def test_a_process_that_cannot_come_back_ends(host: Host, container: Namespace) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GOES_ON_IN_THE_WRONG_PLACE, str(container)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(netns.__file__).parents[1])},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"cannot return from the network namespace {container}: "
        "Cannot allocate memory; giving up at once\n"
    )


def test_a_moments_failure_to_come_back_is_survived(
    host: Host, container: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = where()
    netns.current().close()
    with container.open() as inside, inside.entered():
        real = netns._setns_call
        assert real
        failures = [12, 12]
        monkeypatch.setattr(
            netns, "_setns_call", lambda fd: failures.pop() if failures else real(fd)
        )
    assert where() == home
