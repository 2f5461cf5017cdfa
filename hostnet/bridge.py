"""What only bridges have: their creation, the switches of a port, VLANs."""

from __future__ import annotations

import struct

from hostnet import link
from hostnet.link import IFLA_AF_SPEC, RTM_DELLINK, RTM_SETLINK
from hostnet.netlink import (
    attr,
    attr_u8,
    attr_u16,
    nested,
    parse,
    parse_list,
    to_u16,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink

AF_BRIDGE = 7
# <linux/if_link.h>
IFLA_BR_VLAN_FILTERING = 7
IFLA_BR_VLAN_DEFAULT_PVID = 39
IFLA_BRPORT_MODE = 4
IFLA_BRPORT_LEARNING = 8
IFLA_BRPORT_UNICAST_FLOOD = 9
IFLA_BRPORT_NEIGH_SUPPRESS = 32
IFLA_BRPORT_ISOLATED = 33
# <linux/if_bridge.h>
RTM_GETVLAN = 114
IFLA_BRIDGE_FLAGS = 0
IFLA_BRIDGE_VLAN_INFO = 2
BRIDGE_FLAGS_SELF = 2
BRIDGE_VLAN_INFO_PVID = 1 << 1
BRIDGE_VLAN_INFO_UNTAGGED = 1 << 2
BRIDGE_VLAN_INFO_RANGE_BEGIN = 1 << 3
BRIDGE_VLAN_INFO_RANGE_END = 1 << 4
BRIDGE_VLANDB_ENTRY = 1
BRIDGE_VLANDB_ENTRY_INFO = 1
BRIDGE_VLANDB_ENTRY_RANGE = 2

_VLAN_INFO = struct.Struct("=HH")  # flags, VLAN id
_VLAN_MESSAGE = struct.Struct("=BxxxI")  # family, index
_PORT_SWITCHES = {
    "hairpin": IFLA_BRPORT_MODE,
    "isolated": IFLA_BRPORT_ISOLATED,
    "learning": IFLA_BRPORT_LEARNING,
    "flood": IFLA_BRPORT_UNICAST_FLOOD,
    "neigh_suppress": IFLA_BRPORT_NEIGH_SUPPRESS,
}


class Vlan:
    """A VLAN id of a port: `pvid` tags what comes in without a tag, `untagged` strips it."""

    __slots__ = ("pvid", "untagged", "vid")

    def __init__(self, vid: int, *, pvid: bool = False, untagged: bool = False) -> None:
        self.vid = vid
        self.pvid = pvid
        self.untagged = untagged

    def __repr__(self) -> str:
        return f"Vlan({self.vid}, pvid={self.pvid}, untagged={self.untagged})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vlan) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return self.vid


def create(
    nl: Netlink,
    name: str,
    *,
    mac: str = "",
    mtu: int = 0,
    vlan_filtering: bool | None = None,
    default_pvid: int | None = None,
    up: bool = False,
    alias: str = "",
) -> Link:
    """Create a bridge that keeps its MAC, with an alias as `link.create` gives it.

    A bridge that was not given one takes the lowest of its ports', which changes as they come and
    go and cuts everybody off until the neighbours' caches expire; so one is always given here, a
    random one when `mac` is empty. `default_pvid` 0 keeps new ports out of every VLAN.
    """
    data = b""
    if vlan_filtering is not None:
        data += attr_u8(IFLA_BR_VLAN_FILTERING, vlan_filtering)
    if default_pvid is not None:
        data += attr_u16(IFLA_BR_VLAN_DEFAULT_PVID, default_pvid)
    mac = mac or link.random_mac()
    return link.create(nl, name, "bridge", data=data, mac=mac, mtu=mtu, up=up, alias=alias)


def set_vlan_filtering(nl: Netlink, index: int, on: bool) -> None:
    """Let the bridge obey VLANs, or not. Raises NetlinkError, EOPNOTSUPP without kernel support."""
    link.change(nl, index, data=("bridge", attr_u8(IFLA_BR_VLAN_FILTERING, on)))


def vlan_filtering(bridge: Link) -> bool:
    """Whether it obeys VLANs."""
    return bridge.info(link.IFLA_INFO_DATA).get(IFLA_BR_VLAN_FILTERING, b"\0") != b"\0"


def port(
    *,
    hairpin: bool | None = None,
    isolated: bool | None = None,
    learning: bool | None = None,
    flood: bool | None = None,
    neigh_suppress: bool | None = None,
) -> tuple[str, bytes]:
    """The switches of a port, for `link.change(port=…)`; what is None stays.

    With `neigh_suppress`, ARP and neighbour requests that would leave by this port for an address
    in the bridge's own neighbour table are answered from there.
    """
    wanted = (
        (IFLA_BRPORT_MODE, hairpin),
        (IFLA_BRPORT_ISOLATED, isolated),
        (IFLA_BRPORT_LEARNING, learning),
        (IFLA_BRPORT_UNICAST_FLOOD, flood),
        (IFLA_BRPORT_NEIGH_SUPPRESS, neigh_suppress),
    )
    return "bridge", b"".join([attr_u8(kind, on) for kind, on in wanted if on is not None])


def switches(of: Link) -> dict[str, bool]:
    """The switches of a port, named as the parameters of `port`; empty if it is none."""
    if of.port_kind != "bridge":
        return {}
    found = of.info(link.IFLA_INFO_SLAVE_DATA)
    return {name: found.get(kind, b"\0") != b"\0" for name, kind in _PORT_SWITCHES.items()}


def default_pvid(of: Link) -> int:
    """The VLAN that a new port of the bridge is in, 0 for none."""
    return to_u16(of.info(link.IFLA_INFO_DATA).get(IFLA_BR_VLAN_DEFAULT_PVID, bytes(2)))


def add_vlan(
    nl: Netlink,
    index: int,
    first: int,
    last: int = 0,
    *,
    pvid: bool = False,
    untagged: bool = False,
    of_bridge: bool = False,
) -> None:
    """Let a port take part in a VLAN, or in all from `first` to `last`.

    `of_bridge` says that `index` is the bridge, seen as a port of its own. Raises NetlinkError,
    EOPNOTSUPP when the kernel has no VLAN filtering.
    """
    flags = BRIDGE_VLAN_INFO_PVID if pvid else 0
    flags |= BRIDGE_VLAN_INFO_UNTAGGED if untagged else 0
    payload = _vlans(index, first, last, flags, of_bridge)
    nl.request(RTM_SETLINK, payload, 0, f"add VLAN {_range(first, last)} to bridge port {index}")


def delete_vlan(
    nl: Netlink, index: int, first: int, last: int = 0, *, of_bridge: bool = False
) -> None:
    """Take a port out of a VLAN, or of all from `first` to `last`."""
    payload = _vlans(index, first, last, 0, of_bridge)
    nl.request(
        RTM_DELLINK, payload, 0, f"remove VLAN {_range(first, last)} from bridge port {index}"
    )


def _range(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)


def _vlans(index: int, first: int, last: int, flags: int, of_bridge: bool) -> bytes:
    infos: list[bytes] = []
    if of_bridge:
        infos.append(attr_u16(IFLA_BRIDGE_FLAGS, BRIDGE_FLAGS_SELF))
    if last > first:
        begin = _VLAN_INFO.pack(flags | BRIDGE_VLAN_INFO_RANGE_BEGIN, first)
        end = _VLAN_INFO.pack(flags | BRIDGE_VLAN_INFO_RANGE_END, last)
        infos.append(attr(IFLA_BRIDGE_VLAN_INFO, begin))
        infos.append(attr(IFLA_BRIDGE_VLAN_INFO, end))
    else:
        infos.append(attr(IFLA_BRIDGE_VLAN_INFO, _VLAN_INFO.pack(flags, first)))
    return link.header(index, AF_BRIDGE) + nested(IFLA_AF_SPEC, *infos)


def vlans(nl: Netlink, index: int) -> list[Vlan]:
    """The VLANs of a port, or of the bridge itself, in ascending order (Linux 5.6)."""
    found: list[Vlan] = []
    answers = nl.dump(
        RTM_GETVLAN, _VLAN_MESSAGE.pack(AF_BRIDGE, index), f"list the VLANs of bridge port {index}"
    )
    for _type, body in answers:
        for kind, value in parse_list(body, 8):
            if kind != BRIDGE_VLANDB_ENTRY:
                continue
            entry = parse(value)
            flags, vid = _VLAN_INFO.unpack(entry[BRIDGE_VLANDB_ENTRY_INFO])
            last = to_u16(entry.get(BRIDGE_VLANDB_ENTRY_RANGE, entry[BRIDGE_VLANDB_ENTRY_INFO][2:]))
            found += [
                Vlan(
                    each,
                    pvid=bool(flags & BRIDGE_VLAN_INFO_PVID),
                    untagged=bool(flags & BRIDGE_VLAN_INFO_UNTAGGED),
                )
                for each in range(vid, last + 1)
            ]
    return found
