"""The overlays of this host: VXLAN devices and the peers that they send to."""

from __future__ import annotations

from cni.record import record
from cni_vxlan.identity import read_alias
from hostnet import fdb, link
from hostnet.vxlan import Vxlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink


@record
class Overlay:
    """name, index, up, mtu: the device's. master: index of the bridge it is a port of, 0 without.

    network: as the device's alias has it, empty where it is not ours. local: the tunnel's end here.
    peers: the others' ends, from the forwarding entries (and the group, where there is one).
    """

    name: str
    index: int
    up: bool
    mtu: int
    master: int
    network: str
    vni: int
    port: int
    local: str
    peers: tuple[str, ...]


def read(nl: Netlink) -> list[Overlay]:
    """Raises NetlinkError."""
    return [_overlay(nl, one) for one in link.dump(nl, kind="vxlan")]


def network_of(alias: str) -> str:
    """The network that a link's alias names, if the link is an overlay's of ours."""
    mark = read_alias(alias)
    return "" if mark is None else mark.name


def _overlay(nl: Netlink, one: link.Link) -> Overlay:
    found = Vxlan(one)
    ends = {entry.destination for entry in fdb.dump(nl, one.index)} - {None}
    peers = sorted(map(str, ends))
    if found.group is not None and found.group.is_multicast:
        peers.insert(0, f"group {found.group}")
    return Overlay(
        name=one.name,
        index=one.index,
        up=one.up,
        mtu=one.mtu,
        master=one.master,
        network=network_of(one.alias),
        vni=found.vni,
        port=found.port,
        local="" if found.local is None else str(found.local),
        peers=tuple(peers),
    )
