"""The way of a packet, told from what was seen and from both sides' routes."""

from __future__ import annotations

import errno

from cni.record import record
from hostnet import link, nftrace, route
from hostnet.netlink import Netlink, NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.ip import Address
    from cnitool.state.model import Attachment
    from cnitool.state.world import World
    from cnitool.trace.probe import Target
    from hostnet.nftrace import Step


@record
class Stage:
    """where: container, host, nftables, route, answer. text: a sentence. final: a drop."""

    where: str
    text: str
    final: bool = False


def container_route(inside: Netlink, target: Target) -> tuple[Stage, bool]:
    """What the container does with the packet, and whether it sends it."""
    try:
        found = route.lookup(inside, target.address)
    except NetlinkError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES):
            raise
        text = f"it has no route to {target.address}; isDefaultGateway of the network gives one"
        return Stage("container", text, final=True), False
    return Stage("container", f"to {target} {_way(inside, found)}"), True


def _way(nl: Netlink, found: route.Route) -> str:
    out = link.by_index(nl, found.oif).name if found.oif else "?"
    gateway = f" via {found.gateway}" if found.gateway is not None else ""
    return f"out of {out}{gateway}"


def host_side(one: Attachment) -> Stage:
    """Where it enters the host."""
    end = one.host_end
    if end is None:
        text = "no veth leads to the host: its packet filter sees nothing of a packet like this"
        return Stage("host", text)
    state = "" if end.up else f", which is down: ip link set {end.name} up"
    on = f", a port of {end.master}" if end.master else ""
    return Stage("host", f"in by {end.name}{on}{state}", final=not end.up)


def filtered(steps: list[Step]) -> Iterator[Stage]:
    """What nftables did: rules that match, and where its headers changed."""
    texts: dict[tuple[str, str], dict[int, str]] = {}
    before: tuple[Address | None, Address | None] | None = None
    for step in steps:
        seen = (step.source, step.destination)
        if step.source is not None:
            if before is not None and seen != before:
                yield Stage("nftables", f"now from {step.source} to {step.destination}")
            before = seen
        if step.kind == "rule" and step.handle:  # without one it is the end of a chain
            key = (step.family, step.table)
            if key not in texts:
                texts[key] = nftrace.rules(*key)
            rule = texts[key].get(step.handle, f"rule {step.handle}, which is gone")
            text = f"{step.family} {step.table} {step.chain}: {rule}"
            yield Stage("nftables", text, final=step.verdict == "drop")
        elif step.kind == "policy" and step.verdict == "drop":
            text = f"{step.family} {step.table} {step.chain}: no rule lets it through, policy drop"
            yield Stage("nftables", text, final=True)


def last_address(steps: list[Step], target: Target) -> Address:
    """Where the packet is bound for in the end: a published port leads elsewhere."""
    told = [step.destination for step in steps if step.destination is not None]
    return told[-1] if told else target.address


def onward(seen: World, outside: Netlink, destination: Address) -> Stage:
    """Where the host sends it."""
    try:
        found = route.lookup(outside, destination)
    except NetlinkError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES):
            raise
        return Stage("route", f"the host has no route to {destination}", final=True)
    if found.kind == route.RTN_LOCAL:
        return Stage("route", f"{destination} is the host's own: delivered to it")
    way = f"the host sends it {_way(outside, found)}"
    owner = holder(seen, destination)
    if owner is not None:
        way += f", to {owner.pod or owner.container_id} ({owner.ifname} on {owner.network})"
    return Stage("route", way)


def holder(seen: World, address: Address) -> Attachment | None:
    """The attachment of this host that has an address."""
    for one in seen.attachments:
        if address in one.ips:
            return one
    return None
