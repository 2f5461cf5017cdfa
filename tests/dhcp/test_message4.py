"""The DHCPv4 codec, against pyroute2's and against what nobody should send."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.dhcp.dhcp4msg import dhcp4msg
from pyroute2.protocols import ip4msg, udp4_pseudo_header, udpmsg

from cni.result import Route
from cni_dhcp.daemon import message4, packet, values4
from cni_dhcp.daemon.lease import FOREVER, lease4, now
from cni_dhcp.daemon.message4 import ACK, DISCOVER, OFFER, REQUEST, Message, decode, encode
from cni_dhcp.daemon.names import read_names, tidy

MAC = bytes.fromhex("0a580a010002")
SOURCE, TARGET = IPv4Address("10.99.0.12"), IPv4Address("10.99.0.1")


def test_a_request_as_pyroute2_reads_it() -> None:
    message = Message(
        REQUEST,
        0x12345678,
        MAC,
        {61: b"\0c1/net/eth0", 50: SOURCE.packed, 54: TARGET.packed, 55: bytes((3, 1))},
        client=SOURCE,
        seconds=7,
        broadcast=True,
    )
    read = dhcp4msg(buf=encode(message)).decode()
    assert (read["op"], read["xid"], read["secs"], read["flags"]) == (1, 0x12345678, 7, 0x8000)
    assert (read["ciaddr"], read["chaddr"]) == (str(SOURCE), "0a:58:0a:01:00:02")
    options = read["options"]
    assert options["message_type"] == REQUEST
    assert options["client_id"] == {"type": 0, "key": b"c1/net/eth0"}
    assert (options["requested_ip"], options["server_id"]) == (str(SOURCE), str(TARGET))
    assert options["parameter_list"] == [3, 1]


def test_an_answer_as_pyroute2_writes_it() -> None:
    said = {
        "message_type": 5,
        "subnet_mask": "255.255.255.0",
        "router": ["10.99.0.1", "10.99.0.2"],
        "server_id": "10.99.0.1",
        "lease_time": 3600,
        "domain_name": "example.org",
    }
    written = dhcp4msg(
        {"op": 2, "xid": 5, "yiaddr": str(SOURCE), "chaddr": "0a:58:0a:01:00:02", "options": said}
    )
    message = decode(written.encode().buf)
    assert (message.kind, message.xid, message.yours, message.mac) == (ACK, 5, SOURCE, MAC)
    assert values4.addresses(message.options[3]) == (TARGET, IPv4Address("10.99.0.2"))
    assert values4.text(message.options, 15) == "example.org"
    lease = lease4(message, 100.0, b"")
    assert str(lease.address) == "10.99.0.12/24"
    assert (lease.times.renewal, lease.times.rebinding, lease.times.expiry) == (1900, 3250, 3700)


def test_a_packet_as_pyroute2_writes_it() -> None:
    payload = b"odd"
    udp = udpmsg({"sport": 68, "dport": 67, "len": 8 + len(payload)})
    pseudo = udp4_pseudo_header({"src": str(SOURCE), "dst": str(TARGET), "len": 8 + len(payload)})
    ours = packet.packet(payload, SOURCE, TARGET)
    read = ip4msg(buf=ours).decode()
    assert (read["src"], read["dst"], read["proto"]) == (str(SOURCE), str(TARGET), 17)
    assert ours[20:26] == udp.encode().buf[:6]
    assert int.from_bytes(ours[26:28], "big") == _sum(pseudo.encode().buf + ours[20:26] + payload)
    assert _sum(ours[:20]) == 0


def _sum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_messages_are_as_long_as_bootp_wants() -> None:
    assert len(encode(Message(DISCOVER, 1, MAC, {}))) == 300


NUMBERS = st.integers(1, 254).filter(lambda code: code not in (52, 53))


@given(st.dictionaries(NUMBERS, st.binary(max_size=700), max_size=8), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(options: dict[int, bytes], number: int) -> None:
    """Values of more than 255 bytes too, which go in parts."""
    message = Message(OFFER, number, MAC, options, yours=SOURCE)
    assert decode(encode(message, reply=True)) == message


@given(st.binary(max_size=600))
def test_whatever_comes_is_a_message_or_a_value_error(data: bytes) -> None:
    for start in (data, bytes(236) + b"\x63\x82\x53\x63" + data, _head() + data):
        try:
            message = decode(start)
            lease4(message, 0, b"")
        except ValueError:
            pass
    try:
        packet.payload_of(data)
    except ValueError:
        pass
    for value in (data, data[:5]):
        values4.classless_routes(value)
        values4.static_routes(value)
        values4.search(value)


def _head() -> bytes:
    return encode(Message(OFFER, 1, MAC, {}), reply=True)[:240]


def test_options_in_the_fields_for_file_and_server_name() -> None:
    data = bytearray(
        encode(Message(OFFER, 1, MAC, {52: b"\3", 15: b"ex"}, yours=SOURCE), reply=True)
    )
    data[108 : 108 + 9] = bytes((15, 5)) + b"ample" + bytes((255, 0))
    data[44 : 44 + 7] = bytes((15, 4)) + b".org" + bytes((255,))
    assert decode(bytes(data)).options == {15: b"example.org"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no DHCP message"),
        (bytes(240), "no DHCP message"),
        (encode(Message(OFFER, 1, MAC, {})), "no answer"),
        (_head(), "without a type"),
        (_head() + bytes((53, 9, 1)), "ends after the message"),
        (_head() + bytes((53,)), "ends after the message"),
    ],
)
def test_what_is_no_message(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(data)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:27], "no IPv4"),
        (lambda data: b"\x65" + data[1:], "no IPv4"),
        (lambda data: data[:8] + b"\x01" + data[9:], "wrong checksum"),
        (lambda data: data[:-1], "ends after the packet"),
    ],
)
def test_what_is_no_datagram(change: object, why: str) -> None:
    assert callable(change)
    good = packet.packet(b"hello", TARGET, SOURCE, (67, 68))
    assert packet.payload_of(good + b"padding") == b"hello"
    with pytest.raises(ValueError, match=why):
        packet.payload_of(change(good))


def test_netmasks() -> None:
    assert values4.prefix_length(IPv4Address("255.255.240.0").packed) == 20
    assert values4.prefix_length(bytes(4)) == 0
    for wrong in (None, b"", b"\xff\xff\xff", IPv4Address("255.0.255.0").packed):
        assert values4.prefix_length(wrong) is None


def test_classless_routes_as_in_rfc_3442() -> None:
    value = bytes((24, 10, 5, 0)) + TARGET.packed + bytes((0,)) + TARGET.packed
    value += bytes((32, 10, 99, 0, 1)) + bytes(4) + bytes((8, 10)) + TARGET.packed
    assert values4.classless_routes(value) == (
        Route(IPv4Network("10.5.0.0/24"), TARGET),
        Route(IPv4Network("0.0.0.0/0"), TARGET),
        Route(IPv4Network("10.99.0.1/32"), scope=253),
        Route(IPv4Network("10.0.0.0/8"), TARGET),
    )
    for wrong in (value[:-1], bytes((33, 1, 1, 1, 1, 1)) + TARGET.packed):
        assert values4.classless_routes(wrong) == ()


def test_static_routes_have_the_prefix_of_their_class() -> None:
    bases = ("10.1.2.3", "172.16.5.0", "192.0.2.0", "0.0.0.0", "224.0.0.1")
    value = b"".join(IPv4Address(one).packed + TARGET.packed for one in bases)
    assert [str(one.dst) for one in values4.static_routes(value)] == [
        "10.0.0.0/8",
        "172.16.0.0/16",
        "192.0.2.0/24",
    ]
    assert values4.static_routes(value[:-4]) == ()


def test_search_lists_with_pointers() -> None:
    value = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"
    assert read_names(value) == ("eng.apple.com", "marketing.apple.com")
    assert read_names(b"\x03eng\xc0\x00") == (), "in circles"
    assert read_names(b"\x03eng\x00\x09mark") == ("eng",)


@pytest.mark.parametrize(
    "wrong", [b"", b"a b", b"x\nnameserver 10.6.6.6", b"\xff", b".", b"a" * 254]
)
def test_names_that_must_not_reach_resolv_conf(wrong: bytes) -> None:
    assert tidy(wrong) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (1800, 3150, 3600)),
        ({51: 100}, (50, 87.5, 100)),
        ({51: 100, 58: 10, 59: 20}, (10, 20, 100)),
        ({51: 100, 58: 90, 59: 20}, (20, 20, 100)),
        ({51: 100, 58: 200, 59: 300}, (50, 87.5, 100)),
        ({51: 100, 58: 0, 59: 0}, (50, 87.5, 100)),
        ({51: 0xFFFFFFFF}, (FOREVER, FOREVER, FOREVER)),
    ],
)
def test_the_times_of_a_lease(said: dict[int, int], expected: tuple[float, ...]) -> None:
    options = {1: b"\xff\xff\xff\0", 54: TARGET.packed}
    options |= {code: seconds.to_bytes(4, "big") for code, seconds in said.items()}
    times = lease4(Message(ACK, 1, MAC, options, yours=SOURCE), 0, b"").times
    assert (times.renewal, times.rebinding, times.expiry) == expected


def test_the_clock_of_leases_goes_on_while_the_machine_sleeps() -> None:
    with open("/proc/uptime", encoding="ascii") as file:
        assert abs(float(file.read().split()[0]) - now()) < 1
    assert message4.NAMES[ACK] == "ACK"
