"""What a server has leased, and until when: pure data, with its form as JSON.

Times are seconds of CLOCK_BOOTTIME: it goes on while the machine sleeps, nobody sets it, and a
daemon that is started again reads the same one.
"""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from cni.ip import parse_address, parse_interface
from cni.record import record
from cni_dhcp import options
from cni_dhcp.daemon import values4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni.jsonvalue import JsonObject, JsonValue
    from cni_dhcp.daemon.message4 import Message

FOREVER = float(2**40)
INFINITE = 0xFFFFFFFF
"""A time of a server that never comes (RFC 2131, section 3.3; RFC 8415, section 7.7)."""
_HOUR = 3600
"""The reference's idea of a lease whose server does not say how long it lasts."""
BOUND, RENEWING, REBINDING, EXPIRED = "bound", "renewing", "rebinding", "expired"


def now() -> float:
    """The time in which leases are counted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@record
class Times:
    """When to ask the server (renewal), when any (rebinding), and when it is over (expiry)."""

    renewal: float
    rebinding: float
    expiry: float

    def phase(self, at: float) -> str:
        """BOUND, RENEWING, REBINDING or EXPIRED."""
        if at < self.renewal:
            return BOUND
        if at < self.rebinding:
            return RENEWING
        return REBINDING if at < self.expiry else EXPIRED

    def document(self) -> list[JsonValue]:
        return [round(one * 1000) for one in (self.renewal, self.rebinding, self.expiry)]


def times(sent: float, seconds: int, renewal: int | None, rebinding: int | None) -> Times:
    """From a server's numbers; what is missing or makes no sense is what the RFC says.

    sent: when the request was, from which a lease counts (RFC 2131, section 4.4.1).
    """
    if seconds == INFINITE:
        return Times(FOREVER, FOREVER, FOREVER)
    second = rebinding if rebinding and rebinding < seconds else seconds * 0.875
    first = renewal if renewal and renewal < second else min(seconds * 0.5, second)
    return Times(sent + first, sent + second, sent + seconds)


def _read_times(document: JsonObject) -> Times:
    numbers = [one / 1000 for one in document.items("times") if isinstance(one, int)]
    return Times(*numbers)


@record
class Lease4:
    """An IPv4 address from a server.

    server: its address, mac: where to send frames for it. options: all that it said.
    """

    address: IPv4Interface
    server: IPv4Address
    mac: bytes
    options: Mapping[int, bytes]
    times: Times

    def document(self) -> dict[str, JsonValue]:
        return {
            "address": str(self.address),
            "server": str(self.server),
            "mac": self.mac.hex(":"),
            "options": {str(code): value.hex() for code, value in self.options.items()},
            "times": self.times.document(),
        }


def read_lease4(document: JsonObject) -> Lease4:
    """What `Lease4.document` wrote. Raises CniError, ValueError, TypeError."""
    address = parse_interface(document.string("address"))
    server = parse_address(document.string("server"))
    if not isinstance(address, IPv4Interface) or not isinstance(server, IPv4Address):
        raise ValueError(f"a DHCPv4 lease of {address} by {server}")
    said = document.object("options").raw
    return Lease4(
        address,
        server,
        bytes.fromhex(document.string("mac").replace(":", "")),
        {int(code): bytes.fromhex(str(value)) for code, value in said.items()},
        _read_times(document),
    )


def lease4(ack: Message, sent: float, mac: bytes) -> Lease4:
    """The lease of an acknowledgement. Raises ValueError that says what it lacks.

    sent: when the request was. mac: whom the acknowledgement came from.
    """
    said = ack.options
    server = values4.address(said.get(options.SERVER_ID))
    length = values4.prefix_length(said.get(options.SUBNET_MASK))
    if server is None:
        raise ValueError("a server that does not say who it is")
    if length is None:
        raise ValueError(f"an address of server {server} without a subnet mask")
    seconds = values4.number(said.get(options.LEASE_TIME), 4)
    return Lease4(
        IPv4Interface((ack.yours, length)),
        server,
        mac,
        said,
        times(
            sent,
            _HOUR if seconds is None else seconds,
            values4.number(said.get(options.RENEWAL_TIME), 4),
            values4.number(said.get(options.REBINDING_TIME), 4),
        ),
    )


@record
class Lease6:
    """An IPv6 address from a server, which is known by its DUID."""

    address: IPv6Address
    server: bytes
    nameservers: tuple[str, ...]
    search: tuple[str, ...]
    times: Times

    def document(self) -> dict[str, JsonValue]:
        return {
            "address": str(self.address),
            "server": self.server.hex(),
            "nameservers": list(self.nameservers),
            "search": list(self.search),
            "times": self.times.document(),
        }


def read_lease6(document: JsonObject) -> Lease6:
    """What `Lease6.document` wrote. Raises CniError, ValueError, TypeError."""
    return Lease6(
        IPv6Address(document.string("address")),
        bytes.fromhex(document.string("server")),
        tuple(document.strings("nameservers")),
        tuple(document.strings("search")),
        _read_times(document),
    )
