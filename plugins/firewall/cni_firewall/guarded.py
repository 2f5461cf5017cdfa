"""What a container is to be guarded with, as data: the same for every backend."""

from __future__ import annotations

from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

# Flags of `Guarded`.
APART = 1
"""The network is kept apart from others that are."""
ALONE = 2
"""And the containers from each other."""
ZONED = 4
"""The address is in a zone of firewalld."""


@record
class Guarded:
    """An address of a container. address: None for a container without any. bridge, port: the
    host's links that lead to it, empty where nothing has to be known of them. flags: APART, ALONE,
    ZONED.
    """

    address: IPv4Address | IPv6Address | None
    bridge: str = ""
    port: str = ""
    flags: int = 0
