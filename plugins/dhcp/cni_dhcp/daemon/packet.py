"""UDP over a packet socket, for a client that has no address to send from yet.

The socket takes and gives IPv4 packets; their Ethernet headers are the kernel's. Closing it costs
10 ms of waiting for RCU, which a thread does.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from ipaddress import IPv4Address

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netns import NetNS

CLIENT_PORT = 68
SERVER_PORT = 67
EVERYBODY = IPv4Address("255.255.255.255")
EVERY_MAC = b"\xff" * 6

_ETH_P_IP = 0x0800
_ARPHRD_ETHER = 1
_UDP = 17
_TTL = 64
_SO_ATTACH_FILTER = 26
_RECEIVE_BYTES = 0x10000
# version and length, tos, total length, id, fragment, ttl, protocol, checksum, source, destination
_IP = struct.Struct("!BBHHHBBH4s4s")
_PORTS = struct.Struct("!HHHH")  # source, destination, length, checksum

# struct sock_filter: code, jump if true, jump if false, operand; <linux/filter.h>
_FILTER = b"".join(
    struct.pack("=HBBI", *line)
    for line in (
        (0x30, 0, 0, 9),  # ldb [9]: the protocol
        (0x15, 0, 6, _UDP),  # jeq #17, else drop
        (0x28, 0, 0, 6),  # ldh [6]: flags and fragment offset
        (0x45, 4, 0, 0x1FFF),  # jset: a later fragment has no ports, drop
        (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf): the header's length
        (0x48, 0, 0, 2),  # ldh [x + 2]: the destination port
        (0x15, 0, 1, CLIENT_PORT),  # jeq #68, else drop
        (0x06, 0, 0, 0x40000),  # ret: take it
        (0x06, 0, 0, 0),  # ret: drop
    )
)


@record
class Datagram:
    """A UDP payload, and the hardware address it came from."""

    payload: bytes
    mac: bytes


def open_socket(ns: NetNS, ifname: str) -> socket.socket:
    """A packet socket on an interface of the namespace that hears DHCP for clients, unblocking."""
    with ns.entered():
        # Protocol 0 hears nothing until it is bound, so that the filter is there for the first.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        try:
            program = ctypes.create_string_buffer(_FILTER, len(_FILTER))
            sock.setsockopt(
                socket.SOL_SOCKET,
                _SO_ATTACH_FILTER,
                struct.pack("@HP", len(_FILTER) // 8, ctypes.addressof(program)),
            )
            sock.bind((ifname, _ETH_P_IP))
        except BaseException:
            sock.close()
            raise
    return sock


def send(
    sock: socket.socket, payload: bytes, source: IPv4Address, target: IPv4Address, *, mac: bytes
) -> None:
    """Send a client's message from an address to a server's, in a frame to `mac`."""
    where = (sock.getsockname()[0], _ETH_P_IP, 0, _ARPHRD_ETHER, mac)
    sock.sendto(packet(payload, source, target), where)


def packet(
    payload: bytes,
    source: IPv4Address,
    target: IPv4Address,
    ports: tuple[int, int] = (CLIENT_PORT, SERVER_PORT),
) -> bytes:
    """An IPv4 packet with a UDP datagram (RFC 791, RFC 768)."""
    size = _PORTS.size + len(payload)
    pseudo = source.packed + target.packed + struct.pack("!HH", _UDP, size)
    checksum = _checksum(pseudo + _PORTS.pack(*ports, size, 0) + payload) or 0xFFFF
    head = _IP.pack(0x45, 0, _IP.size + size, 0, 0, _TTL, _UDP, 0, source.packed, target.packed)
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return head + _PORTS.pack(*ports, size, checksum) + payload


def payload_of(data: bytes) -> bytes:
    """The payload of an IPv4 packet that the filter let through. Raises ValueError.

    Its UDP checksum is not looked at: a packet that never left the machine has none yet.
    """
    head = (data[0] & 0x0F) * 4 if data else 0
    if head < _IP.size or len(data) < head + _PORTS.size or data[0] >> 4 != 4:
        raise ValueError("no IPv4 packet")
    if _checksum(data[:head]):
        raise ValueError("an IPv4 header with a wrong checksum")
    fragment = int.from_bytes(data[6:8], "big") & 0x3FFF
    _, port, size, _ = _PORTS.unpack_from(data, head)
    if data[9] != _UDP or fragment or port != CLIENT_PORT:
        raise ValueError("no whole UDP datagram for a DHCP client")
    if size < _PORTS.size or head + size > len(data):
        raise ValueError("a UDP datagram that ends after the packet")
    return data[head + _PORTS.size : head + size]


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
