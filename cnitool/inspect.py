"""`cnitool inspect`: who holds a container, an address, a port, and all there is about it."""

from __future__ import annotations

import ipaddress
import os
import sys

from cni.errors import UNKNOWN_CONTAINER, CniError
from cni_portmap.config import PROTOCOLS
from cnitool import show
from cnitool.state import inside, world

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.jsonvalue import JsonValue
    from cnitool.settings import Settings
    from cnitool.state.inside import Inside
    from cnitool.state.model import Attachment, Mapping
    from cnitool.state.world import World

_CONFLICT = "conflict"


def run(settings: Settings, what: str, *, as_json: bool) -> int:
    """Show every attachment that `what` names. Raises CniError where there is none."""
    seen = world.read(settings)
    found = find(seen, what)
    if not found:
        raise nobody(seen, what)
    looks = [(one, _inside(one)) for one in found]
    if as_json:
        show.document([document(seen, one, within) for one, within in looks])
        return 0
    for number, (one, within) in enumerate(looks):
        if number:
            sys.stdout.write("\n")
        show.pairs(_pairs(seen, one, within), _CONFLICT)
    return 0


def _inside(one: Attachment) -> Inside | None:
    try:
        return inside.look(one)
    except OSError:  # it ended while we looked
        return None


# ---- who is meant


def find(seen: World, what: str) -> list[Attachment]:
    """The attachments that a word names: the first meaning that anything fits.

    A container's id, or its beginning; a pod's name, with or without its namespace; an address; a
    host port, `8080` or `8080/udp`; a MAC; a host interface; a namespace's path or name.
    """
    for fits in _meanings(what):
        found = [one for one in seen.attachments if fits(one)]
        if found:
            return found
    return []


def _meanings(what: str) -> Iterator[Callable[[Attachment], bool]]:
    yield lambda one: one.container_id == what
    port = _port(what)
    if port is not None:
        yield lambda one: any(_is_port(each, *port) for each in one.mappings)
    address = _address(what)
    if address is not None:
        yield lambda one: any(each.address == address for each in one.reservations)
        yield lambda one: address in one.ips
        yield lambda one: any(each.host == address for each in one.mappings)
    yield lambda one: one.host_end is not None and one.host_end.name == what
    yield lambda one: bool(one.netns) and what in (one.netns, os.path.basename(one.netns))
    yield lambda one: bool(one.pod) and what in (one.pod, one.pod.partition("/")[2])
    if what.count(":") == 5:
        yield lambda one: one.mac == what.lower()
    yield lambda one: one.network == what
    yield lambda one: one.container_id.startswith(what)


def _port(what: str) -> tuple[int, str] | None:
    """`8080` (of any protocol, then empty) or `8080/udp`."""
    number, slash, protocol = what.removeprefix(":").partition("/")
    is_port = number.isascii() and number.isdecimal() and (not slash or protocol in PROTOCOLS)
    return (int(number), protocol) if is_port else None


def _is_port(one: Mapping, number: int, protocol: str) -> bool:
    return one.host_port == number and protocol in ("", one.protocol)


def _address(what: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(what.strip("[]"))
    except ValueError:
        return None


def nobody(seen: World, what: str) -> CniError:
    """The error for a word that names no attachment."""
    import difflib

    names = {one.container_id for one in seen.attachments}
    names |= {str(each) for one in seen.attachments for each in one.ips}
    near = difflib.get_close_matches(what, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; cnitool attachments lists them"
    return CniError(
        UNKNOWN_CONTAINER,
        f"no attachment of this host is a container, pod, address, host port, MAC, interface or "
        f'namespace "{what[:60]}"{hint}',
    )


# ---- for people


def _pairs(seen: World, one: Attachment, within: Inside | None) -> Iterator[tuple[str, str]]:
    yield "container", one.container_id + (f"  (pod {one.pod})" if one.pod else "")
    yield "network", _network(seen, one)
    yield "interface", _interface(one, within)
    yield from _several("address", _addresses(one, within))
    yield from _several("route", [_route(each.destination, each.gateway) for each in _ways(within)])
    if one.netns:
        yield "namespace", one.netns + ("" if one.is_alive else "  (gone)")
    if one.host_end is not None:
        end = one.host_end
        master = f" on {end.master}" if end.master else ""
        yield "host", f"{end.name}{master}, {end.mac}, {'up' if end.up else 'DOWN'}"
    yield from _several("port", [f"{each}  ({_how(each)})" for each in one.mappings])
    yield from _several("masquerade", [str(each) for each in one.masqueraded])
    yield from _several("firewall", [f"lets {each} through" for each in one.guarded])
    if one.since is not None:
        yield "since", f"{show.moment(one.since)}  ({show.ago(one.since)})"
    if one.cached is not None:
        yield "cache", one.cached.path
    for sentence in seen.conflicts(one):
        yield _CONFLICT, sentence


def _several(word: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield ("" if number else word), text


def _network(seen: World, one: Attachment) -> str:
    conf = next((each for each in seen.networks if each.name == one.network), None)
    if conf is None:
        return f"{one.network}  (no file in the configuration's directory)"
    return f"{one.network}  ({' > '.join(plugin.type for plugin in conf.plugins)})"


def _interface(one: Attachment, within: Inside | None) -> str:
    if within is None:
        return f"{one.ifname or show.NOTHING}, {one.mac}" if one.mac else one.ifname or show.NOTHING
    state = "up" if within.up else "DOWN"
    return f"{within.name}, {within.kind or 'device'}, {within.mac}, MTU {within.mtu}, {state}"


def _addresses(one: Attachment, within: Inside | None) -> list[str]:
    """Each with where it comes from; what the container has added itself too."""
    told = {str(each): "" for each in one.addresses}
    files = {str(each.address): each.path for each in one.reservations}
    for each in within.addresses if within is not None else ():
        told.setdefault(str(each), "not given by ADD")
    missing = set(told) - {str(each) for each in within.addresses} if within is not None else set()
    lines = []
    for text, remark in told.items():
        notes = [remark, files.get(text.partition("/")[0], "")]
        notes += ["not on the interface"] if text in missing else []
        shown = ", ".join(filter(None, notes))
        lines.append(f"{text}  ({shown})" if shown else text)
    return lines


def _ways(within: Inside | None) -> tuple[inside.Way, ...]:
    return within.routes if within is not None else ()


def _route(destination: object, gateway: object) -> str:
    words = "default" if str(destination) in ("0.0.0.0/0", "::/0") else str(destination)
    return f"{words} via {gateway}" if gateway is not None else words


def _how(one: Mapping) -> str:
    return one.backend if one.state == "published" else f"{one.state}, {one.backend}"


# ---- for programs


def document(seen: World, one: Attachment, within: Inside | None) -> dict[str, JsonValue]:
    """An attachment as JSON."""
    end = one.host_end
    return {
        "network": one.network,
        "containerID": one.container_id,
        "ifname": one.ifname,
        "pod": one.pod or None,
        "addresses": [str(each) for each in one.addresses],
        "mac": one.mac or None,
        "netns": one.netns or None,
        "alive": one.is_alive,
        "since": show.stamp(one.since),
        "hostInterface": None
        if end is None
        else {
            "name": end.name,
            "index": end.index,
            "master": end.master or None,
            "mac": end.mac,
            "mtu": end.mtu,
            "up": end.up,
        },
        "inside": None
        if within is None
        else {
            "kind": within.kind,
            "mac": within.mac,
            "mtu": within.mtu,
            "up": within.up,
            "addresses": [str(each) for each in within.addresses],
            "routes": [
                {
                    "dst": str(way.destination),
                    "gw": None if way.gateway is None else str(way.gateway),
                }
                for way in within.routes
            ],
        },
        "ports": [port_document(each) for each in one.mappings],
        "masqueraded": [str(each) for each in one.masqueraded],
        "guarded": [str(each) for each in one.guarded],
        "reservations": [
            {"address": str(each.address), "file": each.path} for each in one.reservations
        ],
        "cache": None if one.cached is None else one.cached.path,
        "conflicts": [*seen.conflicts(one)],
    }


def port_document(one: Mapping) -> dict[str, JsonValue]:
    """A published port as JSON; hostIP is null for all addresses."""
    return {
        "protocol": one.protocol,
        "hostIP": None if one.host is None else str(one.host),
        "hostPort": one.host_port,
        "containerIP": str(one.container),
        "containerPort": one.container_port,
        "state": one.state,
        "backend": one.backend,
    }
