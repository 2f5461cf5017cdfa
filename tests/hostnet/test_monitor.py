"""Waiting for the kernel's announcements, with a bound."""

from __future__ import annotations

import select
import threading
import time
from ipaddress import ip_interface

import pytest

from hostnet import address, bridge, link
from hostnet.monitor import (
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_LINK,
    Monitor,
)
from hostnet.netlink import Netlink
from tests.kit.host import Host


def test_what_is_so_already_is_not_waited_for() -> None:
    with Monitor() as monitor:
        assert monitor.until(lambda: 5, 0, "five") == 5


def test_the_bound(host: Host) -> None:
    start = time.monotonic()
    with Monitor(RTNLGRP_LINK) as monitor, pytest.raises(TimeoutError) as caught:
        monitor.until(lambda: None, 0.1, "the link cni0")
    assert 0.1 <= time.monotonic() - start < 1
    assert caught.value.strerror == "the link cni0 has not happened within 0.1 s"


def test_noise_does_not_move_the_bound(host: Host) -> None:
    over = threading.Event()

    def noise() -> None:
        host.enter()
        with Netlink() as nl:
            while not over.is_set():
                link.change(nl, 1, mtu=1500)
                link.change(nl, 1, mtu=65536)

    thread = threading.Thread(target=noise)
    thread.start()
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    start = time.monotonic()
    try:
        with Monitor(RTNLGRP_LINK) as monitor, pytest.raises(TimeoutError):
            monitor.until(count, 0.2, "silence")
    finally:
        over.set()
        thread.join()
    assert 0.2 <= time.monotonic() - start < 1
    assert calls > 2


def test_an_announcement_wakes(host: Host) -> None:
    asked = threading.Event()

    def create() -> None:
        host.enter()
        asked.wait(5)
        with Netlink() as nl:
            bridge.create(nl, "cni0")

    thread = threading.Thread(target=create)
    thread.start()
    with Netlink() as nl, Monitor(RTNLGRP_LINK) as monitor:

        def there() -> link.Link | None:
            found = link.find(nl, "cni0")
            asked.set()
            return found

        assert monitor.until(there, 5, "the link cni0").name == "cni0"
        thread.join()
        link.delete(nl, link.get(nl, "cni0").index)


def test_lost_announcements_wake_as_well(host: Host) -> None:
    with Netlink() as nl, Monitor(RTNLGRP_LINK) as monitor, Monitor(RTNLGRP_LINK) as witness:
        for number in range(600):  # more than its buffer holds
            link.change(nl, 1, mtu=1500 + number)
        link.change(nl, 1, mtu=65536)
        with pytest.raises(OSError, match="No buffer space"):
            witness._sock.recv(1)
        calls = 0

        def second_time() -> bool | None:
            nonlocal calls
            calls += 1
            return calls == 2 or None

        assert monitor.until(second_time, 5, "the second call")


def test_several_groups_by_poll(host: Host) -> None:
    with (
        Netlink() as nl,
        Monitor(RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR) as monitor,
    ):
        poll = select.poll()
        poll.register(monitor, select.POLLIN)
        assert poll.poll(0) == []
        assert not monitor.take()

        index = bridge.create(nl, "cni0").index
        assert poll.poll(0) == [(monitor.fileno(), select.POLLIN)]
        heard = monitor.take()
        assert heard
        assert not heard.lost
        ((kind, body),) = heard.messages
        assert (kind, link.Link(body).name) == (link.RTM_NEWLINK, "cni0")

        wanted = {"10.1.2.3/24", "fd00:1::3/64"}
        for each in wanted:
            address.add(nl, index, ip_interface(each), nodad=True)
        found: set[str] = set()
        while found != wanted:  # IPv6 addresses are announced from a work queue
            assert poll.poll(5000), "no announcement within 5 s"
            found |= {
                str(address.Address(body).interface)
                for kind, body in monitor.take().messages
                if kind == address.RTM_NEWADDR
            }

        link.delete(nl, index)
        removed = [body for kind, body in monitor.take().messages if kind == link.RTM_DELLINK]
        assert [link.Link(body).index for body in removed] == [index]


def test_only_the_groups_asked_for(host: Host) -> None:
    with Netlink() as nl, Monitor(RTNLGRP_IPV4_ROUTE) as monitor:
        link.change(nl, 1, mtu=1500)
        link.change(nl, 1, mtu=65536)
        assert not monitor.take()


def test_lost_announcements_are_told_as_such(host: Host) -> None:
    with Netlink() as nl, Monitor(RTNLGRP_LINK) as monitor:
        for number in range(600):  # more than its buffer holds
            link.change(nl, 1, mtu=1500 + number)
        link.change(nl, 1, mtu=65536)
        heard = monitor.take()
        assert heard.lost
        assert 0 < len(heard.messages) < 600
        # The last ones are those that were lost: the state has to be asked for.
        assert link.Link(heard.messages[-1][1]).mtu != 65536

        link.change(nl, 1, alias="x")
        link.change(nl, 1, alias="")
        heard = monitor.take()
        assert not heard.lost
        assert [kind for kind, _body in heard.messages] == [link.RTM_NEWLINK] * 2


def test_a_storm_is_taken_in_turns(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostnet.monitor._DATAGRAMS_AT_ONCE", 3)
    with Netlink() as nl, Monitor(RTNLGRP_LINK) as monitor:
        for text in ("a", "b", "c", ""):
            link.change(nl, 1, alias=text)
        assert len(monitor.take().messages) == 3
        assert len(monitor.take().messages) == 1
        assert not monitor.take()
