"""Links: find, create, change and delete network interfaces of any kind (rtnetlink(7)).

The functions act in the namespace of the `Netlink` socket they are given. A link is named by its
index, which stays when somebody renames it; a name is only looked up. What only bridges have is
in `bridge`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from hostnet.netlink import (
    NLM_F_CREATE,
    NLM_F_ECHO,
    NLM_F_EXCL,
    Attributes,
    NetlinkError,
    attr,
    attr_str,
    attr_u32,
    nested,
    parse,
    parse_list,
    to_str,
    to_u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink

# <linux/rtnetlink.h>
RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_SETLINK = 19
RTEXT_FILTER_SKIP_STATS = 8

# <linux/if.h>
IFF_UP = 0x1
IFF_PROMISC = 0x100
IFF_ALLMULTI = 0x200
IFF_LOWER_UP = 0x10000

# <linux/if_link.h>
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_LINK = 5
IFLA_MASTER = 10
IFLA_PROTINFO = 12
IFLA_TXQLEN = 13
IFLA_OPERSTATE = 16
IFLA_LINKINFO = 18
IFLA_IFALIAS = 20
IFLA_AF_SPEC = 26
IFLA_NET_NS_FD = 28
IFLA_EXT_MASK = 29
IFLA_PROMISCUITY = 30
IFLA_LINK_NETNSID = 37
IFLA_PROP_LIST = 52
IFLA_ALT_IFNAME = 53
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INFO_SLAVE_KIND = 4
IFLA_INFO_SLAVE_DATA = 5
VETH_INFO_PEER = 1
IF_OPER_UP = 6

_IFINFO = struct.Struct("=BxHiII")  # family, device type, index, flags, mask of flags to change
_IFREQ = struct.Struct("=16si20x")  # <linux/if.h>: a name, and here an index
_SIOCGIFINDEX = 0x8933  # <linux/sockios.h>
_EVERYTHING = _IFINFO.pack(0, 0, 0, 0, 0)
_NO_STATS = attr_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)


class Link:
    """A link as the kernel described it: a snapshot, that does not follow what happens later."""

    __slots__ = ("_attrs", "_info", "flags", "index", "name")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWLINK message."""
        _family, _device, self.index, self.flags, _mask = _IFINFO.unpack_from(payload)
        self._attrs = Attributes(payload, 16)
        self.name = to_str(self._attrs.get(IFLA_IFNAME))
        self._info: dict[int, bytes] | None = None

    def __repr__(self) -> str:
        return f"<Link {self.index} {self.name} {self.kind or '-'}>"

    def attribute(self, kind: int) -> bytes:
        """The value of any IFLA_ attribute; empty when the link has none."""
        return self._attrs.get(kind)

    def info(self, kind: int) -> dict[int, bytes]:
        """The attributes inside IFLA_INFO_DATA (its own) or IFLA_INFO_SLAVE_DATA (as a port)."""
        if self._info is None:
            self._info = parse(self.attribute(IFLA_LINKINFO))
        return parse(self._info.get(kind, b""))

    @property
    def kind(self) -> str:
        """ "veth", "bridge", "vxlan", …; empty for hardware and for `lo`."""
        if self._info is None:
            self._info = parse(self.attribute(IFLA_LINKINFO))
        return to_str(self._info.get(IFLA_INFO_KIND, b""))

    @property
    def port_kind(self) -> str:
        """The kind of the master, "bridge" for a port of a bridge; empty without a master."""
        if self._info is None:
            self._info = parse(self.attribute(IFLA_LINKINFO))
        return to_str(self._info.get(IFLA_INFO_SLAVE_KIND, b""))

    @property
    def mac(self) -> str:
        """The hardware address, "0a:58:0a:01:00:02"; empty when there is none."""
        return self.attribute(IFLA_ADDRESS).hex(":")

    @property
    def mtu(self) -> int:
        return self._number(IFLA_MTU)

    @property
    def up(self) -> bool:
        """Administratively up."""
        return bool(self.flags & IFF_UP)

    @property
    def carrier(self) -> bool:
        """Up, and so is what is at the other end."""
        return bool(self.flags & IFF_LOWER_UP)

    @property
    def running(self) -> bool:
        """Up, with a carrier, and the kernel has acted on that: what is sent goes out."""
        return self.attribute(IFLA_OPERSTATE) == bytes([IF_OPER_UP])

    @property
    def promisc(self) -> bool:
        """Promiscuous because it was set so, which a packet capture does not do."""
        return bool(self.flags & IFF_PROMISC)

    @property
    def allmulti(self) -> bool:
        """Takes all multicast packets, because it was set so."""
        return bool(self.flags & IFF_ALLMULTI)

    @property
    def tx_queue(self) -> int:
        """Length of the transmit queue, in packets."""
        return self._number(IFLA_TXQLEN)

    @property
    def master(self) -> int:
        """Index of the master; 0 for none."""
        return self._number(IFLA_MASTER)

    @property
    def peer(self) -> int:
        """Index of a veth's other end, or of the link below a vlan or macvlan; 0 for none.

        An index of another namespace when `netnsid` is not None.
        """
        return self._number(IFLA_LINK)

    @property
    def netnsid(self) -> int | None:
        """This namespace's number for the namespace in which `peer` counts; None for its own."""
        value = self.attribute(IFLA_LINK_NETNSID)
        return to_u32(value) if value else None

    @property
    def alias(self) -> str:
        """The free text of `ip link set alias`."""
        return to_str(self.attribute(IFLA_IFALIAS))

    @property
    def altnames(self) -> list[str]:
        """Further names, by which it can be found as well."""
        return [
            to_str(value)
            for kind, value in parse_list(self.attribute(IFLA_PROP_LIST))
            if kind == IFLA_ALT_IFNAME
        ]

    def _number(self, kind: int) -> int:
        value = self._attrs.get(kind)
        return to_u32(value) if value else 0


def mac_bytes(mac: str) -> bytes:
    """ "0a:58:0a:01:00:02" as six bytes. Raises ValueError."""
    value = bytes.fromhex(mac.replace(":", " "))
    if len(value) != 6:
        raise ValueError(f"a hardware address has six bytes: {mac!r}")
    return value


def random_mac() -> str:
    """A locally administered unicast address (IEEE 802, bits 1 and 0 of the first byte)."""
    value = os.urandom(6)
    return (bytes([value[0] & 0xFC | 0x02]) + value[1:]).hex(":")


def get(nl: Netlink, name: str) -> Link:
    """The link of this name or alternative name. Raises NetlinkError, ENODEV when none is."""
    # A longer name can only be an alternative one, and the kernel wants that said.
    attribute = IFLA_IFNAME if len(name) <= 15 else IFLA_ALT_IFNAME
    payload = _EVERYTHING + attr_str(attribute, name) + _NO_STATS
    return Link(nl.find(RTM_GETLINK, payload, f"find the interface {name}"))


def index_of(nl: Netlink, name: str) -> int:
    """The index of the link of this name. Raises NetlinkError, ENODEV when none is.

    By netdevice(7), which takes a twentieth of the time that the kernel needs to tell of a link.
    """
    request = _IFREQ.pack(name.encode(), 0)
    try:
        answer = fcntl.ioctl(nl.fileno(), _SIOCGIFINDEX, request)
    except OSError as error:
        raise NetlinkError(error.errno or errno.EIO, f"find the interface {name}") from error
    index: int = _IFREQ.unpack(answer)[1]
    return index


def find_index(nl: Netlink, name: str) -> int:
    """As `index_of`; 0 when there is no such link. Raises NetlinkError."""
    try:
        return index_of(nl, name)
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return 0
        raise


def find(nl: Netlink, name: str) -> Link | None:
    """The link of this name or alternative name; None when there is none."""
    try:
        return get(nl, name)
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def by_index(nl: Netlink, index: int) -> Link:
    """The link of this index. Raises NetlinkError, ENODEV when there is none."""
    payload = _IFINFO.pack(0, 0, index, 0, 0) + _NO_STATS
    return Link(nl.find(RTM_GETLINK, payload, f"find interface {index}"))


def dump(nl: Netlink, *, kind: str = "", master: int = 0) -> list[Link]:
    """All links, or those of a kind or with this master (the kernel filters)."""
    payload = _EVERYTHING + _NO_STATS
    if kind:
        payload += nested(IFLA_LINKINFO, attr_str(IFLA_INFO_KIND, kind))
    if master:
        payload += attr_u32(IFLA_MASTER, master)
    found = [Link(body) for _type, body in nl.dump(RTM_GETLINK, payload, "list the interfaces")]
    # Before any link of a kind was made the kernel does not know the kind, and does not filter.
    return [one for one in found if one.kind == kind] if kind else found


def create(
    nl: Netlink,
    name: str,
    kind: str,
    *,
    data: bytes = b"",
    mac: str = "",
    mtu: int = 0,
    master: int = 0,
    below: int = 0,
    netns_fd: int = -1,
    inside: Netlink | None = None,
    up: bool = False,
    alias: str = "",
    tx_queue: int = 0,
) -> Link:
    """Create a link of any kind with everything it needs in the one message.

    `data` holds the attributes for IFLA_INFO_DATA, `below` the index of the link it sits on (vlan,
    macvlan), `netns_fd` an open namespace in which it is to appear, `inside` a socket there, which
    is needed to tell about it. The kernel takes no `alias` in that message, but in one that goes
    with it: a link in this namespace is never seen without, but for want of memory. `tx_queue` is
    in packets, 0 for what the kind has by itself.
    Raises NetlinkError, EEXIST when the name is taken: before Linux 6.15 also by a link of this
    namespace when it is to appear in another.
    """
    flags = IFF_UP if up else 0
    info = attr_str(IFLA_INFO_KIND, kind)
    if data:
        info += nested(IFLA_INFO_DATA, data)
    payload = (
        _IFINFO.pack(0, 0, 0, flags, flags)
        + _identity(name, mac, mtu, netns_fd)
        + nested(IFLA_LINKINFO, info)
    )
    if master:
        payload += attr_u32(IFLA_MASTER, master)
    if below:
        payload += attr_u32(IFLA_LINK, below)
    if tx_queue:
        payload += attr_u32(IFLA_TXQLEN, tx_queue)
    label = attr(IFLA_IFALIAS, alias.encode()) if alias else b""
    # Since Linux 6.2 the new link comes back with the acknowledgement, before it is looked for.
    answers = nl.request(
        RTM_NEWLINK,
        payload,
        NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO,
        f"create the {kind} interface {name}",
        (RTM_NEWLINK, header(0) + attr_str(IFLA_IFNAME, name) + label) if label else None,
    )
    for message, body in answers:
        if message == RTM_NEWLINK and netns_fd < 0:
            # It comes as it was just before it joined its master.
            return Link(body + attr_u32(IFLA_MASTER, master) + label)
    return get(inside or nl, name)


def create_veth(
    nl: Netlink,
    name: str,
    peer_name: str,
    *,
    mac: str = "",
    peer_mac: str = "",
    mtu: int = 0,
    master: int = 0,
    peer_netns_fd: int = -1,
    alias: str = "",
) -> Link:
    """Create a veth pair, both ends complete in one message; gives this end, which has the alias.

    The other end appears in the namespace `peer_netns_fd` under its final name and with the index
    `Link.peer`. MACs are set at birth because udev rewrites one that was not (systemd#21185). Both
    ends are down: IFF_UP in this message is refused with ENOTCONN, for want of a second end.
    """
    peer = _EVERYTHING + _identity(peer_name, peer_mac, mtu, peer_netns_fd)
    return create(
        nl,
        name,
        "veth",
        data=attr(VETH_INFO_PEER, peer),
        mac=mac,
        mtu=mtu,
        master=master,
        alias=alias,
    )


def _identity(name: str, mac: str, mtu: int, netns_fd: int) -> bytes:
    payload = attr_str(IFLA_IFNAME, name)
    if mac:
        payload += attr(IFLA_ADDRESS, mac_bytes(mac))
    if mtu:
        payload += attr_u32(IFLA_MTU, mtu)
    if netns_fd >= 0:
        payload += attr_u32(IFLA_NET_NS_FD, netns_fd)
    return payload


def change(
    nl: Netlink,
    index: int,
    *,
    up: bool | None = None,
    promisc: bool | None = None,
    allmulti: bool | None = None,
    name: str = "",
    mac: str = "",
    mtu: int = 0,
    tx_queue: int | None = None,
    master: int | None = None,
    alias: str | None = None,
    netns_fd: int = -1,
    data: tuple[str, bytes] | None = None,
    port: tuple[str, bytes] | None = None,
) -> None:
    """Change a link, all of it in one message; what is not given stays.

    `master=0` takes it off its master and `alias=""` removes the alias; `netns_fd` moves it into
    an open namespace, `name` being its name there; `data` and `port` are (kind, attributes) of
    IFLA_INFO_DATA and of IFLA_INFO_SLAVE_DATA. Renaming a link that is up needs Linux 6.0.
    """
    flags = mask = 0
    for flag, wanted in ((IFF_UP, up), (IFF_PROMISC, promisc), (IFF_ALLMULTI, allmulti)):
        if wanted is not None:
            mask |= flag
            flags |= flag if wanted else 0
    payload = _IFINFO.pack(0, 0, index, flags, mask)
    if name or mac or mtu or netns_fd >= 0:
        identity = _identity(name, mac, mtu, netns_fd)
        payload += identity if name else identity[8:]  # without the empty name
    if tx_queue is not None:
        payload += attr_u32(IFLA_TXQLEN, tx_queue)
    if master is not None:
        payload += attr_u32(IFLA_MASTER, master)
    if alias is not None:
        payload += attr(IFLA_IFALIAS, alias.encode())
    info = b""
    if data is not None:
        info += attr_str(IFLA_INFO_KIND, data[0]) + nested(IFLA_INFO_DATA, data[1])
    if port is not None:
        info += attr_str(IFLA_INFO_SLAVE_KIND, port[0]) + nested(IFLA_INFO_SLAVE_DATA, port[1])
    if info:
        payload += nested(IFLA_LINKINFO, info)
    nl.request(RTM_NEWLINK, payload, 0, f"change interface {index}")


def header(index: int, family: int = 0) -> bytes:
    """The struct ifinfomsg that begins a message about one link and changes no flag."""
    return _IFINFO.pack(family, 0, index, 0, 0)


def set_up(nl: Netlink, index: int) -> None:
    """Bring it up."""
    nl.request(RTM_NEWLINK, _IFINFO.pack(0, 0, index, IFF_UP, IFF_UP), 0, f"set {index} up")


def set_down(nl: Netlink, index: int) -> None:
    """Take it down."""
    nl.request(RTM_NEWLINK, _IFINFO.pack(0, 0, index, 0, IFF_UP), 0, f"set {index} down")


def delete(nl: Netlink, index: int, *, missing_ok: bool = False) -> bool:
    """Delete a link, and with one end of a veth pair the other; False when it was gone already.

    Raises NetlinkError, ENODEV when it was gone and `missing_ok` is not set.
    """
    try:
        nl.request(RTM_DELLINK, _IFINFO.pack(0, 0, index, 0, 0), 0, f"delete interface {index}")
    except NetlinkError as error:
        if missing_ok and error.errno == errno.ENODEV:
            return False
        raise
    return True
