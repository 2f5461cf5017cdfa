"""Which MAC addresses a bridge has behind which of its ports (bridge(8), fdb … master).

A static entry says where a MAC is without a frame of it having been seen, does not age, and goes
when its port goes. What a VXLAN device has by itself is in `fdb`.
"""

from __future__ import annotations

import struct

from hostnet.bridge import AF_BRIDGE
from hostnet.fdb import Entry
from hostnet.link import mac_bytes
from hostnet.neighbour import NDA_LLADDR, NUD_NOARP, RTM_GETNEIGH, RTM_NEWNEIGH
from hostnet.netlink import NLM_F_CREATE, NLM_F_REPLACE, attr, attr_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink

# <linux/neighbour.h>
NDA_MASTER = 9
NTF_MASTER = 0x04

_NDMSG = struct.Struct("=BxxxiHBB")  # family, link index, state, flags, type


def add(nl: Netlink, port: int, mac: str) -> None:
    """Say that `mac` is behind this port (its index), in place of what the bridge has learned.

    Raises NetlinkError, EOPNOTSUPP where the link is no port of a bridge.
    """
    payload = _NDMSG.pack(AF_BRIDGE, port, NUD_NOARP, NTF_MASTER, 0)
    payload += attr(NDA_LLADDR, mac_bytes(mac))
    what = f"say that {mac} is behind bridge port {port}"
    nl.request(RTM_NEWNEIGH, payload, NLM_F_CREATE | NLM_F_REPLACE, what)


def dump(nl: Netlink, bridge: int) -> list[Entry]:
    """The entries of a bridge (its index), each with its port; its ports' own MACs among them."""
    payload = _NDMSG.pack(AF_BRIDGE, 0, 0, 0, 0) + attr_u32(NDA_MASTER, bridge)
    answers = nl.dump(RTM_GETNEIGH, payload, f"list the forwarding entries of bridge {bridge}")
    return [one for one in [Entry(body) for _type, body in answers] if not one.own]


def static(entries: list[Entry]) -> dict[str, int]:
    """Of the entries of a bridge those that `add` made: the port's index by MAC."""
    return {one.mac: one.index for one in entries if one.state & NUD_NOARP}
