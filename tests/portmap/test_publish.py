"""Published ports, asked from everywhere they are to be reached from."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG
from hostnet import nft
from tests.kit.calls import PluginError
from tests.kit.namespace import Namespace
from tests.kit.traffic import Answer, EchoServer, ask
from tests.portmap.conftest import CLIENT, GATEWAY, TABLE, UPLINK, Container, World, elements

Mapping = dict[str, Any]


def web(**keys: Any) -> Mapping:
    return {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", **keys}


def refused(ns: Namespace, address: str, port: int, protocol: str = "tcp") -> bool:
    """Whether nobody answers there."""
    try:
        ask(ns, address, port, protocol, seconds=0.2)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_answered_from_everywhere(
    protocol: str, family: int, world: World, one: Container, two: Container
) -> None:
    one.add(web(protocol=protocol))
    host, client = world.host, world.client
    mine = one.ips[family]
    with EchoServer(one.ns, mine, 80, protocol, "one"):
        # From beyond the uplink, with its own address.
        assert ask(client, UPLINK[family], 8080, protocol).client == CLIENT[family]
        # From the host, at any of its addresses.
        assert ask(host, UPLINK[family], 8080, protocol).server == "one"
        assert ask(host, GATEWAY[family], 8080, protocol).server == "one"
        # From a neighbour and from the container itself, whose answers would bypass the host
        # unless the bridge shows them to it (br_netfilter).
        for address in (UPLINK[family], GATEWAY[family]):
            world.show_bridged_packets(False)
            for asker in (two.ns, one.ns):
                assert ask(asker, address, 8080, protocol) == ("one", GATEWAY[family], "hello")
            world.show_bridged_packets(True)
            assert ask(two.ns, address, 8080, protocol) == ("one", two.ips[family], "hello")
            assert ask(one.ns, address, 8080, protocol) == ("one", GATEWAY[family], "hello")
        # Directly nothing is translated.
        assert ask(two.ns, mine, 80, protocol).client == two.ips[family]
        if family == 0:
            for address in ("127.0.0.1", "127.1.2.3"):
                assert ask(host, address, 8080, protocol).client == GATEWAY[family]
    one.delete()
    assert elements() == ""


def test_localhost_of_ipv6_is_refused_at_once(world: World, one: Container) -> None:
    # The kernel never routes ::1 out, so a translation would only make clients wait; refused,
    # they go on to 127.0.0.1.
    one.add(web())
    with EchoServer(one.ns, one.ips[1], 80), pytest.raises(ConnectionRefusedError):
        ask(world.host, "::1", 8080)
    one.delete()


def test_several_ports_lead_where_they_should(world: World, one: Container, two: Container) -> None:
    one.add(web(), web(hostPort=8081), web(hostPort=8443, containerPort=443), web(protocol="udp"))
    two.add(
        web(hostPort=8082), web(hostPort=8080, protocol="udp", containerPort=81) | {"hostPort": 9}
    )
    servers = [
        EchoServer(one.ns, one.ips[0], 80, "tcp", "one-web"),
        EchoServer(one.ns, one.ips[0], 443, "tcp", "one-tls"),
        EchoServer(one.ns, one.ips[0], 80, "udp", "one-udp"),
        EchoServer(two.ns, two.ips[0], 80, "tcp", "two-web"),
        EchoServer(two.ns, two.ips[0], 81, "udp", "two-udp"),
    ]
    try:
        asked = {
            (port, protocol): ask(world.client, UPLINK[0], port, protocol).server
            for port, protocol in [
                (8080, "tcp"),
                (8081, "tcp"),
                (8443, "tcp"),
                (8080, "udp"),
                (8082, "tcp"),
                (9, "udp"),
            ]
        }
    finally:
        for server in servers:
            server.__exit__(None, None, None)
    assert asked == {
        (8080, "tcp"): "one-web",
        (8081, "tcp"): "one-web",
        (8443, "tcp"): "one-tls",
        (8080, "udp"): "one-udp",
        (8082, "tcp"): "two-web",
        (9, "udp"): "two-udp",
    }
    one.delete()
    two.delete()
    assert elements() == ""


def test_after_del_nobody_answers_and_others_do(
    world: World, one: Container, two: Container
) -> None:
    one.add(web())
    two.add(web(hostPort=8081))
    with EchoServer(one.ns, one.ips[0], 80), EchoServer(two.ns, two.ips[0], 80):
        one.delete()
        one.delete()
        for asker, address in ((world.client, UPLINK[0]), (world.host, "127.0.0.1")):
            assert refused(asker, address, 8080)
            assert not refused(asker, address, 8081)
    two.delete()


@pytest.mark.parametrize(
    ("host_ip", "reached", "not_reached"),
    [
        ("10.2.0.1", ["10.2.0.1"], ["10.1.0.1", "127.0.0.1", "fd00:2::1"]),
        ("127.0.0.1", ["127.0.0.1"], ["10.1.0.1", "127.0.0.2", "fd00:2::1"]),
        ("0.0.0.0", ["10.2.0.1", "10.1.0.1", "127.0.0.1"], ["fd00:2::1"]),
        ("::ffff:10.2.0.1", ["10.2.0.1"], ["10.1.0.1"]),
        ("fd00:2::1", ["fd00:2::1"], ["fd00:1::1", "10.2.0.1"]),
        ("::", ["fd00:2::1", "fd00:1::1"], ["10.2.0.1"]),
        ("", ["fd00:2::1", "10.2.0.1", "127.0.0.1"], []),
    ],
)
def test_host_ip(
    host_ip: str, reached: list[str], not_reached: list[str], world: World, one: Container
) -> None:
    one.add(web(hostIP=host_ip))
    with EchoServer(one.ns, one.ips[0], 80), EchoServer(one.ns, one.ips[1], 80):
        assert [address for address in reached if refused(world.host, address, 8080)] == []
        assert [address for address in not_reached if not refused(world.host, address, 8080)] == []
    one.delete()
    assert elements() == ""


def test_an_address_that_comes_later_counts_at_once(world: World, one: Container) -> None:
    one.add(web(hostIP="10.2.0.77"), web(hostPort=8081))
    with EchoServer(one.ns, one.ips[0], 80):
        assert refused(world.client, "10.2.0.77", 8080)
        world.host.command("ip", "address", "add", "10.2.0.77/32", "dev", "uplink")
        world.client.command("ip", "neigh", "flush", "all")
        assert ask(world.client, "10.2.0.77", 8080).client == CLIENT[0]
        assert ask(world.client, "10.2.0.77", 8081).client == CLIENT[0]
    world.host.command("ip", "address", "del", "10.2.0.77/32", "dev", "uplink")
    one.delete()


def test_transit_traffic_is_left_alone(world: World, one: Container, two: Container) -> None:
    # On its way from the client to `two` through this host, it is none of the host's ports.
    one.add(web(), web(hostPort=8081, hostIP=two.ips[0]))
    with EchoServer(two.ns, two.ips[0], 8080, name="two"), EchoServer(two.ns, two.ips[0], 8081):
        for port in (8080, 8081):
            assert ask(world.client, two.ips[0], port).client == CLIENT[0]
        assert ask(one.ns, two.ips[0], 8080) == ("two", one.ips[0], "hello")
    one.delete()


def test_without_snat_sources_stay(world: World, one: Container, two: Container) -> None:
    one.add(web(), snat=False)
    with EchoServer(one.ns, one.ips[0], 80):
        assert ask(world.client, UPLINK[0], 8080).client == CLIENT[0]
        # A neighbour's answer comes from another address than was asked.
        assert refused(two.ns, UPLINK[0], 8080)
        assert refused(world.host, "127.0.0.1", 8080)
    assert "near4 {\n\t\ttype ifname . ipv4_addr . inet_proto . inet_service\n\t}" in nft.run(
        f"list table inet {TABLE}"
    )
    switch = Path("/proc/sys/net/ipv4/conf/br0/route_localnet")
    assert switch.read_text() == "0\n"
    one.delete()


@pytest.mark.parametrize("family", [0, 1])
def test_masq_all(family: int, world: World, one: Container, two: Container) -> None:
    one.add(web(), masqAll=True)
    two.add(web(hostPort=8081))
    with EchoServer(one.ns, one.ips[family], 80), EchoServer(two.ns, two.ips[family], 80):
        assert ask(world.client, UPLINK[family], 8080).client == GATEWAY[family]
        assert ask(world.client, UPLINK[family], 8081).client == CLIENT[family]
        assert ask(two.ns, UPLINK[family], 8080).client == GATEWAY[family]
        # Only what is published is masqueraded.
        assert ask(world.client, one.ips[family], 80).client == CLIENT[family]
        if family == 0:
            assert ask(world.host, "127.0.0.1", 8080).client == GATEWAY[0]
    one.delete()
    two.delete()
    assert elements() == ""


def test_the_mark_bit_marks_nothing(world: World, one: Container) -> None:
    nft.run(
        "add table inet marks\n"
        "add chain inet marks c { type filter hook postrouting priority 300; }\n"
        'add rule inet marks c ct status dnat meta mark != 0 counter comment "marked"'
    )
    one.add(web(), markMasqBit=14)
    with EchoServer(one.ns, one.ips[0], 80):
        assert ask(one.ns, UPLINK[0], 8080).client == GATEWAY[0]
    assert "counter packets 0 " in nft.run("list table inet marks")
    nft.run("delete table inet marks")
    one.delete()


@pytest.mark.parametrize("family", [0, 1])
def test_conditions_are_the_attachments_own(
    family: int, world: World, one: Container, two: Container
) -> None:
    conditions = {
        "conditionsV4": ["ip", "saddr", "!=", "10.2.0.9"],
        "conditionsV6": ["ip6 saddr != fd00:2::9"],
    }
    one.add(web(), web(hostPort=8082, hostIP=UPLINK[family]), **conditions)
    two.add(web(hostPort=8081))
    with EchoServer(one.ns, one.ips[family], 80), EchoServer(two.ns, two.ips[family], 80):
        for port in (8080, 8082):
            assert refused(world.client, UPLINK[family], port)
            assert not refused(two.ns, UPLINK[family], port)
            assert not refused(world.host, UPLINK[family], port)
        assert not refused(world.client, UPLINK[family], 8081)
        # The next attachment's conditions, or their absence, change nothing for the first.
        two.add(
            web(hostPort=8081), conditionsV4=["tcp dport { 1, 2 }"], conditionsV6=["tcp dport 1"]
        )
        assert refused(world.client, UPLINK[family], 8081)
        assert refused(world.client, UPLINK[family], 8080)
        two.add(web(hostPort=8081))
        assert not refused(world.client, UPLINK[family], 8081)
    one.delete()
    two.delete()
    text = nft.run(f"list table inet {TABLE}")
    assert "elements" not in text
    assert "gate4-" not in text
    assert "gate6-" not in text


def test_a_condition_nft_does_not_understand_leaves_nothing(world: World, one: Container) -> None:
    with pytest.raises(
        PluginError, match=r'key "conditionsV4": nftables cannot do .* syntax error'
    ) as error:
        one.add(web(), conditionsV4=["ip", "banana"])
    assert error.value.code == INVALID_CONFIG
    text = nft.run(f"list table inet {TABLE}")
    assert "elements" not in text
    assert "gate4-" not in text


def _forge(ns: Namespace, source: str, destination: str, payload: bytes) -> None:
    """Send the gateway a UDP packet for port 7000 with addresses that no honest host would use."""
    udp = struct.pack("!HHHH", 5000, 7000, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
    with ns.run(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + udp, (GATEWAY[0], 0))


def test_packets_of_localhost_from_the_wire_are_dropped(
    world: World, one: Container, two: Container
) -> None:
    one.add(web())
    assert Path("/proc/sys/net/ipv4/conf/br0/route_localnet").read_text() == "1\n"
    # Hosts that let routers loop packets back to them have this.
    Path("/proc/sys/net/ipv4/conf/br0/accept_local").write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 7000))
        server.settimeout(2)

        def forge_all(stage: bytes) -> list[bytes]:
            _forge(two.ns, two.ips[0], "127.0.0.1", stage + b" to localhost")
            _forge(two.ns, "127.0.0.1", GATEWAY[0], stage + b" from localhost")
            # In order behind them: when it is there, they are not coming any more.
            _forge(two.ns, two.ips[0], GATEWAY[0], stage + b" honest")
            seen = [server.recv(99)]
            while not seen[-1].endswith(b"honest"):
                seen.append(server.recv(99))
            return seen

        assert forge_all(b"guarded") == [b"guarded honest"]
        # The guard it was, not something else in the way; and it comes back with the next ADD.
        nft.run(f"flush chain inet {TABLE} guard")
        assert len(forge_all(b"open")) == 3
        one.add(web())
        assert forge_all(b"again") == [b"again honest"]
    one.delete()


def test_sctp_is_translated(world: World, one: Container) -> None:
    """The kernel here has no SCTP sockets: an INIT chunk by hand, seen by a raw socket."""
    one.add(web(protocol="sctp", containerPort=3868))
    packet = bytearray(struct.pack("!HHII", 5000, 8080, 0, 0))
    packet += struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 1)
    packet[8:12] = struct.pack("<I", _crc32c(bytes(packet)))
    raw = (socket.AF_INET, socket.SOCK_RAW, 132)
    receiver = one.ns.run(socket.socket, *raw)
    with receiver, world.client.run(socket.socket, *raw) as sender:
        receiver.settimeout(2)
        sender.sendto(packet, (UPLINK[0], 0))
        seen, peer = receiver.recvfrom(2048)
    assert peer[0] == CLIENT[0]
    assert struct.unpack_from("!HH", seen, (seen[0] & 15) * 4) == (5000, 3868)
    one.delete()
    assert elements() == ""


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _bit in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def test_the_tables_of_the_reference_are_left_alone(world: World, one: Container) -> None:
    theirs = (
        "table ip cni_hostport {\n\tchain hostports {\n"
        '\t\ttcp dport 8079 dnat to 10.1.0.2:80 comment "c9"\n\t}\n}\n'
    )
    nft.run(theirs)
    one.add(web())
    with EchoServer(one.ns, one.ips[0], 80):
        assert not refused(world.client, UPLINK[0], 8080)
    one.delete()
    assert nft.run("list table ip cni_hostport") == theirs
    nft.run("delete table ip cni_hostport")


def test_a_flushed_ruleset_is_laid_down_by_the_next_add(
    world: World, one: Container, two: Container
) -> None:
    one.add(web())
    nft.run("flush ruleset")
    two.add(web(hostPort=8081))
    one.add(web())
    with EchoServer(one.ns, one.ips[0], 80), EchoServer(two.ns, two.ips[0], 80):
        assert not refused(world.client, UPLINK[0], 8080)
        assert not refused(world.client, UPLINK[0], 8081)
    nft.run("flush ruleset")
    one.delete()
    two.delete()
    world.host.command("nft", "list", "ruleset")


def test_an_answer_names_its_asker(world: World, one: Container) -> None:
    one.add(8080)
    with EchoServer(one.ns, one.ips[0], 80, name="me"):
        assert ask(world.client, UPLINK[0], 8080) == Answer("me", CLIENT[0], "hello")
    one.delete()
