"""Only the flows that are meant are forgotten: real flows, counted by conntrack(8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from hostnet import conntrack
from hostnet.conntrack import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, Match
from hostnet.netlink import NETLINK_NETFILTER, Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.traffic import EchoServer, ask

# Tracks everything, and publishes host port 8053 as port 53 of 10.1.0.2 and fd00:1::2.
RULES = """
table inet t {
    chain pre {
        type nat hook prerouting priority dstnat;
        meta l4proto { tcp, udp } th dport 8053 fib daddr type local meta nfproto ipv4 \
            dnat ip to 10.1.0.2:53
        meta l4proto { tcp, udp } th dport 8053 fib daddr type local meta nfproto ipv6 \
            dnat ip6 to [fd00:1::2]:53
    }
    chain passing { type filter hook forward priority 0; ct state new counter; }
    chain arriving { type filter hook input priority 0; ct state new counter; }
}
"""
HOST4, HOST6 = ip_address("10.2.0.1"), ip_address("fd00:2::1")
POD4, POD6 = ip_address("10.1.0.2"), ip_address("fd00:1::2")


class Net:
    """A client in front of the host, a pod behind it, and flows of every kind through it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.client, self.pod = host.container("client"), host.container("pod")
        for name, ns, net in (("c", self.client, 2), ("p", self.pod, 1)):
            host.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(ns))
            # While its link-local address is tentative it cannot ask for IPv6 neighbours.
            Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
            for where, dev, end in ((host, name, 1), (ns, "eth0", 2)):
                where.ip("address", "add", f"10.{net}.0.{end}/24", "dev", dev)
                where.ip("address", "add", f"fd00:{net}::{end}/64", "dev", dev, "nodad")
                where.ip("link", "set", dev, "up")
            ns.ip("route", "add", "default", "via", f"10.{net}.0.1")
            ns.ip("-6", "route", "add", "default", "via", f"fd00:{net}::1")
        for ns, name in ((host, "c"), (host, "p"), (self.client, "eth0"), (self.pod, "eth0")):
            ns.wait_ready(name)
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path(f"/proc/sys/net/{switch}").write_text("1")
        host.command("nft", "-f", "-", stdin=RULES)

    def exchange(self, address: str, port: int, protocol: str, sport: int) -> None:
        source = "fd00:2::2" if ":" in address else "10.2.0.2"
        ask(self.client, address, port, protocol, source=(source, sport))

    def flows(self) -> set[tuple[str, str, int, int]]:
        """(protocol, original destination, original ports) by conntrack(8)."""
        found: set[tuple[str, str, int, int]] = set()
        for family in ("ipv4", "ipv6"):
            listed = self.host.command("conntrack", "-L", "-f", family).stdout
            for line in listed.splitlines():
                match = re.match(r"(\w+) .*? dst=(\S+) sport=(\d+) dport=(\d+)", line)
                if match:
                    protocol, destination, sport, dport = match.groups()
                    address = str(ip_address(destination))
                    found.add((protocol, address, int(sport), int(dport)))
        return found

    def make_flows(self) -> set[tuple[str, str, int, int]]:
        """Published, straight to the pod on the same ports, to the host, TCP, IPv6: all at once."""
        servers = [
            EchoServer(self.pod, "0.0.0.0", 53, "udp"),
            EchoServer(self.pod, "::", 53, "tcp"),
            EchoServer(self.host, "10.2.0.1", 9053, "udp"),
            EchoServer(self.pod, "0.0.0.0", 8053, "udp"),
            EchoServer(self.pod, "fd00:1::2", 53, "udp"),
            EchoServer(self.pod, "fd00:1::2", 8053, "udp"),
        ]
        try:
            self.exchange("10.2.0.1", 8053, "udp", 40001)
            self.exchange("10.2.0.1", 8053, "udp", 40002)
            self.exchange("10.2.0.1", 8053, "tcp", 40003)
            self.exchange("10.1.0.2", 53, "udp", 40004)
            self.exchange("10.1.0.2", 8053, "udp", 40005)
            self.exchange("10.2.0.1", 9053, "udp", 40006)
            self.exchange("fd00:2::1", 8053, "udp", 40007)
            self.exchange("fd00:1::2", 8053, "udp", 40008)
        finally:
            for server in servers:
                server.__exit__(None, None, None)
        found = self.flows()
        assert found == {
            ("udp", "10.2.0.1", 40001, 8053),
            ("udp", "10.2.0.1", 40002, 8053),
            ("tcp", "10.2.0.1", 40003, 8053),
            ("udp", "10.1.0.2", 40004, 53),
            ("udp", "10.1.0.2", 40005, 8053),
            ("udp", "10.2.0.1", 40006, 9053),
            ("udp", "fd00:2::1", 40007, 8053),
            ("udp", "fd00:1::2", 40008, 8053),
        }
        return found


@pytest.fixture
def net(host: Host) -> Iterator[Net]:
    made = Net(host)
    yield made
    host.command("nft", "delete", "table", "inet", "t")
    host.ip("link", "del", "c")
    host.ip("link", "del", "p")


@pytest.fixture
def nl(net: Net) -> Iterator[Netlink]:
    with Netlink(NETLINK_NETFILTER) as socket:
        yield socket


CASES = [
    (Match(AF_INET, protocol=IPPROTO_UDP, destination=HOST4, dport=8053), {40001, 40002}),
    (Match(AF_INET, protocol=IPPROTO_TCP, destination=HOST4, dport=8053), {40003}),
    (Match(AF_INET, protocol=IPPROTO_UDP, dport=8053), {40001, 40002, 40005}),
    (
        Match(AF_INET, protocol=IPPROTO_UDP, dport=8053, reply_source=POD4, reply_sport=53),
        {40001, 40002},
    ),
    (Match(AF_INET, protocol=IPPROTO_UDP, reply_source=POD4), {40001, 40002, 40004, 40005}),
    (Match(AF_INET, reply_source=POD4), {40001, 40002, 40003, 40004, 40005}),
    (Match(AF_INET, destination=POD4), {40004, 40005}),
    (Match(AF_INET, protocol=IPPROTO_UDP, destination=HOST4, dport=1), set()),
    (Match(AF_INET6, protocol=IPPROTO_UDP, destination=HOST6, dport=8053), {40007}),
    (Match(AF_INET6, protocol=IPPROTO_UDP, dport=8053), {40007, 40008}),
    (Match(AF_INET6, reply_source=POD6), {40007, 40008}),
    (Match(AF_INET6, protocol=IPPROTO_UDP, destination=POD6, dport=8053), {40008}),
]


@pytest.mark.parametrize("kernel", ["filtering", "old"])
def test_exactly_these_flows(net: Net, nl: Netlink, kernel: str) -> None:
    """All cases in one topology: making it takes longer than they do."""
    for number, (match, gone) in enumerate(CASES):
        before = net.make_flows()
        if kernel == "filtering":
            conntrack.delete(nl, match)
        else:  # one that deletes single flows only
            found = conntrack.dump(nl, match)
            assert {flow.original.sport for flow in found} == gone, f"case {number}"
            assert conntrack.delete_flows(nl, found) == len(gone)
            assert conntrack.delete_flows(nl, found) == 0, "those that are gone are no error"
        left = {flow for flow in before if flow[2] not in gone}
        assert net.flows() == left, f"case {number}"


def test_what_a_flow_says(net: Net, nl: Netlink) -> None:
    net.make_flows()
    published = Match(AF_INET, protocol=IPPROTO_UDP, destination=HOST4, dport=8053)
    flow = conntrack.dump(nl, published)[0]
    assert (flow.original.dst, flow.original.dport) == (HOST4.packed, 8053)
    assert (flow.reply.src, flow.reply.sport) == (POD4.packed, 53)
    assert flow.reply.dst == flow.original.src == ip_address("10.2.0.2").packed


def test_the_kernel_filters(net: Net, nl: Netlink) -> None:
    """Otherwise every dump would carry all connections of the machine."""
    net.make_flows()
    match = Match(AF_INET, protocol=IPPROTO_TCP, dport=8053)
    payload = conntrack._NFGENMSG.pack(AF_INET, 0, 0) + match.attributes()
    assert len(nl.dump(conntrack.CT_GET, payload)) == 1


def test_everything_is_refused(net: Net, nl: Netlink) -> None:
    with pytest.raises(ValueError, match="all connections"):
        conntrack.delete(nl, Match(AF_INET))
    with pytest.raises(ValueError, match="without a protocol"):
        Match(AF_INET, dport=53)


class Without(Netlink):
    """As a kernel without ctnetlink answers."""

    def _send(self, message: bytes, what: str) -> None:
        super()._send(message[:4] + b"\x01\x0d" + message[6:], what)  # a subsystem nobody has


def test_a_kernel_without_conntrack_holds_no_flows(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    match = Match(AF_INET, protocol=IPPROTO_UDP, dport=8053)
    with Without(NETLINK_NETFILTER) as nl:
        with pytest.raises(NetlinkError, match="load the module nf_conntrack_netlink"):
            conntrack.delete(nl, match)
        monkeypatch.setattr("os.path.exists", lambda _path: False)
        conntrack.delete(nl, match)
        assert conntrack.dump(nl, match) == []
