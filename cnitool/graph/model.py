"""What is drawn: for each device that containers hang on, a group of boxes."""

from __future__ import annotations

import os

from cni.errors import CniError
from cni.record import record
from cnitool.graph.overlays import network_of
from cnitool.graph.overlays import read as read_overlays
from cnitool.state import world
from cnitool.state.model import OK
from hostnet import address
from hostnet.netlink import Netlink
from libcni.conf import network_from_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cnitool.graph.overlays import Overlay
    from cnitool.settings import Settings
    from cnitool.state.model import Attachment, HostLink
    from cnitool.state.world import World

DOWN = "down"
"""Of a link; the other states are an attachment's."""

_ROUTED = "routed by the host"
_ELSEWHERE = "not on a device of the host"


@record
class Box:
    """kind: `uplink`, `device`, `overlay`, `container`. lines: what there is to it, in words.

    ports: such as `8080/tcp -> 80`. state: DOWN, or an attachment's.
    """

    kind: str
    name: str
    title: str
    lines: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    state: str = OK


@record
class Group:
    """A device, the overlays that are ports of it, and the containers that hang on it."""

    device: Box
    overlays: tuple[Box, ...]
    containers: tuple[Box, ...]


@record
class Graph:
    """The host, its own cards, and the groups."""

    host: str
    uplinks: tuple[Box, ...]
    groups: tuple[Group, ...]


@record
class Host:
    """What is drawn beside the attachments. addresses: by a link's index."""

    addresses: dict[int, list[str]]
    overlays: list[Overlay]


def read(settings: Settings, network: str = "") -> Graph:
    """Of all networks or one. Raises CniError, OSError."""
    seen = world.read(settings)
    with Netlink() as nl:
        overlays = read_overlays(nl)
        addresses: dict[int, list[str]] = {}
        for one in address.dump(nl):
            if not one.interface.is_link_local:
                addresses.setdefault(one.index, []).append(str(one.interface))
    attachments = [one for one in seen.attachments if network in ("", one.network)]
    return make(seen, attachments, Host(addresses, overlays), everything=not network)


def make(seen: World, attachments: Iterable[Attachment], host: Host, *, everything: bool) -> Graph:
    """The graph. everything: bridges without a container too."""
    members: dict[str, list[Attachment]] = {}
    for one in attachments:
        members.setdefault(_place(one), []).append(one)
    links = seen.links.by_name
    ours = {one.name for one in links.values() if one.kind == "bridge"} if everything else set()
    return Graph(
        host=os.uname().nodename,
        uplinks=tuple(_link_box("uplink", one, host) for one in links.values() if _is_uplink(one)),
        groups=tuple(
            Group(
                device=_device(name, links.get(name), host),
                overlays=tuple(_overlays(links.get(name), host)),
                containers=tuple(_container(seen, one) for one in members.get(name, ())),
            )
            for name in sorted(set(members) | ours)
        ),
    )


def _is_uplink(one: HostLink) -> bool:
    return not one.kind and one.name != "lo" and not one.master


def _place(one: Attachment) -> str:
    """The device that a container hangs on, or words for why there is none."""
    if one.host_end is not None:
        return one.host_end.master or _ROUTED
    return _lower(one) or _ELSEWHERE


def _lower(one: Attachment) -> str:
    """The host's device below a macvlan, ipvlan or vlan, by the configuration it was made of."""
    if one.cached is None or not one.cached.config:
        return ""
    try:
        network = network_from_bytes(one.cached.config)
    except CniError:
        return ""
    master = network.plugins[0].config.get("master")
    return master if isinstance(master, str) else ""


def _device(name: str, found: HostLink | None, host: Host) -> Box:
    return Box("device", name, name) if found is None else _link_box("device", found, host)


def _link_box(kind: str, one: HostLink, host: Host) -> Box:
    lines = (*host.addresses.get(one.index, ()), f"MTU {one.mtu}")
    title = one.name if one.name.startswith(one.kind) else f"{one.kind} {one.name}"
    return Box(kind, one.name, title, lines, state=OK if one.up else DOWN)


def _overlays(bridge: HostLink | None, host: Host) -> Iterator[Box]:
    """Those that are ports of the bridge, and one that routes to it: of the same network."""
    if bridge is None:
        return
    network = network_of(bridge.alias)
    for one in host.overlays:
        if one.master == bridge.index or (network and one.network == network):
            lines = (
                f"VNI {one.vni}, port {one.port}, MTU {one.mtu}",
                f"this end {one.local or 'any'}",
                *(f"peer {each}" for each in one.peers),
            )
            state = OK if one.up else DOWN
            yield Box("overlay", one.name, one.name, lines, state=state)


def _container(seen: World, one: Attachment) -> Box:
    lines = [*map(str, one.addresses), f"{one.ifname} on network {one.network}"]
    if one.host_end is not None:
        lines.append(f"host end {one.host_end.name}")
    lines += [one.mac] if one.mac else []
    lines += [one.netns] if one.netns else []
    conflicts = seen.conflicts(one)
    lines += conflicts
    return Box(
        kind="container",
        name=one.owner,
        title=one.pod or one.container_id,
        lines=tuple(lines),
        ports=tuple(
            f"{each.at_host}/{each.protocol} -> {each.container_port}" for each in one.mappings
        ),
        state=one.state(conflicts),
    )
