"""The kernel's tables of an overlay made equal to a list of peers, by whoever has a new list.

Mode l3, for each subnet of a peer, as flannel does it:

    route      SUBNET via BASE dev vxlanN onlink proto 201      BASE: the subnet's own address
    neighbour  BASE lladdr PEER-MAC dev vxlanN permanent proto 201
    entry      PEER-MAC dst PEER-VTEP, permanent, of the device

Mode l2: one flood entry (`fdb.FLOOD`) for each peer; who is where, the device learns.

What is compared is what the kernel says, not what was written last, so that it does not matter who
was killed in between, or what somebody else has done. Ours, and so removed where no peer wants it,
are routes and neighbours of our device that bear our mark, and all forwarding entries of our device
(which have no mark) but those of a routing daemon. Nothing else is touched: where somebody has a
route to a peer's subnet already, that is a problem to report.

Of a difference, what takes traffic away goes first and what brings it comes last: no packet finds a
route whose neighbour is not there yet.
"""

from __future__ import annotations

import errno
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from cni.ip import is_inside
from cni.record import record
from hostnet import fdb, link, neighbour, netlink_batch, route
from hostnet.fdb import FLOOD
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cni.ip import Address, Network
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message

PROTOCOL = 201
"""Our mark on routes and neighbours: of the numbers nobody has, see /etc/iproute2/rt_protos."""
_FAMILIES = (route.AF_INET, route.AF_INET6)
_ODD = IPv4Address(0)
"""Stands for a next hop or destination that is there and not as we write it, whatever it is."""
_IN_THE_WAY = (errno.EEXIST, errno.EINVAL)
"""What the kernel says to a route that there is already: the latter for one by a next hop that
another IPv6 route leads to."""
_SAID = 5
"""How many problems are told one by one; with 5,000 peers all may have the same one."""


@record
class Peer:
    """Another host. address, mac: of its VTEP (mac is empty in l2). subnets: behind it, in l3."""

    address: Address
    mac: str = ""
    subnets: tuple[Network, ...] = ()


@record
class Changes:
    """How many entries were added or put right, how many removed, and what went wrong."""

    added: int = 0
    removed: int = 0
    problems: tuple[str, ...] = ()


class Tables:
    """The contents of the kernel's tables that are ours.

    routes: (subnet, next hop). neighbours: the MAC of each, empty where it may expire. entries: the
    destinations of each MAC. `_ODD` stands for a next hop or destination that is never wanted.
    """

    __slots__ = ("entries", "neighbours", "routes")

    def __init__(self) -> None:
        self.routes: set[tuple[Network, Address]] = set()
        self.neighbours: dict[Address, str] = {}
        self.entries: dict[str, set[Address]] = {}


def reconcile(nl: Netlink, device: Link, mode: str, peers: Collection[Peer]) -> Changes:
    """Make the tables of a device equal to its peers, in a namespace `nl` was born in.

    device: as it is now. mode: "l3" or "l2". peers: all of them, without this host. Nothing is
    written where all is right. Raises NetlinkError where the kernel does not answer.
    """
    wanted = _wanted(mode, peers)
    there = _there(nl, device, mode, {peer.address for peer in peers})
    return _apply(nl, device, there, wanted)


def problems(nl: Netlink, device: Link, mode: str, peers: Collection[Peer]) -> list[str]:
    """What `reconcile` would add or put right, in words, a few of them. Raises NetlinkError."""
    wanted = _wanted(mode, peers)
    there = _there(nl, device, mode, {peer.address for peer in peers})
    found = [
        f"the forwarding entry for {mac} behind {one}"
        for mac, destinations in wanted.entries.items()
        for one in destinations - there.entries.get(mac, set())
    ]
    found += (
        f"the neighbour {address} at {mac}"
        for address, mac in wanted.neighbours.items()
        if there.neighbours.get(address) != mac
    )
    found += (f"the route to {subnet}" for subnet, _ in wanted.routes - there.routes)
    more = [f"{len(found) - _SAID} more such"] if len(found) > _SAID else []
    return [f"device {device.name} lacks {one}" for one in [*sorted(found)[:_SAID], *more]]


def change(nl: Netlink, device: Link, before: Collection[Peer], after: Collection[Peer]) -> Changes:
    """Take some peers' entries away and put others' there, in mode l3, without looking.

    For one change among thousands, when the rest was reconciled before. No other peer may have
    anything in common with one of `before`. Raises NetlinkError.
    """
    return _apply(nl, device, _wanted("l3", before), _wanted("l3", after))


def _wanted(mode: str, peers: Iterable[Peer]) -> Tables:
    tables = Tables()
    for peer in peers:
        if mode == "l2":
            tables.entries.setdefault(FLOOD, set()).add(peer.address)
            continue
        tables.entries[peer.mac] = {peer.address}
        for subnet in peer.subnets:
            tables.routes.add((subnet, subnet.network_address))
            tables.neighbours[subnet.network_address] = peer.mac
    return tables


def _there(nl: Netlink, device: Link, mode: str, peers: Collection[Address]) -> Tables:
    tables = Tables()
    for entry in fdb.dump(nl, device.index):
        if entry.external or entry.destination is None:
            continue
        if mode == "l2" and entry.mac != FLOOD and entry.destination in peers:
            continue  # learned, and it may stay
        plain = entry.permanent and not entry.port and not entry.vni
        destination = entry.destination if plain or mode == "l2" else _ODD
        tables.entries.setdefault(entry.mac, set()).add(destination)
    if mode == "l2":
        return tables
    for one in neighbour.dump(nl, index=device.index, protocol=PROTOCOL):
        tables.neighbours[one.address] = one.mac if one.state & neighbour.NUD_PERMANENT else ""
    for family in _FAMILIES:
        for found in route.dump(nl, family, oif=device.index, protocol=PROTOCOL):
            good = found.flags & route.RTNH_F_ONLINK
            tables.routes.add(
                (found.destination, found.gateway if good and found.gateway else _ODD)
            )
    return tables


class _Batch:
    """Messages to the kernel about one device, each with what it does in words."""

    def __init__(self, device: Link) -> None:
        self._device = device
        self._messages: list[Message] = []
        self._what: list[tuple[str, str, object]] = []

    def add(self, what: str, whose: object, message: Message) -> None:
        """Have something added or put right."""
        self._messages.append(message)
        self._what.append(("add", what, whose))

    def remove(self, what: str, whose: object, message: Message) -> None:
        """Have something removed; if it has gone by then, that is no problem."""
        self._messages.append(message)
        self._what.append(("remove", what, whose))

    def send(self, nl: Netlink) -> Changes:
        """Carry out what can be."""
        if not self._messages:
            return Changes()
        done = {"add": 0, "remove": 0}
        failed: list[tuple[OSError, object]] = []
        errors = netlink_batch.send(nl, self._messages, self._say)
        for (verb, _, whose), error in zip(self._what, errors, strict=True):
            if error is None:
                done[verb] += 1
            elif verb == "add" or error.errno not in (errno.ENOENT, errno.ESRCH):
                failed.append((error, whose))
        problems = [self._explained(nl, error, whose) for error, whose in failed[:_SAID]]
        if len(failed) > _SAID:
            problems.append(f"and {len(failed) - _SAID} more such problems")
        return Changes(done["add"], done["remove"], tuple(problems))

    def _explained(self, nl: Netlink, error: OSError, whose: object) -> str:
        """With the route that is in the way of one to a subnet, however the kernel puts it."""
        if isinstance(whose, IPv4Network | IPv6Network) and error.errno in _IN_THE_WAY:
            others = [
                one
                for family in _FAMILIES
                for one in route.dump(nl, family)
                if one.oif != self._device.index
                and one.destination.prefixlen
                and is_inside(whose, one.destination)
            ]
            if others:
                best = max(others, key=lambda one: one.destination.prefixlen)
                return (
                    f"{error}: somebody else's is in the way, {best.destination} over "
                    f"{_name(nl, best.oif)}, and stays: remove it, or give the hosts other subnets"
                )
        return str(error)

    def _say(self, number: int) -> str:
        verb, what, whose = self._what[number]
        return f"{verb} {what} {whose} ({self._device.name})"


def _name(nl: Netlink, index: int) -> str:
    try:
        return link.by_index(nl, index).name
    except NetlinkError:  # none, or several
        return "another device"


def _apply(nl: Netlink, device: Link, there: Tables, wanted: Tables) -> Changes:
    if not device.up:  # then the kernel takes neither routes nor neighbours, and has dropped ours
        wanted.routes, wanted.neighbours = set(), {}
    batch = _Batch(device)
    _remove_routes(batch, device.index, there.routes - wanted.routes)
    _put_entries(batch, device.index, there.entries, wanted.entries)
    _put_neighbours(batch, device.index, there.neighbours, wanted.neighbours)
    _add_routes(batch, device.index, wanted.routes - there.routes)
    _remove_neighbours(batch, device.index, there.neighbours.keys() - wanted.neighbours.keys())
    _remove_entries(batch, device.index, there.entries, wanted.entries)
    return batch.send(nl)


def _remove_routes(batch: _Batch, index: int, gone: set[tuple[Network, Address]]) -> None:
    for subnet, gateway in gone:
        which = None if gateway is _ODD else gateway
        message = route.deletion(subnet, gateway=which, oif=index, protocol=PROTOCOL)
        batch.remove("the route to", subnet, message)


def _add_routes(batch: _Batch, index: int, new: set[tuple[Network, Address]]) -> None:
    for subnet, gateway in new:
        message = route.addition(subnet, gateway=gateway, oif=index, onlink=True, protocol=PROTOCOL)
        batch.add("the route to", subnet, message)


def _put_neighbours(
    batch: _Batch, index: int, there: dict[Address, str], wanted: dict[Address, str]
) -> None:
    for address, mac in wanted.items():
        if there.get(address) != mac:
            message = neighbour.addition(index, address, mac, protocol=PROTOCOL, replace=True)
            batch.add("the neighbour", address, message)


def _remove_neighbours(batch: _Batch, index: int, gone: set[Address]) -> None:
    for address in gone:
        batch.remove("the neighbour", address, neighbour.deletion(index, address))


def _put_entries(
    batch: _Batch,
    index: int,
    there: dict[str, set[Address]],
    wanted: dict[str, set[Address]],
) -> None:
    for mac, destinations in wanted.items():
        found = there.get(mac, set())
        if mac != FLOOD and found != destinations and len(found) > 1:
            # The kernel replaces the first of several and leaves the others.
            batch.remove("the forwarding entries for", mac, fdb.deletion(index, mac))
        for one in destinations - found:
            many = mac == FLOOD
            message = fdb.addition(index, mac, one, append=many, replace=not many)
            batch.add("the forwarding entry for", f"{mac} behind {one}", message)


def _remove_entries(
    batch: _Batch,
    index: int,
    there: dict[str, set[Address]],
    wanted: dict[str, set[Address]],
) -> None:
    for mac, found in there.items():
        destinations = wanted.get(mac, set())
        if not destinations:
            batch.remove("the forwarding entries for", mac, fdb.deletion(index, mac))
        elif mac == FLOOD:
            for one in found - destinations:
                message = fdb.deletion(index, mac, one)
                batch.remove("the forwarding entry for", f"{mac} behind {one}", message)
