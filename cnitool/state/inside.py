"""What one container's namespace holds: the interface itself, its addresses and routes."""

from __future__ import annotations

from socket import AF_INET, AF_INET6

from cni.record import record
from hostnet import address, link, route
from hostnet.netns import NetNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address, Interface, Network
    from cnitool.state.model import Attachment


@record
class Way:
    """A route of the container. gateway: None for what is on the link."""

    destination: Network
    gateway: Address | None


@record
class Inside:
    """The container's interface. mtu: bytes. addresses: without link-local ones."""

    name: str
    mac: str
    mtu: int
    up: bool
    kind: str
    addresses: tuple[Interface, ...]
    routes: tuple[Way, ...]


def look(one: Attachment) -> Inside | None:
    """None where the namespace is unknown or gone, or has no such interface. Raises OSError."""
    if not one.is_alive:
        return None
    with NetNS.open(one.netns) as ns, ns.netlink() as nl:
        found = link.find(nl, one.ifname)
        if found is None:
            return None
        addresses = [each.interface for each in address.dump(nl, index=found.index)]
        routes = [
            each
            for family in (AF_INET, AF_INET6)
            for each in route.dump(nl, family, oif=found.index)
        ]
    return Inside(
        name=found.name,
        mac=found.mac,
        mtu=found.mtu,
        up=found.up,
        kind=found.kind,
        addresses=tuple(each for each in addresses if not each.is_link_local),
        routes=tuple(
            Way(each.destination, each.gateway)
            for each in routes
            if not (each.destination.is_link_local or each.destination.is_multicast)
        ),
    )
