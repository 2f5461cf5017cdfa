"""The guard of VXLAN ports, by what gets through to a vxlan device: pings and injected frames."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from hostnet import nft, vtepguard
from hostnet.netfilter import Netfilter
from hostnet.nfelement import GETSETELEM
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping

PORT, VNI = 4789, 42
ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
GROUP = "239.1.1.1"
Peers = list[IPv4Address | IPv6Address]
ANYBODY: Peers | None = None
FOUR, SIX = "192.0.2.", "fd00:2::"
B4, C4 = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.3")
B6 = IPv6Address("fd00:2::2")


@pytest.fixture
def nl(host: Host) -> Iterator[Netfilter]:
    host.share_nft(vtepguard.NAME)
    host.share("link *", "address *", "route *")
    with Netfilter() as made:
        yield made
        for port, vni in vtepguard.registered(made):
            vtepguard.remove(made, port, vni)


def switch(name: str, value: str) -> None:
    Path(f"/proc/sys/net/{name}").write_text(value)


def run(where: Namespace, *commands: str) -> None:
    for one in commands:
        where.command(*one.split())


@pytest.fixture
def hosts(host: Host) -> list[Namespace]:
    """Three on one underlay: the host (192.0.2.1, fd00:2::1 on eth0), B (….2) and C (….3)."""
    between = host.container("switch")
    run(between, "ip link add br0 type bridge", "ip link set br0 up")
    found: list[Namespace] = [host, host.container("b"), host.container("c")]
    for number, one in enumerate(found, 1):
        one.run(switch, "ipv6/conf/default/accept_dad", "0")
        run(
            one,
            f"ip link add eth0 type veth peer name p{number} netns {between}",
            f"ip address add {FOUR}{number}/24 dev eth0",
            f"ip address add {SIX}{number}/64 dev eth0 nodad",
            "ip link set eth0 up",
        )
        run(between, f"ip link set p{number} master br0 up")
    for one in found:
        one.wait_ready("eth0")
    return found


def vxlan(where: Namespace, number: int, base: str = FOUR, vni: int = VNI, more: str = "") -> None:
    """The vxlan device of one of `hosts`, up."""
    where.run(switch, "ipv6/conf/default/disable_ipv6", "1")
    run(
        where,
        f"ip link add vx{vni} type vxlan id {vni} dev eth0 dstport {PORT} local {base}{number} "
        f"nolearning {more}",
        f"ip address add 10.{vni}.0.{number}/24 dev vx{vni}",
        f"ip link set vx{vni} up",
    )


def overlay(hosts: list[Namespace], base: str) -> None:
    """A vxlan device in each, flooding to the others: 10.42.0.1, .2 and .3."""
    for number, one in enumerate(hosts, 1):
        vxlan(one, number, base)
        for other in {1, 2, 3} - {number}:
            run(one, f"bridge fdb append 00:00:00:00:00:00 dev vx{VNI} dst {base}{other}")


class Ear:
    """What arrives in the host as frames of a vxlan device."""

    def __init__(self, device: str = f"vx{VNI}") -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        self._socket.bind((device, ETHERTYPE))
        self._socket.settimeout(5)

    def until(self, last: str) -> list[str]:
        """The texts of the frames, up to this one."""
        found: list[str] = []
        while last not in found:
            found.append(self._socket.recv(2048)[14:].rstrip(b"\0").decode())
        return found

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()


def packet(text: str, vni: int = VNI) -> bytes:
    """What is in a UDP datagram of VXLAN: its header and a frame to everybody that says `text`."""
    header = struct.pack("!II", 0x08000000, vni << 8)
    ethernet = b"\xff" * 6 + bytes.fromhex("020000000009") + struct.pack("!H", ETHERTYPE)
    return header + ethernet + text.encode().ljust(46, b"\0")


def inject(
    where: Namespace, text: str, to: str = f"{FOUR}1", *, vni: int = VNI, source: str = ""
) -> None:
    """Send a VXLAN packet to port 4789 of an address as anybody can, by a socket."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with where.run(socket.socket, family, socket.SOCK_DGRAM) as sender:
        if source:
            sender.bind((source, 0))
        sender.sendto(packet(text, vni), (to, PORT))


def dropped(rule: str) -> int:
    """Packets that a rule of the guard has dropped."""
    listed = nft.run(f"list chain inet {vtepguard.NAME} input").splitlines()
    line = next(one for one in listed if f'comment "{rule}"' in one)
    return int(line.split("packets ")[1].split()[0])


def wait_dropped(rule: str, count: int) -> None:
    deadline = time.monotonic() + 5
    while dropped(rule) < count:
        assert time.monotonic() < deadline, f"{rule}: {dropped(rule)} dropped, not {count}"
    assert dropped(rule) == count


@pytest.mark.parametrize("base", [FOUR, SIX])
def test_peers_reach_each_other_and_strangers_do_not(
    base: str, hosts: list[Namespace], nl: Netfilter
) -> None:
    host, b, c = hosts
    overlay(hosts, base)
    peer = ip_address(f"{base}2")
    assert ping(c, "10.42.0.1") is not None
    assert vtepguard.ensure(nl, PORT, VNI, peers=[peer], underlay="eth0")
    assert ping(b, "10.42.0.1") is not None
    assert ping(host, "10.42.0.2") is not None
    assert dropped("strangers") == 0
    assert ping(c, "10.42.0.1", 0.2) is None
    assert dropped("strangers") > 0
    # The others' guard is the others' affair.
    assert ping(c, "10.42.0.2") is not None
    assert vtepguard.ensure(nl, PORT, VNI, peers=[ip_address(f"{base}3")], underlay="eth0")
    assert ping(c, "10.42.0.1") is not None
    assert ping(b, "10.42.0.1", 0.2) is None
    vtepguard.remove(nl, PORT, VNI)
    assert ping(b, "10.42.0.1") is not None


@pytest.mark.parametrize(("base", "group"), [(FOUR, GROUP), (SIX, "ff05::42")])
def test_an_injected_packet_is_judged_by_its_source(
    base: str, group: str, hosts: list[Namespace], nl: Netfilter
) -> None:
    host, b, c = hosts
    vxlan(host, 1, base, more=f"group {group}")
    for one in (b, c):
        run(one, "ip route add 239.0.0.0/8 dev eth0")  # IPv6 has such a route for each device
    vtepguard.ensure(nl, PORT, VNI, peers=[ip_address(f"{base}2")], underlay="eth0")
    with Ear() as ear:
        for to in (f"{base}1", group):
            inject(c, "stranger", to)
            inject(b, "peer", to)
            assert ear.until("peer") == ["peer"]
        wait_dropped("strangers", 2)
        # The host's own address is a VTEP's, but its packets do not come from outside.
        inject(host, "myself", f"{base}1")
        wait_dropped("strangers", 3)
        inject(b, "done", f"{base}1")
        assert ear.until("done") == ["done"]


def test_an_open_network_takes_any_vtep_by_the_underlay(
    hosts: list[Namespace], host: Host, nl: Netfilter
) -> None:
    inside = container_at(host, "v1")
    vxlan(host, 1, more=f"group {GROUP}")
    vtepguard.ensure(nl, PORT, VNI, peers=ANYBODY, underlay="eth0")
    with Ear() as ear:
        inject(inside, "container")
        inject(inside, "container", "10.1.0.1")
        wait_dropped("containers", 2)
        inject(hosts[2], "anybody")
        assert ear.until("anybody") == ["anybody"]
        # The same network, whose VTEPs are known from now on, and the other way round.
        vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
        inject(hosts[2], "stranger")
        wait_dropped("strangers", 1)
        vtepguard.ensure(nl, PORT, VNI, peers=ANYBODY, underlay="eth0")
        inject(hosts[2], "done")
        assert ear.until("done") == ["done"]
        assert vtepguard.problems(nl, PORT, VNI, peers=ANYBODY, underlay="eth0") == []


def container_at(host: Host, name: str) -> Namespace:
    """A container at a veth (10.1.0.2, the host is 10.1.0.1); spoofing is not the kernel's care."""
    inside = host.container(name)
    run(
        host,
        f"ip link add {name} type veth peer name eth0 netns {inside}",
        f"ip address add 10.1.0.1/24 dev {name}",
        f"ip link set {name} up",
    )
    run(
        inside,
        "ip address add 10.1.0.2/24 dev eth0",
        "ip link set eth0 up",
        "ip route add default via 10.1.0.1",
    )
    for one in ("all", name):
        switch(f"ipv4/conf/{one}/rp_filter", "0")
    host.wait_ready(name)
    return inside


def test_a_container_with_a_peers_address_is_no_peer(
    hosts: list[Namespace], host: Host, nl: Netfilter
) -> None:
    inside = container_at(host, "v1")
    run(inside, f"ip address add {B4}/32 dev lo")
    vxlan(host, 1)
    with Ear() as ear:
        inject(inside, "open door", source=str(B4))
        assert ear.until("open door") == ["open door"]
        vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
        inject(inside, "spoofed", source=str(B4))
        wait_dropped("containers", 1)
        inject(hosts[1], "peer")
        assert ear.until("peer") == ["peer"]
        # It would be one where this device is the underlay.
        vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="v1")
        inject(inside, "peer", source=str(B4))
        assert ear.until("peer") == ["peer"]


def test_networks_that_share_a_port_have_each_their_own(
    hosts: list[Namespace], host: Host, nl: Netfilter
) -> None:
    _, b, c = hosts
    for vni in (VNI, 43, 44):
        vxlan(host, 1, vni=vni)
    vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
    vtepguard.ensure(nl, PORT, 43, peers=[C4, B6], underlay="eth0")
    vtepguard.ensure(nl, PORT, 44, peers=ANYBODY, underlay="eth0")
    vtepguard.ensure(nl, 8472, VNI, peers=[C4], underlay="eth0")
    assert vtepguard.registered(nl) == [(PORT, VNI), (PORT, 43), (PORT, 44), (8472, VNI)]
    with Ear() as first, Ear("vx43") as second, Ear("vx44") as third:
        for vni in (VNI, 43, 44):
            inject(b, "b", vni=vni)
            inject(c, "c", vni=vni)
        assert first.until("b") == ["b"]
        assert second.until("c") == ["c"]
        assert sorted(third.until("b") + third.until("c")) == ["b", "c"]
        wait_dropped("strangers", 2)
        # One goes, and takes nothing of the others along.
        vtepguard.remove(nl, PORT, VNI)
        inject(c, "c")
        assert first.until("c") == ["c"]
        inject(b, "b", vni=43)
        wait_dropped("strangers", 3)
    assert vtepguard.registered(nl) == [(PORT, 43), (PORT, 44), (8472, VNI)]
    left: list[tuple[int, Peers | None]] = [(43, [C4, B6]), (44, ANYBODY)]
    for vni, peers in left:
        assert vtepguard.problems(nl, PORT, vni, peers=peers, underlay="eth0") == []


def test_another_vni_on_the_port_is_none_of_our_business(
    hosts: list[Namespace], host: Host, nl: Netfilter
) -> None:
    vxlan(host, 1, vni=1)
    vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
    with Ear("vx1") as ear:
        inject(hosts[2], "flannel", vni=1)
        assert ear.until("flannel") == ["flannel"]
    assert dropped("strangers") == 0


def test_other_traffic_passes(hosts: list[Namespace], host: Host, nl: Netfilter) -> None:
    vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
    for address in (f"{FOUR}1", f"{SIX}1"):
        for protocol, port, payload in (
            ("udp", PORT + 1, packet("x").decode("latin-1")),
            ("udp", PORT, "short"),
            ("udp", PORT, "long enough to have a VNI, but not ours"),
            ("tcp", PORT, packet("x").decode("latin-1")),
        ):
            with EchoServer(host, address, port, protocol):
                ask(hosts[2], address, port, protocol, payload=payload)


def test_transit_is_left_alone(hosts: list[Namespace], host: Host, nl: Netfilter) -> None:
    inside = container_at(host, "v1")
    switch("ipv4/ip_forward", "1")
    run(hosts[2], f"ip route add 10.1.0.0/24 via {FOUR}1")
    vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
    with inside.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        receiver.bind(("10.1.0.2", PORT))
        inject(hosts[2], "transit", "10.1.0.2")
        assert receiver.recv(2048) == packet("transit")


def fragments(text: str, source: str, to: str, first: int) -> list[bytes]:
    """A VXLAN packet as two IP fragments, the first with `first` bytes from the UDP header on."""
    data = packet(text)
    data = struct.pack("!HHHH", 50000, PORT, 8 + len(data), 0) + data
    made = []
    for offset, more in ((0, 1), (first, 0)):
        part = data[offset : offset + first] if more else data[offset:]
        if ":" in to:
            header = struct.pack("!IHBB", 6 << 28, 8 + len(part), 44, 64)
            header += IPv6Address(source).packed + IPv6Address(to).packed
            header += struct.pack("!BxHI", socket.IPPROTO_UDP, offset | more, os.getpid())
        else:
            place = more << 13 | offset >> 3
            size, number = 20 + len(part), os.getpid() & 0xFFFF
            # The kernel fills in the checksum.
            header = struct.pack("!BBHHHBBH", 0x45, 0, size, number, place, 64, 17, 0)
            header += IPv4Address(source).packed + IPv4Address(to).packed
        made.append(header + part)
    return made


def send_raw(where: Namespace, packets: list[bytes], to: str) -> None:
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with where.run(socket.socket, family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for one in packets:
            sender.sendto(one, (to, 0))


@pytest.mark.parametrize("base", [FOUR, SIX])
@pytest.mark.parametrize("first", [8, 32])
def test_fragments_get_around_nothing(
    first: int, base: str, hosts: list[Namespace], host: Host, nl: Netfilter
) -> None:
    to = f"{base}1"
    vxlan(host, 1, base, more="udp6zerocsumrx" if ":" in base else "")

    def send(number: int, text: str, size: int) -> None:
        send_raw(hosts[number - 1], fragments(text, f"{base}{number}", to, size), to)

    with Ear() as ear:
        send(3, "unguarded", first)
        assert ear.until("unguarded") == ["unguarded"]
        vtepguard.ensure(nl, PORT, VNI, peers=[ip_address(f"{base}2")], underlay="eth0")
        send(3, "stranger", first)
        send(2, "peer", 32)
        assert ear.until("peer") == ["peer"]
    wait_dropped("cut short" if ":" in base and first == 8 else "strangers", 1)


class Counting(Netfilter):
    """Counts the questions for elements."""

    __slots__ = ("asked", "listed")

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.listed = 0

    def find(self, kind: int, payload: bytes, what: str) -> bytes:
        self.asked += kind == GETSETELEM
        return super().find(kind, payload, what)

    def dump(self, kind: int, payload: bytes, what: str = "") -> list[tuple[int, bytes]]:
        self.listed += kind == GETSETELEM
        return super().dump(kind, payload, what)


def many(count: int) -> Peers:
    four, six = int(IPv4Address("10.0.0.0")), int(IPv6Address("fd00::"))
    half = count // 2
    return [IPv4Address(four + i) for i in range(half)] + [
        IPv6Address(six + i) for i in range(count - half)
    ]


def test_five_thousand_peers(nl: Netfilter) -> None:
    peers = many(5000)
    vtepguard.ensure(nl, PORT, 43, peers=peers, underlay="eth0")
    start = time.monotonic()
    assert vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay="eth0")
    created = time.monotonic() - start
    assert vtepguard.problems(nl, PORT, VNI, peers=peers, underlay="eth0") == []
    start = time.monotonic()
    assert vtepguard.ensure(nl, PORT, VNI, peers=[*peers[1:], B4], underlay="eth0")
    changed = time.monotonic() - start
    assert vtepguard.problems(nl, PORT, VNI, peers=[*peers[1:], B4], underlay="eth0") == []
    assert vtepguard.problems(nl, PORT, 43, peers=peers, underlay="eth0") == []
    vtepguard.remove(nl, PORT, VNI)
    assert vtepguard.problems(nl, PORT, 43, peers=peers, underlay="eth0") == []
    assert max(created, changed) < 0.5, (created, changed)


def test_what_is_there_already_costs_one_look_up(nl: Netfilter) -> None:
    peers = many(100)
    assert vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay="eth0")
    before = nl.generation()
    with Counting() as counting:
        again = [*reversed(peers), peers[0]]
        assert not vtepguard.ensure(counting, PORT, VNI, peers=again, underlay="eth0")
        assert (counting.asked, counting.listed) == (1, 0)
        assert not vtepguard.ensure(
            counting, PORT, VNI, peers=peers, underlay="eth0", thorough=True
        )
        assert counting.listed > 0
    assert nl.generation() == before


def test_removing_nothing_is_one_question(host: Host) -> None:
    with Counting() as counting:
        before = counting.generation()
        vtepguard.remove(counting, PORT, VNI)
        assert (counting.asked, counting.listed) == (1, 0)
        assert vtepguard.registered(counting) == []
        assert counting.generation() == before
    assert nft.run("list ruleset") == ""


def test_the_last_one_leaves_no_element(nl: Netfilter) -> None:
    vtepguard.ensure(nl, PORT, VNI, peers=[B4, B6], underlay="eth0")
    vtepguard.ensure(nl, PORT, 43, peers=ANYBODY, underlay="eth0")
    vtepguard.remove(nl, PORT, VNI)
    assert f"udp . {PORT}" in listed()
    vtepguard.remove(nl, PORT, 43)
    assert "elements" not in listed().split("chain")[0]


def listed() -> str:
    return nft.run(f"list table inet {vtepguard.NAME}")


def test_people_can_read_it(nl: Netfilter) -> None:
    vtepguard.ensure(nl, PORT, VNI, peers=[B4, B6], underlay="eth0")
    vtepguard.ensure(nl, PORT, 43, peers=ANYBODY, underlay="eth0")
    text = listed()
    for wanted in (
        f"{PORT} . 0x2a . {B4}",
        f"{PORT} . 0x2a . {B6}",
        f'"eth0" . {PORT} . 0x2b',
        '0x2a comment "2 peers, digest',
        '0x2b comment "any VTEP, digest',
    ):
        assert wanted in text
    nft.run(f"delete table inet {vtepguard.NAME}\n{text}")
    assert vtepguard.problems(nl, PORT, VNI, peers=[B4, B6], underlay="eth0") == []
    assert not vtepguard.ensure(nl, PORT, 43, peers=ANYBODY, underlay="eth0", thorough=True)


@pytest.mark.parametrize("peers", [[B4, B6], [], ANYBODY])
def test_a_flushed_ruleset_is_laid_down_anew(peers: Peers | None, nl: Netfilter) -> None:
    vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay="eth0")
    nft.run("flush ruleset")
    assert vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay="eth0")
    assert vtepguard.problems(nl, PORT, VNI, peers=peers, underlay="eth0") == []


@pytest.mark.parametrize(
    ("mutation", "problem"),
    [
        ("flush chain inet {t} input", "chain input .* lacks its rules 'no UDP', 'not ours'"),
        ("delete element inet {t} guarded {{ 4789 . 42 }}", "VNI 42 on UDP port 4789 is open"),
        ("delete element inet {t} peers4 {{ 4789 . 42 . 192.0.2.2 }}", "peers4 .* lacks 192.0.2.2"),
        ("flush set inet {t} peers6", "peers6 of .* lacks fd00:2::2 for VNI 42 on UDP port 4789"),
        ("flush set inet {t} near", "near of .* lacks eth0 for VNI 42"),
        ("flush set inet {t} ports", "ports of .* lacks 4789"),
        (
            "add element inet {t} peers4 {{ 4789 . 42 . 192.0.2.9 }}",
            "peers4 of .* lets in 192.0.2.9 for VNI 42 on UDP port 4789 and should not",
        ),
        (
            "add element inet {t} open {{ wlan0 . 4789 . 42 }}",
            "open of .* lets in wlan0 for VNI 42",
        ),
        ("delete table inet {t}", "the nftables table inet pycni_vxlan is missing"),
        ("add table inet {t} {{ flags dormant; }}", "is dormant"),
    ],
)
def test_each_deviation_is_named_and_mended(mutation: str, problem: str, nl: Netfilter) -> None:
    peers: Peers = [B4, B6]
    vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay="eth0")
    vtepguard.ensure(nl, PORT, 43, peers=[C4], underlay="eth0")
    nft.run(mutation.format(t=vtepguard.NAME))
    found = "; ".join(vtepguard.problems(nl, PORT, VNI, peers=peers, underlay="eth0"))
    assert re.search(problem, found), found
    if "dormant" in mutation:
        nft.run(f"delete table inet {vtepguard.NAME}")
    assert vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay="eth0", thorough=True)
    assert vtepguard.problems(nl, PORT, VNI, peers=peers, underlay="eth0") == []


def test_peers_too_many_and_too_few_are_named(nl: Netfilter) -> None:
    vtepguard.ensure(nl, PORT, VNI, peers=[B4], underlay="eth0")
    table = "of the nftables table inet pycni_vxlan"
    net = "for VNI 42 on UDP port 4789"
    wanted = [IPv4Address(f"10.0.0.{n}") for n in range(5)]
    assert vtepguard.problems(nl, PORT, VNI, peers=wanted, underlay="eth1") == [
        f"near {table} lacks eth1 {net}",
        f"near {table} lets in eth0 {net} and should not",
        f"peers4 {table} lacks 10.0.0.0, 10.0.0.1, 10.0.0.2 and 2 more {net}",
        f"peers4 {table} lets in 192.0.2.2 {net} and should not",
    ]


@pytest.mark.parametrize(
    ("port", "vni", "underlay"),
    [(65536, 1, "eth0"), (1, 1 << 24, "eth0"), (1, -1, "eth0"), (1, 1, ""), (1, 1, "x" * 16)],
)
def test_what_no_packet_can_have_is_refused(port: int, vni: int, underlay: str, host: Host) -> None:
    with (
        Netfilter() as nl,
        pytest.raises(ValueError, match=r"do not fit|is not of|no name"),
    ):
        vtepguard.ensure(nl, port, vni, peers=[B4], underlay=underlay)
    assert nft.run("list ruleset") == ""


def test_ten_processes_on_a_fresh_host(nl: Netfilter) -> None:
    children = []
    for number in range(10):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with Netfilter() as own:
                    for last in range(3):
                        peers = [B4, IPv4Address(f"10.0.{number}.{last}")]
                        vtepguard.ensure(own, PORT, number, peers=peers, underlay="eth0")
                    vtepguard.ensure(own, PORT, 99, peers=[B4], underlay="eth0")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10
    assert vtepguard.registered(nl) == [(PORT, vni) for vni in (*range(10), 99)]
    for number in range(10):
        peers = [B4, IPv4Address(f"10.0.{number}.2")]
        assert vtepguard.problems(nl, PORT, number, peers=peers, underlay="eth0") == []


def test_the_digest_tells_what_differs(nl: Netfilter) -> None:
    variants: list[tuple[Peers | None, str]] = [
        ([B4], "eth0"),
        ([B4], "eth1"),
        ([], "eth0"),
        (ANYBODY, "eth0"),
        ([B6], "eth0"),
        ([B4, B6], "eth0"),
    ]
    for peers, underlay in variants:
        assert vtepguard.ensure(nl, PORT, VNI, peers=peers, underlay=underlay), (peers, underlay)
        assert vtepguard.problems(nl, PORT, VNI, peers=peers, underlay=underlay) == []
