"""What the values of DHCPv4 options mean (RFC 2132, RFC 3397, RFC 3442).

A value that does not make sense is none: a server's slip must not cost a container its address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from cni.result import Route
from cni_dhcp.daemon.names import read_names, tidy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SCOPE_LINK = 253  # <linux/rtnetlink.h>
_SMALLEST_MTU = 68  # RFC 791


def address(value: bytes | None) -> IPv4Address | None:
    """One address; None unless it is one."""
    return IPv4Address(value) if value is not None and len(value) == 4 else None


def addresses(value: bytes | None) -> tuple[IPv4Address, ...]:
    """A list of addresses."""
    if not value or len(value) % 4:
        return ()
    return tuple(IPv4Address(value[at : at + 4]) for at in range(0, len(value), 4))


def prefix_length(value: bytes | None) -> int | None:
    """Of a netmask; None where there is none, or one with holes."""
    if value is None or len(value) != 4:
        return None
    bits = int.from_bytes(value, "big")
    length = bits.bit_count()
    return length if bits == (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF else None


def number(value: bytes | None, size: int) -> int | None:
    """An unsigned number of that many bytes."""
    return int.from_bytes(value, "big") if value is not None and len(value) == size else None


def mtu(value: bytes | None) -> int | None:
    """An MTU in bytes that IPv4 can live with."""
    found = number(value, 2)
    return found if found is not None and found >= _SMALLEST_MTU else None


def classless_routes(value: bytes | None) -> tuple[Route, ...]:
    """Option 121: destination descriptors and routers; a router of 0.0.0.0 means the link.

    None of them where one is wrong, as there is no telling where the next begins.
    """
    routes: list[Route] = []
    data = value or b""
    while data:
        length = data[0]
        octets = (length + 7) // 8
        if length > 32 or len(data) < 1 + octets + 4:
            return ()
        base = IPv4Address(data[1 : 1 + octets].ljust(4, b"\0"))
        router = IPv4Address(data[1 + octets : 5 + octets])
        network = IPv4Network((base, length), strict=False)
        routes.append(Route(network, router) if int(router) else _on_link(network))
        data = data[5 + octets :]
    return tuple(routes)


def _on_link(network: IPv4Network) -> Route:
    return Route(network, scope=_SCOPE_LINK)


def static_routes(value: bytes | None) -> tuple[Route, ...]:
    """Option 33: pairs of a destination, whose class says how long its prefix is, and a router."""
    pairs = addresses(value)
    if len(pairs) % 2:
        return ()
    routes = []
    for base, router in zip(pairs[::2], pairs[1::2], strict=True):
        length = _class_length(base)
        if length and int(base):
            routes.append(Route(IPv4Network((base, length), strict=False), router))
    return tuple(routes)


def _class_length(base: IPv4Address) -> int:
    """8, 16 or 24; 0 for multicast and what is reserved (RFC 791, section 3.2)."""
    first = base.packed[0]
    if first < 128:
        return 8
    if first < 192:
        return 16
    return 24 if first < 224 else 0


def text(options: Mapping[int, bytes], code: int) -> str:
    """A domain name as text; empty where it is none."""
    value = options.get(code, b"").rstrip(b"\0").split(b" ")[0]
    return tidy(value)


def search(value: bytes | None) -> tuple[str, ...]:
    """Option 119: domain names as in DNS, with its compression."""
    return read_names(value or b"")
