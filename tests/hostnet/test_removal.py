"""Links that are gone before the kernel has tidied up behind them."""

from __future__ import annotations

import _thread
import errno
import os
import resource
import signal
import time

import pytest

from hostnet import link, removal, signals
from hostnet.netlink import Netlink, NetlinkError
from hostnet.netns import NetNS
from tests.kit.host import Host
from tests.kit.namespace import Namespace


class StruckError(BaseException):
    """As `Terminated` of the door."""


@pytest.fixture(autouse=True)
def _lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker."""
    monkeypatch.setattr(removal, "_lives_on", True)


def pair(nl: Netlink, name: str, master: int = 0) -> link.Link:
    link.create_veth(
        nl, name, f"{name}p", mac=link.random_mac(), peer_mac=link.random_mac(), master=master
    )
    found = link.get(nl, name)
    link.set_up(nl, found.index)
    return found


def test_it_is_gone_and_nobody_waits(host: Host) -> None:
    """A bridge's port, whose end the bridge announces before it is that of the link."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with Netlink() as nl:
        bridge = link.create(nl, "br0", "bridge")
        for number in range(20):
            found = pair(nl, f"port{number}", bridge.index)
            aside = bool(number % 2)
            delete = removal.delete if aside else link.delete
            start = time.monotonic()
            assert delete(nl, found.index)
            times[aside].append(time.monotonic() - start)
            assert link.find(nl, found.name) is None
            assert link.find(nl, f"{found.name}p") is None
            assert link.dump(nl, master=bridge.index) == []
        link.delete(nl, bridge.index)
    # 1 ms, and 10 to 20.
    assert sorted(times[True])[5] < sorted(times[False])[5] / 2


def test_in_another_namespace(host: Host, container: Namespace) -> None:
    with NetNS.open(str(container)) as ns, ns.netlink() as nl:
        found = pair(nl, "eth0")
        assert removal.delete(nl, found.index, ns)
        assert link.find(nl, "eth0") is None
        assert not removal.delete(nl, found.index, ns)


def test_what_cannot_be_deleted(host: Host) -> None:
    with Netlink() as nl:
        lo = link.get(nl, "lo")
        with pytest.raises(NetlinkError, match="cannot delete interface 1") as caught:
            removal.delete(nl, lo.index)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_without_a_thread(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    with Netlink() as nl:
        found = pair(nl, "port")
        monkeypatch.setattr(_thread, "start_new_thread", refuse)
        assert removal.delete(nl, found.index)
        assert link.find(nl, "port") is None


@pytest.mark.parametrize("spare", range(4))
def test_without_descriptors(spare: int, host: Host) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Netlink() as nl:
        found = pair(nl, "port")
        with Netlink() as last:
            highest = last.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, before[1]))
        try:
            assert removal.delete(nl, found.index)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert link.find(nl, "port") is None


@pytest.mark.parametrize("step", ["hold", "release"])
def test_a_signal_leaves_no_descriptor(
    step: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that came meanwhile: its handler raises where signals are held no more."""
    genuine = getattr(signals, step)
    before = signals.hold()
    signals.release(before)

    def strike(*mask: set[int]) -> None:
        genuine(*mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise StruckError

    with Netlink() as nl:
        found = pair(nl, "port")
        opened = len(os.listdir("/proc/self/fd"))
        with monkeypatch.context() as patch:
            patch.setattr(signals, step, strike)
            with pytest.raises(StruckError):
                removal.delete(nl, found.index)
        removal.delete(nl, found.index)
        # Threads close what they have, be they still under way.
        deadline = time.monotonic() + 5
        while len(os.listdir("/proc/self/fd")) > opened and time.monotonic() < deadline:
            os.sched_yield()
        assert len(os.listdir("/proc/self/fd")) == opened


def test_a_process_that_ends_waits(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_lives_on", False)
    monkeypatch.setattr(_thread, "start_new_thread", None)
    with Netlink() as nl:
        found = pair(nl, "port")
        assert removal.delete(nl, found.index)
        assert not removal.delete(nl, found.index)
