"""`cnitool trace CONTAINER DESTINATION`: send one packet, and tell what became of it."""

from __future__ import annotations

import ipaddress
import socket

from cni.errors import INVALID_CONFIG, NOT_AVAILABLE, UNKNOWN_CONTAINER, CniError
from cnitool import show
from cnitool.inspect import find, nobody
from cnitool.state import world
from cnitool.trace import story
from cnitool.trace.probe import ICMP, TCP, UDP, Probe, Target
from cnitool.trace.story import Stage
from cnitool.trace.watch import Watch
from hostnet.netlink import Netlink
from hostnet.netns import NetNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address
    from cnitool.settings import Settings
    from cnitool.state.model import Attachment
    from cnitool.state.world import World
    from hostnet.nftrace import Step

_EXPECTED = "an address (10.2.0.1), or one with a port (10.2.0.1:80, [fd00::1]:53/udp)"


def run(settings: Settings, what: str, destination: str, seconds: float, *, as_json: bool) -> int:
    """Print the packet's way; 1 where nothing came back. Raises CniError, OSError."""
    target = parse_target(destination)
    seen = world.read(settings)
    one = _attachment(seen, what)
    stages, answer = _trace(seen, one, target, seconds)
    if as_json:
        show.document(
            {
                "container": one.container_id,
                "network": one.network,
                "destination": str(target),
                "stages": [
                    {"where": each.where, "text": each.text, "dropped": each.final}
                    for each in stages
                ],
                "answer": answer or None,
            }
        )
    else:
        words = ["dropped" if each.final else each.where for each in stages]
        rows = [
            ("" if word == before else word, each.text)
            for before, word, each in zip(["", *words], words, stages, strict=False)
        ]
        answered = answer or f"none within {seconds:g} s"
        show.pairs([*rows, ("answer", answered)], "dropped")
    return 0 if answer else 1


def parse_target(text: str) -> Target:
    """Raises CniError(INVALID_CONFIG)."""
    rest, slash, protocol = text.partition("/")
    host, port = rest, ""
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise _wrong(text)
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    try:
        address = ipaddress.ip_address(host)
        number = int(port) if port else 0
    except ValueError:
        raise _wrong(text) from None
    if port and not 0 < number < 65536:
        raise _wrong(text)
    named = protocol if slash else (TCP if number else ICMP)
    if named not in (ICMP, TCP, UDP) or (named == ICMP) != (number == 0):
        raise _wrong(text)
    return Target(named, address, number)


def _wrong(text: str) -> CniError:
    return CniError(INVALID_CONFIG, f'destination: found "{text[:60]}", expected {_EXPECTED}')


def _attachment(seen: World, what: str) -> Attachment:
    found = find(seen, what)
    if not found:
        raise nobody(seen, what)
    if len(found) != 1:
        names = ", ".join(f"{one.container_id} ({one.ifname}, {one.network})" for one in found)
        text = f'"{what[:60]}" names {len(found)} attachments, expected one: {names}'
        raise CniError(UNKNOWN_CONTAINER, text)
    if not found[0].is_alive:
        text = f"container {found[0].container_id} has no namespace to send from: {found[0].netns}"
        raise CniError(UNKNOWN_CONTAINER, text)
    return found[0]


def _source(one: Attachment, target: Target) -> Address:
    for each in one.ips:
        if each.version == target.address.version:
            return each
    raise CniError(
        NOT_AVAILABLE,
        f"container {one.container_id} has no IPv{target.address.version} address on network "
        f"{one.network} to send from",
    )


def _trace(seen: World, one: Attachment, target: Target, seconds: float) -> tuple[list[Stage], str]:
    source = _source(one, target)
    with NetNS.open(one.netns) as ns, ns.netlink() as inside, Netlink() as outside:
        first, is_sent = story.container_route(inside, target)
        stages = [first]
        if not is_sent:
            return stages, ""
        stages.append(story.host_side(one))
        steps, answer = _send(ns, source, target, seconds)
        stages += story.filtered(steps)
        if not any(each.final for each in stages):
            stages.append(story.onward(seen, outside, story.last_address(steps, target)))
    return stages, answer


def _send(ns: NetNS, source: Address, target: Target, seconds: float) -> tuple[list[Step], str]:
    with Watch(source, target) as watch, Probe(ns, target) as probe:
        try:
            probe.send()
        except OSError as error:
            return [], "" if isinstance(error, socket.gaierror) else str(error.strerror)
        answer = probe.answer(seconds)
        return watch.take(seconds), answer
