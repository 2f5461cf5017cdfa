"""VRFs: links that keep a routing table of their own for the links they master (ip-vrf(8))."""

from __future__ import annotations

from hostnet import link
from hostnet.netlink import attr_u32, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink

KIND = "vrf"
IFLA_VRF_TABLE = 1  # <linux/if_link.h>


def create(nl: Netlink, name: str, table: int) -> Link:
    """Create one, and bring it up.

    The kernel's rule that leads from a link to the table of its VRF comes with the first one.
    Raises NetlinkError, EEXIST when the name is taken.
    """
    return link.create(nl, name, KIND, data=attr_u32(IFLA_VRF_TABLE, table), up=True)


def table_of(found: Link) -> int:
    """The number of its table."""
    value = found.info(link.IFLA_INFO_DATA).get(IFLA_VRF_TABLE)
    return to_u32(value) if value else 0
