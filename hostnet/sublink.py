"""Links that sit on another one: macvlan, ipvlan and vlan (ip-link(8), <linux/if_link.h>).

Here are the attributes for the `data` of `link.create`, and what a link says about itself. The
link below is `link.create`'s `below`; `Link.peer` tells it.
"""

from __future__ import annotations

import errno

from hostnet import link
from hostnet.link import (
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    RTM_NEWLINK,
)
from hostnet.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkError,
    attr,
    attr_str,
    attr_u16,
    attr_u32,
    nested,
    to_u16,
    to_u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink

IFLA_MACVLAN_MODE = 1
IFLA_MACVLAN_BC_QUEUE_LEN = 7
IFLA_IPVLAN_MODE = 1
IFLA_VLAN_ID = 1

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
VLAN_MAX = 4094  # IEEE 802.1Q; 0 is the tag that carries a priority and no VLAN


def macvlan(mode: str, queue: int = 0) -> bytes:
    """Attributes of a macvlan. mode: of MACVLAN_MODES.

    queue: how many broadcast frames the device below holds for its macvlans at most, 0 for the
    kernel's choice (1,000); of several on one device the largest counts.
    """
    data = attr_u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode])
    return data + attr_u32(IFLA_MACVLAN_BC_QUEUE_LEN, queue) if queue else data


def ipvlan(mode: str) -> bytes:
    """Attributes of an ipvlan. mode: of IPVLAN_MODES, for all on one device the same."""
    return attr_u16(IFLA_IPVLAN_MODE, IPVLAN_MODES[mode])


def vlan(number: int) -> bytes:
    """Attributes of a vlan with this number, 0 to VLAN_MAX."""
    return attr_u16(IFLA_VLAN_ID, number)


def macvlan_mode(of: Link) -> str:
    """The mode; empty for one that has no name here."""
    value = of.info(IFLA_INFO_DATA).get(IFLA_MACVLAN_MODE)
    return _named(MACVLAN_MODES, to_u32(value)) if value else ""


def macvlan_queue(of: Link) -> int:
    """The length of the queue that this one asked for; 0 on kernels that do not tell (5.10)."""
    value = of.info(IFLA_INFO_DATA).get(IFLA_MACVLAN_BC_QUEUE_LEN)
    return to_u32(value) if value else 0


def ipvlan_mode(of: Link) -> str:
    """The mode; empty for one that has no name here."""
    value = of.info(IFLA_INFO_DATA).get(IFLA_IPVLAN_MODE)
    return _named(IPVLAN_MODES, to_u16(value)) if value else ""


def vlan_number(of: Link) -> int | None:
    """The VLAN's number; None for a link of another kind."""
    value = of.info(IFLA_INFO_DATA).get(IFLA_VLAN_ID) if of.kind == "vlan" else None
    return to_u16(value) if value else None


def _named(modes: dict[str, int], number: int) -> str:
    return next((name for name, value in modes.items() if value == number), "")


def kernel_has(nl: Netlink, kind: str) -> bool:
    """Whether the kernel can make macvlans, ipvlans, vlans or dummies; loads a module for it.

    Asks for one that no driver accepts, with a hardware address of one byte and on no other link,
    so nothing is ever made: only who has no driver says that the kind is unknown. Raises
    NetlinkError where it is refused to ask.
    """
    payload = link.header(0) + attr_str(IFLA_IFNAME, "none") + attr(IFLA_ADDRESS, b"\0")
    payload += nested(IFLA_LINKINFO, attr_str(IFLA_INFO_KIND, kind))
    try:
        nl.request(RTM_NEWLINK, payload, NLM_F_CREATE | NLM_F_EXCL, f"ask for {kind} interfaces")
    except NetlinkError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise
        return error.errno != errno.EOPNOTSUPP
    return True
