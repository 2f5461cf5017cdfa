"""What goes over the socket, byte for byte against pyroute2's encoder, and attributes alone.

Our own messages are taken on their way to a real kernel, which answers them as well.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from hostnet import address, bridge, conntrack, fdb, link, neighbour, netlink, route, vxlan
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host

FIND = netlink.NLM_F_REQUEST
ACK = netlink.NLM_F_REQUEST | netlink.NLM_F_ACK
NEW = ACK | netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
PUT = ACK | netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
DUMP = netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP
IP4 = ipaddress.ip_interface("10.1.2.3/24")
IP6 = ipaddress.ip_interface("fd00:1::3/64")


class Tapped(Netlink):
    """Keeps a copy of what it sends."""

    def __init__(self, protocol: int = netlink.NETLINK_ROUTE) -> None:
        super().__init__(protocol)
        self.sent: list[bytes] = []

    def _send(self, message: bytes, what: str) -> None:
        self.sent.append(message)
        super()._send(message, what)


@pytest.fixture
def nl(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tapped]:
    # pyroute2 leaves NLA_F_NESTED out where the kernel lets it: the one difference.
    monkeypatch.setattr(netlink, "NLA_F_NESTED", 0)
    with Tapped() as socket:
        yield socket


def oracle(  # noqa: PLR0917
    message: Any, kind: int, flags: int, fields: dict[str, Any], attrs: list[Any], seq: int = 1
) -> bytes:
    """The message as pyroute2 encodes it."""
    made = message()
    made["header"] = {"type": kind, "flags": flags, "sequence_number": seq, "pid": 0, "length": 0}
    for name, value in fields.items():
        made[name] = value
    made["attrs"] = attrs
    made.encode()
    return bytes(made.data)


def nest(*attrs: Any) -> dict[str, Any]:
    return {"attrs": list(attrs)}


def test_create_bridge(nl: Tapped) -> None:
    made = bridge.create(nl, "cni0", mac="0a:58:0a:01:02:01", mtu=1400, up=True)
    data = nest(("IFLA_INFO_KIND", "bridge"))
    assert nl.sent[0] == oracle(
        ifinfmsg,
        link.RTM_NEWLINK,
        NEW | netlink.NLM_F_ECHO,
        {"flags": 1, "change": 1},
        [
            ("IFLA_IFNAME", "cni0"),
            ("IFLA_ADDRESS", "0a:58:0a:01:02:01"),
            ("IFLA_MTU", 1400),
            ("IFLA_LINKINFO", data),
        ],
    )
    link.delete(nl, made.index)


def test_create_bridge_with_vlans(nl: Tapped) -> None:
    try:
        bridge.create(nl, "v", mac="0a:58:0a:01:02:01", vlan_filtering=True, default_pvid=0)
        link.delete(nl, link.get(nl, "v").index)
    except NetlinkError as error:
        assert error.errno == 95  # noqa: PT017 (a kernel without VLAN filtering)
    br = nest(("IFLA_BR_VLAN_FILTERING", 1), ("IFLA_BR_VLAN_DEFAULT_PVID", 0))
    info = nest(("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", br))
    assert nl.sent[0] == oracle(
        ifinfmsg,
        link.RTM_NEWLINK,
        NEW | netlink.NLM_F_ECHO,
        {},
        [
            ("IFLA_IFNAME", "v"),
            ("IFLA_ADDRESS", "0a:58:0a:01:02:01"),
            ("IFLA_LINKINFO", info),
        ],
    )


def test_create_veth(host: Host, nl: Tapped) -> None:
    master = bridge.create(nl, "cni0").index
    with host.container().open() as container:
        nl.sent.clear()
        made = link.create_veth(
            nl,
            "veth12345678",
            "eth0",
            mac="02:00:00:00:00:01",
            peer_mac="02:00:00:00:00:02",
            mtu=1400,
            master=master,
            peer_netns_fd=container.fileno(),
        )
        peer = nest(
            ("IFLA_IFNAME", "eth0"),
            ("IFLA_ADDRESS", "02:00:00:00:00:02"),
            ("IFLA_MTU", 1400),
            ("IFLA_NET_NS_FD", container.fileno()),
        )
        data = nest(("VETH_INFO_PEER", peer))
        assert nl.sent[0] == oracle(
            ifinfmsg,
            link.RTM_NEWLINK,
            NEW | netlink.NLM_F_ECHO,
            {},
            [
                ("IFLA_IFNAME", "veth12345678"),
                ("IFLA_ADDRESS", "02:00:00:00:00:01"),
                ("IFLA_MTU", 1400),
                ("IFLA_LINKINFO", nest(("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data))),
                ("IFLA_MASTER", master),
            ],
            seq=2,
        )
    link.delete(nl, made.index)
    link.delete(nl, master)


def test_change_and_delete_link(nl: Tapped) -> None:
    master = bridge.create(nl, "cni0").index
    index = link.create_veth(nl, "v0", "v1").index
    nl.sent.clear()
    link.change(nl, index, master=master, up=True, promisc=True, mtu=1300, alias="a b", name="w0")
    link.change(nl, index, port=bridge.port(hairpin=True, isolated=True))
    link.change(nl, index, mac="02:00:00:00:00:07")
    link.change(nl, index, allmulti=True, promisc=False, tx_queue=0)
    link.set_down(nl, index)
    link.set_up(nl, index)
    link.delete(nl, index)
    switches = nest(("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_ISOLATED", 1))
    assert nl.sent == [
        oracle(
            ifinfmsg,
            link.RTM_NEWLINK,
            ACK,
            {"index": index, "flags": 0x101, "change": 0x101},
            [
                ("IFLA_IFNAME", "w0"),
                ("IFLA_MTU", 1300),
                ("IFLA_MASTER", master),
                # pyroute2 ends an alias with a NUL, which the kernel would count as part of it.
                ("IFLA_IFALIAS", "a b"),
            ],
            3,
        ).replace(b"\x08\x00\x14\x00a b\0", b"\x07\x00\x14\x00a b\0"),
        oracle(
            ifinfmsg,
            link.RTM_NEWLINK,
            ACK,
            {"index": index},
            [
                (
                    "IFLA_LINKINFO",
                    nest(("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", switches)),
                )
            ],
            4,
        ),
        oracle(
            ifinfmsg,
            link.RTM_NEWLINK,
            ACK,
            {"index": index},
            [("IFLA_ADDRESS", "02:00:00:00:00:07")],
            5,
        ),
        oracle(
            ifinfmsg,
            link.RTM_NEWLINK,
            ACK,
            {"index": index, "flags": 0x200, "change": 0x300},
            [("IFLA_TXQLEN", 0)],
            6,
        ),
        oracle(ifinfmsg, link.RTM_NEWLINK, ACK, {"index": index, "flags": 0, "change": 1}, [], 7),
        oracle(ifinfmsg, link.RTM_NEWLINK, ACK, {"index": index, "flags": 1, "change": 1}, [], 8),
        oracle(ifinfmsg, link.RTM_DELLINK, ACK, {"index": index}, [], 9),
    ]
    link.delete(nl, master)


def test_find_links(nl: Tapped) -> None:
    link.get(nl, "lo")
    link.by_index(nl, 1)
    link.dump(nl, master=1)
    link.dump(nl, kind="veth")
    mask = ("IFLA_EXT_MASK", 8)
    assert nl.sent == [
        oracle(ifinfmsg, link.RTM_GETLINK, FIND, {}, [("IFLA_IFNAME", "lo"), mask]),
        oracle(ifinfmsg, link.RTM_GETLINK, FIND, {"index": 1}, [mask], 2),
        oracle(ifinfmsg, link.RTM_GETLINK, DUMP, {}, [mask, ("IFLA_MASTER", 1)], 3),
        oracle(
            ifinfmsg,
            link.RTM_GETLINK,
            DUMP,
            {},
            [mask, ("IFLA_LINKINFO", nest(("IFLA_INFO_KIND", "veth")))],
            4,
        ),
    ]


def test_create_vxlan(nl: Tapped) -> None:
    below = link.create_veth(nl, "u0", "u1").index
    nl.sent.clear()
    four = vxlan.create(
        nl,
        "vxlan42",
        42,
        underlay=below,
        local=ipaddress.ip_address("192.0.2.1"),
        group=ipaddress.ip_address("239.1.1.1"),
        learning=False,
        ageing=60,
        ttl=5,
        tos=vxlan.TOS_INHERIT,
        df=vxlan.DF_SET,
        checksum=False,
        mac="0a:58:0a:01:02:01",
        mtu=1400,
        alias="pycni",
    )
    link.delete(nl, four.index)
    six = vxlan.create(
        nl,
        "vxlan43",
        43,
        local=ipaddress.ip_address("2001:db8::1"),
        group=ipaddress.ip_address("2001:db8::2"),
        port=8472,
        zero_checksum6_tx=True,
        zero_checksum6_rx=True,
    )
    vxlan.set_local(nl, six.index, ipaddress.ip_address("2001:db8::3"))
    link.delete(nl, six.index)
    link.delete(nl, below)

    def made(name: str, *data: Any, identity: tuple[Any, ...] = ()) -> list[Any]:
        info = nest(("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", nest(*data)))
        return [("IFLA_IFNAME", name), *identity, ("IFLA_LINKINFO", info)]

    size = struct.unpack_from("=I", nl.sent[0])[0]
    assert nl.sent[0][size:].endswith(b"pycni\0\0\0")  # the alias goes with it
    assert nl.sent[0][:size] == oracle(
        ifinfmsg,
        link.RTM_NEWLINK,
        NEW | netlink.NLM_F_ECHO,
        {},
        made(
            "vxlan42",
            ("IFLA_VXLAN_ID", 42),
            ("IFLA_VXLAN_GROUP", "239.1.1.1"),
            ("IFLA_VXLAN_LINK", below),
            ("IFLA_VXLAN_LOCAL", "192.0.2.1"),
            ("IFLA_VXLAN_PORT", 4789),
            ("IFLA_VXLAN_LEARNING", 0),
            ("IFLA_VXLAN_AGEING", 60),
            ("IFLA_VXLAN_TTL", 5),
            ("IFLA_VXLAN_TOS", 1),
            ("IFLA_VXLAN_DF", 1),
            ("IFLA_VXLAN_UDP_CSUM", 0),
            identity=(("IFLA_ADDRESS", "0a:58:0a:01:02:01"), ("IFLA_MTU", 1400)),
        ),
        2,
    )
    sent = [one for one in nl.sent if struct.unpack_from("=H", one, 4)[0] == link.RTM_NEWLINK]
    assert sent[2] == oracle(
        ifinfmsg,
        link.RTM_NEWLINK,
        NEW | netlink.NLM_F_ECHO,
        {},
        made(
            "vxlan43",
            ("IFLA_VXLAN_ID", 43),
            ("IFLA_VXLAN_GROUP6", "2001:db8::2"),
            ("IFLA_VXLAN_LOCAL6", "2001:db8::1"),
            ("IFLA_VXLAN_PORT", 8472),
            ("IFLA_VXLAN_LEARNING", 1),
            ("IFLA_VXLAN_UDP_ZERO_CSUM6_TX", 1),
            ("IFLA_VXLAN_UDP_ZERO_CSUM6_RX", 1),
        ),
        8,
    )
    local = nest(("IFLA_VXLAN_LOCAL6", "2001:db8::3"))
    info = nest(("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", local))
    assert sent[3] == oracle(
        ifinfmsg, link.RTM_NEWLINK, ACK, {"index": six.index}, [("IFLA_LINKINFO", info)], 10
    )


@pytest.mark.parametrize("of_bridge", [False, True])
def test_vlans(nl: Tapped, of_bridge: bool) -> None:
    # `lo` is no port of a bridge, so these are refused.
    with pytest.raises(NetlinkError):
        bridge.add_vlan(nl, 1, 100, pvid=True, untagged=True, of_bridge=of_bridge)
    with pytest.raises(NetlinkError):
        bridge.add_vlan(nl, 1, 10, 20, of_bridge=of_bridge)
    with pytest.raises(NetlinkError):
        bridge.delete_vlan(nl, 1, 100, of_bridge=of_bridge)
    own = [("IFLA_BRIDGE_FLAGS", 2)] if of_bridge else []

    def spec(*infos: tuple[int, int]) -> list[Any]:
        each = [("IFLA_BRIDGE_VLAN_INFO", {"flags": flags, "vid": vid}) for flags, vid in infos]
        return [("IFLA_AF_SPEC", nest(*own, *each))]

    fields = {"family": 7, "index": 1}
    assert nl.sent == [
        oracle(ifinfmsg, link.RTM_SETLINK, ACK, fields, spec((6, 100)), 1),
        oracle(ifinfmsg, link.RTM_SETLINK, ACK, fields, spec((8, 10), (16, 20)), 2),
        oracle(ifinfmsg, link.RTM_DELLINK, ACK, fields, spec((0, 100)), 3),
    ]


def test_addresses(nl: Tapped) -> None:
    address.add(nl, 1, IP4)
    address.add(nl, 1, IP6, nodad=True, noprefixroute=True, replace=True)
    address.dump(nl, index=1, family=address.AF_INET6)
    address.delete(nl, 1, IP4)
    address.delete(nl, 1, IP6)
    four = {"family": 2, "prefixlen": 24, "index": 1}
    six = {"family": 10, "prefixlen": 64, "index": 1}
    own4 = [("IFA_LOCAL", "10.1.2.3"), ("IFA_ADDRESS", "10.1.2.3")]
    own6 = [("IFA_LOCAL", "fd00:1::3"), ("IFA_ADDRESS", "fd00:1::3")]
    broadcast = ("IFA_BROADCAST", "10.1.2.255")
    assert nl.sent == [
        oracle(ifaddrmsg, address.RTM_NEWADDR, NEW, four, [*own4, broadcast], 1),
        oracle(ifaddrmsg, address.RTM_NEWADDR, PUT, six, [*own6, ("IFA_FLAGS", 0x202)], 2),
        oracle(ifaddrmsg, address.RTM_GETADDR, DUMP, {"family": 10, "index": 1}, [], 3),
        oracle(ifaddrmsg, address.RTM_DELADDR, ACK, four, own4, 4),
        oracle(ifaddrmsg, address.RTM_DELADDR, ACK, six, own6, 5),
    ]


def test_routes(nl: Tapped) -> None:
    net = ipaddress.ip_network
    ip = ipaddress.ip_address
    index = bridge.create(nl, "cni0", up=True).index
    address.add(nl, index, IP4)
    nl.sent.clear()
    route.add(nl, net("10.9.0.0/16"), oif=index, source=IP4.ip, priority=7, mtu=1400, advmss=1300)
    route.add(nl, net("10.8.0.0/16"), gateway=ip("10.1.2.9"), oif=index, onlink=True, table=1000)
    route.add(nl, net("fd09::/16"), oif=index, replace=True, table=100)
    route.delete(nl, net("10.9.0.0/16"), oif=index, priority=7)
    route.delete(nl, net("10.8.0.0/16"), table=1000)
    route.delete(nl, net("fd09::/16"), table=100)
    route.dump(nl, route.AF_INET, table=254, oif=index)
    route.lookup(nl, ip("127.0.0.1"))
    unicast = {"proto": 3, "type": 1}
    four = {"family": 2, "dst_len": 16}
    six = {"family": 10, "dst_len": 16}
    any_scope = {"scope": 255, "proto": 0, "type": 0}
    assert nl.sent == [
        oracle(
            rtmsg,
            route.RTM_NEWROUTE,
            NEW,
            {**four, **unicast, "table": 254, "scope": 253},
            [
                ("RTA_DST", "10.9.0.0"),
                ("RTA_OIF", index),
                ("RTA_PRIORITY", 7),
                ("RTA_PREFSRC", "10.1.2.3"),
                ("RTA_METRICS", nest(("RTAX_MTU", 1400), ("RTAX_ADVMSS", 1300))),
            ],
            3,
        ),
        oracle(
            rtmsg,
            route.RTM_NEWROUTE,
            NEW,
            {**four, **unicast, "table": 0, "scope": 0, "flags": 4},
            [
                ("RTA_DST", "10.8.0.0"),
                ("RTA_TABLE", 1000),
                ("RTA_GATEWAY", "10.1.2.9"),
                ("RTA_OIF", index),
            ],
            4,
        ),
        oracle(
            rtmsg,
            route.RTM_NEWROUTE,
            PUT,
            {**six, **unicast, "table": 100},
            [("RTA_DST", "fd09::"), ("RTA_OIF", index)],
            5,
        ),
        oracle(
            rtmsg,
            route.RTM_DELROUTE,
            ACK,
            {**four, **any_scope, "table": 254},
            [("RTA_DST", "10.9.0.0"), ("RTA_OIF", index), ("RTA_PRIORITY", 7)],
            6,
        ),
        oracle(
            rtmsg,
            route.RTM_DELROUTE,
            ACK,
            {**four, **any_scope, "table": 0},
            [("RTA_DST", "10.8.0.0"), ("RTA_TABLE", 1000)],
            7,
        ),
        oracle(
            rtmsg,
            route.RTM_DELROUTE,
            ACK,
            {**six, **any_scope, "table": 100},
            [("RTA_DST", "fd09::")],
            8,
        ),
        oracle(
            rtmsg,
            route.RTM_GETROUTE,
            DUMP,
            {"family": 2},
            [("RTA_TABLE", 254), ("RTA_OIF", index)],
            9,
        ),
        oracle(
            rtmsg,
            route.RTM_GETROUTE,
            FIND,
            {"family": 2, "dst_len": 32, "flags": 0x1000},
            [("RTA_DST", "127.0.0.1")],
            10,
        ),
    ]
    link.delete(nl, index)


def test_route_with_a_gateway_of_the_other_family(nl: Tapped) -> None:
    with pytest.raises(NetlinkError):
        route.add(
            nl,
            ipaddress.ip_network("10.8.0.0/16"),
            gateway=ipaddress.ip_address("fe80::1"),
            oif=1,
        )
    # pyroute2 has no RTA_VIA for a next hop, so by hand, after include/uapi/linux/rtnetlink.h.
    via = struct.pack("=HHH16s2x", 22, 18, 10, ipaddress.ip_address("fe80::1").packed)
    assert via in nl.sent[0]


def test_neighbours(nl: Tapped) -> None:
    index = bridge.create(nl, "cni0").index
    nl.sent.clear()
    neighbour.add(nl, index, IP4.ip, "02:00:00:00:00:01")
    neighbour.add(nl, index, IP6.ip, "02:00:00:00:00:01", state=neighbour.NUD_STALE, replace=True)
    neighbour.dump(nl, index=index, family=neighbour.AF_INET)
    neighbour.delete(nl, index, IP4.ip)
    mac = ("NDA_LLADDR", "02:00:00:00:00:01")
    four = {"family": 2, "ifindex": index}
    six = {"family": 10, "ifindex": index}
    assert nl.sent == [
        oracle(
            ndmsg,
            neighbour.RTM_NEWNEIGH,
            NEW,
            {**four, "state": 0x80},
            [("NDA_DST", "10.1.2.3"), mac],
            2,
        ),
        oracle(
            ndmsg,
            neighbour.RTM_NEWNEIGH,
            PUT,
            {**six, "state": 4},
            [("NDA_DST", "fd00:1::3"), mac],
            3,
        ),
        oracle(ndmsg, neighbour.RTM_GETNEIGH, DUMP, {"family": 2}, [("NDA_IFINDEX", index)], 4),
        oracle(ndmsg, neighbour.RTM_DELNEIGH, ACK, four, [("NDA_DST", "10.1.2.3")], 5),
    ]
    link.delete(nl, index)


def test_forwarding_entries(nl: Tapped) -> None:
    index = vxlan.create(nl, "vxlan42", 42, local=ipaddress.ip_address("192.0.2.1")).index
    nl.sent.clear()
    mac = "02:00:00:00:00:01"
    peer = ipaddress.ip_address("192.0.2.2")
    fdb.add(nl, index, mac, peer, port=8472, vni=43)
    fdb.add(nl, index, mac, peer, replace=True)
    fdb.add(nl, index, fdb.FLOOD, peer, append=True)
    fdb.dump(nl, index)
    fdb.delete(nl, index, fdb.FLOOD, peer)
    fdb.delete(nl, index, mac)
    fields = {"family": 7, "ifindex": index, "flags": 2}
    permanent = {**fields, "state": 0x80}
    to = [("NDA_LLADDR", mac), ("NDA_DST", "192.0.2.2")]
    flood = [("NDA_LLADDR", fdb.FLOOD), ("NDA_DST", "192.0.2.2")]
    append = ACK | netlink.NLM_F_CREATE | netlink.NLM_F_APPEND
    assert nl.sent == [
        oracle(
            ndmsg,
            neighbour.RTM_NEWNEIGH,
            NEW,
            permanent,
            [*to, ("NDA_PORT", 8472), ("NDA_VNI", 43)],
            3,
        ),
        oracle(ndmsg, neighbour.RTM_NEWNEIGH, PUT, permanent, to, 4),
        oracle(ndmsg, neighbour.RTM_NEWNEIGH, append, permanent, flood, 5),
        oracle(ndmsg, neighbour.RTM_GETNEIGH, DUMP, {"family": 7, "ifindex": index}, [], 6),
        oracle(ndmsg, neighbour.RTM_DELNEIGH, ACK, fields, flood, 7),
        oracle(ndmsg, neighbour.RTM_DELNEIGH, ACK, fields, to[:1], 8),
    ]
    link.delete(nl, index)


def test_protocol_tags(nl: Tapped) -> None:
    index = bridge.create(nl, "cni0", up=True).index
    nl.sent.clear()
    to = ipaddress.ip_network("10.9.0.0/16")
    neighbour.add(nl, index, IP4.ip, "02:00:00:00:00:01", protocol=201)
    route.add(nl, to, oif=index, protocol=201)
    route.dump(nl, route.AF_INET, protocol=201)
    route.delete(nl, to, protocol=201)
    assert nl.sent == [
        oracle(
            ndmsg,
            neighbour.RTM_NEWNEIGH,
            NEW,
            {"family": 2, "ifindex": index, "state": 0x80},
            [
                ("NDA_DST", "10.1.2.3"),
                ("NDA_LLADDR", "02:00:00:00:00:01"),
                ("NDA_PROTOCOL", 201),
            ],
            2,
        ),
        oracle(
            rtmsg,
            route.RTM_NEWROUTE,
            NEW,
            {"family": 2, "dst_len": 16, "table": 254, "proto": 201, "type": 1, "scope": 253},
            [("RTA_DST", "10.9.0.0"), ("RTA_OIF", index)],
            3,
        ),
        oracle(
            rtmsg,
            route.RTM_GETROUTE,
            DUMP,
            {"family": 2, "proto": 201},
            [("RTA_TABLE", 254)],
            4,
        ),
        oracle(
            rtmsg,
            route.RTM_DELROUTE,
            ACK,
            {"family": 2, "dst_len": 16, "table": 254, "proto": 201, "type": 1, "scope": 255},
            [("RTA_DST", "10.9.0.0")],
            5,
        ),
    ]
    link.delete(nl, index)


@pytest.mark.usefixtures("nl")
def test_conntrack() -> None:
    with Tapped(netlink.NETLINK_NETFILTER) as nl:
        match = conntrack.Match(
            conntrack.AF_INET,
            protocol=17,
            destination=ipaddress.ip_address("10.1.2.3"),
            dport=53,
            reply_source=ipaddress.ip_address("10.1.0.2"),
        )
        conntrack.dump(nl, match)
        proto = ("CTA_PROTO_NUM", 17)
        original = nest(
            ("CTA_TUPLE_IP", nest(("CTA_IP_V4_DST", "10.1.2.3"))),
            ("CTA_TUPLE_PROTO", nest(proto, ("CTA_PROTO_DST_PORT", 53))),
        )
        reply = nest(
            ("CTA_TUPLE_IP", nest(("CTA_IP_V4_SRC", "10.1.0.2"))),
            ("CTA_TUPLE_PROTO", nest(proto)),
        )
        expected = oracle(
            nfct_msg,
            conntrack.CT_GET,
            DUMP,
            {"nfgen_family": 2},
            [("CTA_TUPLE_ORIG", original), ("CTA_TUPLE_REPLY", reply)],
        )
        ours = nl.sent[0]
        size = len(expected)
        assert ours[4:size] == expected[4:]
        # CTA_FILTER is younger than pyroute2's table: destination, protocol and port of the
        # original direction (bits 1, 3, 5), source and protocol of the reply (bits 0, 3).
        assert ours[size:].hex() == "14001900" + "08000100" + "2a000000" + "08000200" + "09000000"


def test_golden_veth_request() -> None:
    """One message in full, for those who read it beside <linux/rtnetlink.h>."""
    payload = (
        link.header(0)
        + netlink.attr_str(link.IFLA_IFNAME, "veth0")
        + netlink.nested(link.IFLA_LINKINFO, netlink.attr_str(link.IFLA_INFO_KIND, "veth"))
    )
    assert payload.hex(" ", 4) == (
        "00000000 00000000 00000000 00000000 "  # struct ifinfomsg
        "0a000300 76657468 30000000 "  # 10 bytes, IFLA_IFNAME, "veth0\0" and padding
        "10001280 "  # 16 bytes, IFLA_LINKINFO | NLA_F_NESTED
        "09000100 76657468 00000000"  # 9 bytes, IFLA_INFO_KIND, "veth\0" and padding
    )


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (netlink.attr_u8(1, 0xAB), "05000100ab000000"),
        (netlink.attr_u16(1, 0xABCD), "06000100cdab0000"),
        (netlink.attr_u32(1, 0xABCDEF01), "0800010001efcdab"),
        (netlink.attr_u64(1, 1), "0c0001000100000000000000"),
        (netlink.attr_be16(1, 0xABCD), "06000100abcd0000"),
        (netlink.attr_be32(1, 0xABCDEF01), "08000100abcdef01"),
        (netlink.attr_str(1, "ab"), "0700010061620000"),
        (netlink.attr(1, b""), "04000100"),
        (netlink.nested(1), "04000180"),
    ],
)
def test_attribute_bytes(made: bytes, expected: str) -> None:
    assert made.hex() == expected


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40))))
def test_attributes_come_back(attrs: list[tuple[int, bytes]]) -> None:
    buf = b"".join([netlink.attr(kind, data) for kind, data in attrs])
    assert len(buf) % 4 == 0
    assert netlink.parse_list(buf) == attrs
    assert netlink.parse(buf) == dict(attrs)
    assert netlink.parse(netlink.nested(5, buf)) == {5: buf}


@given(
    st.dictionaries(st.integers(0, 9), st.binary(max_size=40)),
    st.lists(st.integers(0, 11)),
    st.booleans(),
)
def test_attributes_are_found_in_any_order(
    attrs: dict[int, bytes], asked: list[int], cut: bool
) -> None:
    buf = bytes(8) + b"".join([netlink.attr(kind, data) for kind, data in attrs.items()])
    found = netlink.Attributes(buf, 8)
    for kind in asked:
        assert found.get(kind) == attrs.get(kind, b"")
    if cut and attrs:
        cut_off = netlink.Attributes(buf + netlink.attr(12, b"more")[:-1], 8)
        assert cut_off.get(next(iter(attrs))) == next(iter(attrs.values()))
        for _again in range(2):
            with pytest.raises(ValueError, match="of 8 bytes"):
                cut_off.get(10)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(buf: bytes) -> None:
    try:
        found = netlink.parse_list(buf)
    except ValueError:
        with pytest.raises(ValueError, match="netlink attribute of"):
            netlink.parse(buf)
        return
    assert netlink.parse(buf) == dict(found)
    assert sum(len(data) + 4 for _kind, data in found) <= len(buf)
