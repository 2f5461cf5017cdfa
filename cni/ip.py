"""Addresses as the reference reads them: Go's `net.ParseIP` and `net.ParseCIDR`.

Python's `ipaddress` is a little more liberal (netmasks, zone indices, IPv4-mapped addresses kept
as IPv6), and both suites must agree on what a config or an address file means. To Go an IPv4-mapped
address is the IPv4 address, and `::ffff:10.1.2.3/120` is `10.1.2.3/24`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Network, IPv6Network
    from typing import TypeAlias, TypeVar

    Address: TypeAlias = IPv4Address | IPv6Address
    Interface: TypeAlias = IPv4Interface | IPv6Interface
    Network: TypeAlias = IPv4Network | IPv6Network

    T = TypeVar("T")

_MAPPED = 96
"""Bits of `::ffff:0:0/96`, the prefix of all IPv4-mapped addresses (RFC 4291, section 2.5.5.2)."""


_REMEMBERED = 256


def _remembering(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let it keep what it has read: calls of one host name the same subnets over and over."""
    known: dict[str, T] = {}

    def ask(text: str) -> T:
        found = known.get(text)
        if found is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[text] = found = parse(text)
        return found

    ask.__doc__ = parse.__doc__
    return ask


@_remembering
def parse_address(text: str) -> Address:
    """An address without a prefix length. Raises ValueError."""
    if ":" not in text:
        return IPv4Address(text)
    address = IPv6Address(text)
    if address.scope_id is not None:
        raise ValueError(f"{text!r} has a zone index")
    return address.ipv4_mapped or address


@_remembering
def parse_interface(text: str) -> Interface:
    """An address with its prefix length, host bits kept: `10.2.3.1/24`. Raises ValueError."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()):
        raise ValueError(f"{text!r} has no prefix length")
    parsed, bits = parse_address(address), int(length)
    if parsed.version == 6:
        return IPv6Interface((parsed, bits))
    if ":" in address:
        bits -= _MAPPED
        if bits < 0:
            raise ValueError(f"{text!r} has a prefix shorter than that of all IPv4 addresses")
    return IPv4Interface((parsed, bits))


@_remembering
def parse_network(text: str) -> Network:
    """A subnet; host bits are cleared. Raises ValueError.

    The reference keeps those of a route's `dst`, which the kernel then takes for IPv6 only.
    """
    return parse_interface(text).network


def is_inside(subnet: Network, network: Network) -> bool:
    """Whether a network has all of a subnet's addresses; false for two families."""
    return subnet.prefixlen >= network.prefixlen and subnet.network_address in network


def parse_mac(text: str) -> str:
    """A unicast EUI-48 hardware address, as six lower-case octets with colons.

    Accepts `02:00:5e:10:00:01`, `02-00-...` and `0200.5e10.0001`. Raises ValueError, also for
    multicast and all-zero addresses, which the kernel refuses for an interface.
    """
    plain = text.lower()
    for separator, groups, width in ((":", 6, 2), ("-", 6, 2), (".", 3, 4)):
        parts = plain.split(separator)
        if len(parts) == groups and all(len(part) == width for part in parts):
            octets = bytes.fromhex("".join(parts))
            if len(octets) != 6:  # fromhex passes over white space
                break
            if octets[0] & 1 or not any(octets):
                raise ValueError(f"{text!r} is not a unicast address")
            return octets.hex(":")
    raise ValueError(f"{text!r} is not a hardware address")
