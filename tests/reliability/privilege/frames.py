"""Frames that no honest machine sends, put on the wire of a namespace by a packet socket."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from tests.kit.namespace import Namespace

_ETH_P = {4: 0x0800, 6: 0x86DD}
_UDP, _ICMPV6 = 17, 58
_ALL_NODES = "ff02::1"
_ADVERTISEMENT = 134  # RFC 4861, 4.2


def mac_of(ns: Namespace, name: str) -> bytes:
    """The hardware address of an interface."""
    return bytes.fromhex(ns.links()[name]["address"].replace(":", ""))


def send(ns: Namespace, name: str, to: bytes, packet: bytes) -> None:
    """Put an IP packet on the wire of an interface, for the hardware address `to`."""
    version = packet[0] >> 4
    header = to + mac_of(ns, name) + struct.pack("!H", _ETH_P[version])
    with ns.run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((name, 0))
        raw.send(header + packet)


def udp(source: str, destination: str, port: int, payload: bytes) -> bytes:
    """A UDP packet from port 5000."""
    body = struct.pack("!HHHH", 5000, port, 8 + len(payload), 0) + payload
    return _packet(source, destination, _UDP, body, 6)


def advertisement(source: str, prefix: str, seconds: int = 1800) -> bytes:
    """A router advertisement to all nodes: a default router, and a /64 to form addresses in."""
    head = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, 0, seconds, 0, 0)
    option = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, seconds, seconds, 0)  # RFC 4861, 4.6.2
    return _packet(source, _ALL_NODES, _ICMPV6, head + option + ip_address(prefix).packed, 2)


def _packet(source: str, destination: str, protocol: int, body: bytes, at: int) -> bytes:
    """at: where the checksum stands in the body."""
    addresses = ip_address(source).packed + ip_address(destination).packed
    pseudo = addresses + struct.pack("!IHBB", len(body), 0, 0, protocol)
    if len(addresses) == 8:
        pseudo = addresses + struct.pack("!BBH", 0, protocol, len(body))
    body = body[:at] + _checksum(pseudo + body) + body[at + 2 :]
    if len(addresses) == 32:
        return struct.pack("!IHBB", 0x60000000, len(body), protocol, 255) + addresses + body
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(body), 0, 0, 64, protocol)
    return head + _checksum(head + addresses) + addresses + body


def _checksum(data: bytes) -> bytes:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
