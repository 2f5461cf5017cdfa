"""A reused address answers at once though the neighbours remember its last owner."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from hostnet import address, announce, bridge, link, neighbour, route, sysctl
from hostnet.monitor import RTNLGRP_LINK, RTNLGRP_NEIGH, Monitor
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

MAC = "02:00:00:00:00:02"
LAST_OWNER = "02:00:00:00:09:09"
FOUR = "10.1.2.3"
SIX = "fd00:1::3"
ETH_P_ALL = 3


class Pod:
    """A container on a bridge, its link down."""

    def __init__(self, nl: Netlink, inside: NetNS) -> None:
        self.nl = nl
        self.inside = inside
        self.bridge = bridge.create(nl, "cni0", up=True).index
        # Somebody else is there: a bridge that loses its carrier forgets its neighbours.
        other = link.create_veth(nl, "other", "end", master=self.bridge)
        link.set_up(nl, other.index)
        link.set_up(nl, other.peer)
        assert announce.wait_forwarding(nl, other.index)
        self.other = other.index
        address.add(nl, self.bridge, ip_interface("10.1.2.1/24"))
        address.add(nl, self.bridge, ip_interface("fd00:1::1/64"), nodad=True)
        for one in (FOUR, SIX):
            stale = neighbour.NUD_STALE
            neighbour.add(nl, self.bridge, ip_address(one), LAST_OWNER, state=stale)
        port = link.create_veth(
            nl,
            "veth0",
            "eth0",
            peer_mac=MAC,
            master=self.bridge,
            peer_netns_fd=inside.fileno(),
        )
        self.port, self.index = port.index, port.peer
        link.set_up(nl, self.port)
        self.there = inside.netlink()
        address.add(self.there, self.index, ip_interface(f"{FOUR}/24"))
        address.add(self.there, self.index, ip_interface(f"{SIX}/64"), nodad=True)

    def enable(self) -> None:
        with self.inside.entered():
            announce.enable("eth0")

    def neighbours(self) -> dict[str, str]:
        return {
            str(one.address): one.mac
            for one in neighbour.dump(self.nl, index=self.bridge)
            if not one.address.is_link_local
        }


@pytest.fixture
def pod(host: Host, container: Namespace) -> Iterator[Pod]:
    with Netlink() as nl, container.open() as inside:
        made = Pod(nl, inside)
        yield made
        made.there.close()
        for index in (made.port, made.other, made.bridge):
            link.delete(nl, index)


def test_a_reused_address_answers_at_once(host: Host, pod: Pod) -> None:
    pod.enable()
    link.set_up(pod.there, pod.index)
    assert announce.wait_forwarding(pod.nl, pod.port)
    announce.announce(pod.there, pod.index, MAC)
    assert pod.neighbours() == {FOUR: MAC, SIX: MAC}
    for one in (FOUR, SIX):
        taken = ping(host, one)
        assert taken is not None
        assert taken < 100


def test_the_first_ipv6_neighbour_to_ask_is_answered(host: Host, pod: Pod) -> None:
    """Even when the kernel saw the link without a carrier in the meantime."""
    neighbour.delete(pod.nl, pod.bridge, ip_address(SIX))
    with Monitor(RTNLGRP_LINK) as monitor:
        monitor.until(
            lambda: link.by_index(pod.nl, pod.port).attribute(link.IFLA_OPERSTATE) != b"\0" or None,
            5,
            "the state of a port without carrier",
        )
    link.by_index(pod.there, pod.index)
    pod.enable()
    link.set_up(pod.there, pod.index)
    assert announce.wait_forwarding(pod.nl, pod.port)
    announce.announce(pod.there, pod.index, MAC)
    taken = ping(host, SIX)
    assert taken is not None
    assert taken < 100


@pytest.mark.parametrize("carrier", [True, False])
def test_an_old_kernel_is_waited_for(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, carrier: bool
) -> None:
    """One that does not look at the carrier because somebody asks."""
    asked = 0
    real = link.by_index

    def by_index(nl: Netlink, index: int) -> link.Link:
        nonlocal asked
        asked += 1
        if carrier and asked == 2:
            link.set_up(nl, index)
            assert announce.wait_forwarding(pod.nl, pod.port)
        return real(nl, index)

    monkeypatch.setattr(link, "by_index", by_index)
    pod.enable()
    assert announce.announce(pod.there, pod.index, MAC, seconds=0.1) == carrier
    assert asked > 1
    assert (pod.neighbours()[FOUR] == MAC) == carrier


def test_without_an_announcement_it_does_not(host: Host, pod: Pod) -> None:
    """Or the test above would prove nothing."""
    link.set_up(pod.there, pod.index)
    assert announce.wait_forwarding(pod.nl, pod.port)
    assert ping(host, FOUR, 0.1) is None
    assert ping(host, SIX, 0.1) is None
    assert pod.neighbours() == {FOUR: LAST_OWNER, SIX: LAST_OWNER}


def test_what_is_sent(host: Host, pod: Pod) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.bind(("cni0", ETH_P_ALL))
        tap.settimeout(2)
        pod.enable()
        link.set_up(pod.there, pod.index)
        assert announce.wait_forwarding(pod.nl, pod.port)
        announce.announce(pod.there, pod.index, MAC)
        arp = frame(tap, b"\x08\x06", 28, socket.inet_pton(socket.AF_INET, FOUR))
        advertisement = frame(tap, b"\x86\xdd", 22, socket.inet_pton(socket.AF_INET6, SIX))
    mac = link.mac_bytes(MAC)
    four = socket.inet_pton(socket.AF_INET, FOUR)
    # RFC 5227: a broadcast request whose sender and target address are both the announced one.
    assert arp[:14] == b"\xff" * 6 + mac + b"\x08\x06"
    assert arp[14:22] == struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    assert (arp[22:28], arp[28:32], arp[38:42]) == (mac, four, four)
    # RFC 4861: to all nodes, hop limit 255, not solicited, override, target link-layer address.
    assert advertisement[21] == 255
    assert advertisement[38:54] == socket.inet_pton(socket.AF_INET6, "ff02::1")
    assert advertisement[54] == 136
    assert advertisement[58] & 0x60 == 0x20
    assert advertisement[62:78] == socket.inet_pton(socket.AF_INET6, SIX)
    assert advertisement[78:86] == b"\x02\x01" + mac


def frame(tap: socket.socket, kind: bytes, at: int, value: bytes) -> bytes:
    """The next frame of a kind with this value in its payload (ARP sender, IPv6 source)."""
    while True:
        found = tap.recv(2048)
        if found[12:14] == kind and found[at : at + len(value)] == value:
            return found


def test_an_address_under_examination_is_announced_when_that_is_over(host: Host, pod: Pod) -> None:
    late = ip_interface("fd00:1::4/64")
    stale = neighbour.NUD_STALE
    neighbour.add(pod.nl, pod.bridge, late.ip, LAST_OWNER, state=stale)
    pod.enable()
    with pod.inside.entered():
        # Not the second that it takes by default.
        sysctl.write("net/ipv6/neigh/eth0/retrans_time_ms", "20")
    link.set_up(pod.there, pod.index)
    assert announce.wait_forwarding(pod.nl, pod.port)
    address.add(pod.there, pod.index, late)
    announce.announce(pod.there, pod.index, MAC)
    assert pod.neighbours()[str(late.ip)] == LAST_OWNER
    with Monitor(RTNLGRP_NEIGH) as monitor:
        assert monitor.until(
            lambda: pod.neighbours()[str(late.ip)] == MAC or None, 5, "the announcement"
        )


def test_waiting_for_a_port_without_carrier_is_bounded(pod: Pod) -> None:
    assert not announce.wait_forwarding(pod.nl, pod.port, seconds=0.05)


def test_waiting_ends_when_the_port_forwards(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    real = link.by_index
    asked = threading.Event()

    def by_index(nl: Netlink, index: int) -> link.Link:
        found = real(nl, index)
        asked.set()
        return found

    monkeypatch.setattr(link, "by_index", by_index)

    def bring_up() -> None:
        asked.wait(5)
        link.set_up(pod.there, pod.index)

    thread = threading.Thread(target=bring_up)
    thread.start()
    assert announce.wait_forwarding(pod.nl, pod.port, seconds=5)
    thread.join()


def test_waiting_ends_when_the_host_answers(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread gives the address when it was looked for in vain."""
    wanted = ip_interface("2001:db8::1/64")
    real = route.lookup
    asked = threading.Event()

    def lookup(nl: Netlink, destination: Any, **more: Any) -> route.Route:
        try:
            return real(nl, destination, **more)
        finally:
            asked.set()

    monkeypatch.setattr(route, "lookup", lookup)
    with Netlink() as nl, Netlink() as other:
        made = bridge.create(nl, "br0", up=True)

        def give() -> None:
            asked.wait(5)
            address.add(other, made.index, wanted, nodad=True)

        thread = threading.Thread(target=give)
        thread.start()
        assert announce.wait_local(nl, made.index, [ip_address("192.0.2.1"), wanted.ip], seconds=5)
        thread.join()
        assert real(nl, wanted.ip).kind == route.RTN_LOCAL
        assert not announce.wait_local(nl, made.index, [ip_address("2001:db8::2")], seconds=0.05)
        assert announce.wait_local(nl, made.index, [], seconds=0)
        link.delete(nl, made.index)


def test_the_host_answers_from_another_table(host: Host) -> None:
    """As for a bridge in a VRF: only what goes by the link is looked up there."""
    with Netlink() as nl:
        made = link.create(nl, "br0", "bridge")
        link.set_up(nl, made.index)
        address.add(nl, made.index, ip_interface("2001:db8::1/64"), nodad=True)
        wanted = [ip_address("2001:db8::1")]
        assert announce.wait_local(nl, made.index, wanted, seconds=5)
        there = ("local", "2001:db8::1", "dev", "br0", "table")
        host.command("ip", "-6", "rule", "add", "oif", "br0", "lookup", "77")
        host.command("ip", "-6", "route", "add", *there, "77")
        host.command("ip", "-6", "route", "del", *there, "local")
        assert announce.wait_local(nl, made.index, wanted, seconds=0)
        host.command("ip", "-6", "rule", "del", "oif", "br0", "lookup", "77")
        assert not announce.wait_local(nl, made.index, wanted, seconds=0)
        link.delete(nl, made.index)
