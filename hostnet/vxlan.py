"""VXLAN devices: their creation, and what the kernel says about one (RFC 7348, ip-link(8)).

VNI and port are fixed at birth. The entries behind a device, which tell where a frame goes, are in
`fdb`; they belong to the device and go with it.
"""

from __future__ import annotations

import ipaddress

from hostnet import link
from hostnet.link import IFLA_INFO_DATA
from hostnet.netlink import attr, attr_be16, attr_u8, attr_u32, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORT = 4789  # IANA's; the kernel's own default is 8472
VNI_MAX = 0xFFFFFF
OVERHEAD_4 = 50  # Ethernet 14, IPv4 20, UDP 8, VXLAN 8: what the underlay's MTU is to be larger by
OVERHEAD_6 = 70  # the same with IPv6's header of 40

# <linux/if_link.h>
IFLA_VXLAN_ID = 1
IFLA_VXLAN_GROUP = 2
IFLA_VXLAN_LINK = 3
IFLA_VXLAN_LOCAL = 4
IFLA_VXLAN_TTL = 5
IFLA_VXLAN_TOS = 6
IFLA_VXLAN_LEARNING = 7
IFLA_VXLAN_AGEING = 8
IFLA_VXLAN_PORT = 15
IFLA_VXLAN_GROUP6 = 16
IFLA_VXLAN_LOCAL6 = 17
IFLA_VXLAN_UDP_CSUM = 18
IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19
IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20
IFLA_VXLAN_COLLECT_METADATA = 25
IFLA_VXLAN_DF = 29
DF_UNSET = 0
DF_SET = 1
DF_INHERIT = 2
TOS_INHERIT = 1


class Vxlan:
    """The settings of a VXLAN device: a snapshot, as the `Link` it is read from.

    `local` and `group` are None when there is none; `group` may be one peer's unicast address.
    `underlay` is the index of the device below, 0 for none. `external` marks a device whose VNI
    comes with each packet, which then takes the whole port.
    """

    __slots__ = (
        "ageing",
        "checksum",
        "df",
        "external",
        "group",
        "learning",
        "local",
        "port",
        "tos",
        "ttl",
        "underlay",
        "vni",
        "zero_checksum6_rx",
        "zero_checksum6_tx",
    )

    def __init__(self, of: Link) -> None:
        """Raises ValueError when the link is none of kind vxlan."""
        if of.kind != "vxlan":
            raise ValueError(f"{of.name} is not of kind vxlan but {of.kind or 'of none'}")
        found = of.info(IFLA_INFO_DATA)
        self.vni = _u32(found, IFLA_VXLAN_ID)
        self.port = int.from_bytes(found.get(IFLA_VXLAN_PORT, b""), "big")
        self.local = _address(found, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6)
        self.group = _address(found, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6)
        self.underlay = _u32(found, IFLA_VXLAN_LINK)
        self.ageing = _u32(found, IFLA_VXLAN_AGEING)
        self.ttl = _u8(found, IFLA_VXLAN_TTL)
        self.tos = _u8(found, IFLA_VXLAN_TOS)
        self.df = _u8(found, IFLA_VXLAN_DF)
        self.learning = bool(_u8(found, IFLA_VXLAN_LEARNING))
        self.checksum = bool(_u8(found, IFLA_VXLAN_UDP_CSUM))
        self.zero_checksum6_tx = bool(_u8(found, IFLA_VXLAN_UDP_ZERO_CSUM6_TX))
        self.zero_checksum6_rx = bool(_u8(found, IFLA_VXLAN_UDP_ZERO_CSUM6_RX))
        self.external = bool(_u8(found, IFLA_VXLAN_COLLECT_METADATA))

    def __repr__(self) -> str:
        return f"<Vxlan {self.vni} port {self.port} local {self.local} group {self.group}>"

    @property
    def version(self) -> int:
        """4 or 6: the family of the underlay. VNI, port and family together are unique."""
        for one in (self.local, self.group):
            if one is not None:
                return one.version
        return 4


def create(
    nl: Netlink,
    name: str,
    vni: int,
    *,
    underlay: int = 0,
    local: Address | None = None,
    group: Address | None = None,
    port: int = PORT,
    learning: bool = True,
    ageing: int | None = None,
    ttl: int = 0,
    tos: int = 0,
    df: int = DF_UNSET,
    checksum: bool | None = None,
    zero_checksum6_tx: bool = False,
    zero_checksum6_rx: bool = False,
    mac: str = "",
    mtu: int = 0,
    alias: str = "",
    up: bool = False,
) -> Link:
    """Create a VXLAN device with all that is given.

    `underlay` is the index of the device below: with it, the MTU is at most that device's less the
    overhead, without a word where `mtu` is larger, so read it from what this returns. `local` is
    the outer source address, `group` a multicast group (which needs `underlay`) or a single peer;
    either one's family is the underlay's. `ageing` is in seconds (by default 300), `ttl` 0 means
    the system's for unicast and 1 for multicast, `tos` 1 and `df` 2 copy the inner packet's.

    `checksum` False sends no UDP checksums over IPv4, `zero_checksum6_tx` none over IPv6;
    `zero_checksum6_rx` takes such packets, which a peer that is no Linux may send. Devices on one
    port share a socket, so that all of them must agree about this last one.

    Raises NetlinkError: EEXIST when the name is taken, or VNI, port and family together;
    with `up` also EADDRINUSE when another socket has the port (nothing is then created; a device
    made without `up` meets this at `link.set_up`).
    """
    data = [attr_u32(IFLA_VXLAN_ID, vni)]
    if group is not None:
        data.append(_to_address(group, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6))
    if underlay:
        data.append(attr_u32(IFLA_VXLAN_LINK, underlay))
    if local is not None:
        data.append(_to_address(local, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6))
    data.append(attr_be16(IFLA_VXLAN_PORT, port))
    data.append(attr_u8(IFLA_VXLAN_LEARNING, learning))
    if ageing is not None:
        data.append(attr_u32(IFLA_VXLAN_AGEING, ageing))
    optional = (
        (IFLA_VXLAN_TTL, ttl or None),
        (IFLA_VXLAN_TOS, tos or None),
        (IFLA_VXLAN_DF, df or None),
        (IFLA_VXLAN_UDP_CSUM, checksum),
        (IFLA_VXLAN_UDP_ZERO_CSUM6_TX, zero_checksum6_tx or None),
        (IFLA_VXLAN_UDP_ZERO_CSUM6_RX, zero_checksum6_rx or None),
    )
    data += [attr_u8(kind, value) for kind, value in optional if value is not None]
    # With its birth: who is killed then leaves a device that is known for what it is.
    made = link.create(nl, name, "vxlan", data=b"".join(data), mac=mac, mtu=mtu, up=up, alias=alias)
    if not alias:
        return made
    try:
        # Again, since the kernel did not tell whether it took it.
        link.change(nl, made.index, alias=alias)
        return link.by_index(nl, made.index)
    except BaseException:
        link.delete(nl, made.index, missing_ok=True)
        raise


def set_local(nl: Netlink, index: int, local: Address) -> None:
    """Change the outer source address; the device stays up and keeps its entries.

    Raises NetlinkError, EOPNOTSUPP when it is of the other family than the one before.
    """
    data = _to_address(local, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6)
    link.change(nl, index, data=("vxlan", data))


def set_underlay(nl: Netlink, index: int, underlay: int) -> None:
    """Change the device below to the one with the index `underlay`; entries are kept.

    The MTU follows downwards only. A group is not joined there before the device, down meanwhile,
    comes up again. Raises NetlinkError.
    """
    link.change(nl, index, data=("vxlan", attr_u32(IFLA_VXLAN_LINK, underlay)))


def find(nl: Netlink, vni: int, port: int, version: int) -> Link | None:
    """The device that holds this VNI on this port in this family (4 or 6), under any name.

    That is the one for which `create` is refused with EEXIST though the name is free.
    """
    for one in link.dump(nl, kind="vxlan"):
        settings = Vxlan(one)
        if (settings.vni, settings.port, settings.version) == (vni, port, version):
            return one
    return None


def overhead(version: int) -> int:
    """The bytes by which the MTU is smaller than that of an underlay of this family (4 or 6)."""
    return OVERHEAD_4 if version == 4 else OVERHEAD_6


def _to_address(address: Address, four: int, six: int) -> bytes:
    return attr(four if address.version == 4 else six, address.packed)


def _address(found: dict[int, bytes], four: int, six: int) -> Address | None:
    if packed := found.get(four):
        return ipaddress.IPv4Address(packed)
    if packed := found.get(six):
        return ipaddress.IPv6Address(packed)
    return None


def _u32(found: dict[int, bytes], kind: int) -> int:
    value = found.get(kind)
    return to_u32(value) if value else 0


def _u8(found: dict[int, bytes], kind: int) -> int:
    value = found.get(kind)
    return value[0] if value else 0
