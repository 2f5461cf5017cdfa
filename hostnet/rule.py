"""Rules that choose a routing table (ip-rule(8), rtnetlink(7), RTM_*RULE)."""

from __future__ import annotations

import errno
import ipaddress
import struct

from hostnet.netlink import NLM_F_CREATE, NLM_F_EXCL, NetlinkError, attr, attr_u32, parse, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink
    from hostnet.netlink_batch import Message

AF_INET = 2
AF_INET6 = 10
RTM_NEWRULE = 32
RTM_DELRULE = 33
RTM_GETRULE = 34

# <linux/fib_rules.h>
FRA_DST = 1
FRA_SRC = 2
FRA_PRIORITY = 6
FRA_TABLE = 15
FRA_L3MDEV = 19
FR_ACT_TO_TBL = 1

_HEADER = struct.Struct("=BBBBBxxBI")  # family, lengths of both, tos, table, action, flags


class Rule:
    """A rule as the kernel described it. priority: rules with a lower one are asked first.

    table: where it has packets looked up, 0 for a rule that does something else. by_vrf: that it
    has them looked up in the table of the VRF they are of.
    """

    __slots__ = ("_payload", "_source", "_source_len", "by_vrf", "family", "priority", "table")

    def __init__(self, payload: bytes) -> None:
        """From the payload of an RTM_NEWRULE message."""
        self._payload = payload
        self.family, _dst_len, self._source_len, _tos, table, action, _flags = _HEADER.unpack_from(
            payload
        )
        attrs = parse(payload, _HEADER.size)
        self._source = attrs.get(FRA_SRC, b"")
        # Without the attribute it is 0, as that of the rule for the table local is.
        self.priority = to_u32(attrs.get(FRA_PRIORITY, bytes(4)))
        table = to_u32(attrs[FRA_TABLE]) if FRA_TABLE in attrs else table
        self.table = table if action == FR_ACT_TO_TBL else 0
        self.by_vrf = attrs.get(FRA_L3MDEV) == b"\1"

    def __repr__(self) -> str:
        return f"<Rule {self.priority} from {self.source or 'all'} table {self.table}>"

    @property
    def source(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        """The packets' sources that it is for; None for all."""
        if not self._source:
            return None
        value = (self._source, self._source_len)
        if self.family == AF_INET6:
            return ipaddress.IPv6Network(value)
        return ipaddress.IPv4Network(value)


def add(nl: Netlink, source: ipaddress.IPv4Address | ipaddress.IPv6Address, table: int) -> None:
    """Have packets from an address looked up in a table, before all rules but the table local's.

    The kernel gives it the priority, one less than that of the others. Raises NetlinkError.
    """
    what = f"add the rule for packets from {source} to table {table}"
    nl.request(*addition(source, table), what)


def addition(source: ipaddress.IPv4Address | ipaddress.IPv6Address, table: int) -> Message:
    """The message of `add`, for `Netlink.batch`."""
    packed = source.packed
    family = AF_INET if len(packed) == 4 else AF_INET6
    short = table if table < 256 else 0
    payload = _HEADER.pack(family, 0, len(packed) * 8, 0, short, FR_ACT_TO_TBL, 0)
    payload += attr(FRA_SRC, packed) + attr_u32(FRA_TABLE, table)
    return RTM_NEWRULE, payload, NLM_F_CREATE | NLM_F_EXCL


def restore(nl: Netlink, rule: Rule, *, exists_ok: bool = False) -> None:
    """Add a rule again, exactly as it was.

    Raises NetlinkError, EEXIST where it is there and `exists_ok` is not set.
    """
    try:
        nl.request(RTM_NEWRULE, rule._payload, NLM_F_CREATE | NLM_F_EXCL, f"add {rule} again")
    except NetlinkError as error:
        if not exists_ok or error.errno != errno.EEXIST:
            raise


def delete(nl: Netlink, rule: Rule, *, missing_ok: bool = False) -> bool:
    """Delete exactly this rule; False when it was gone.

    Raises NetlinkError, ENOENT when it was gone and `missing_ok` is not set.
    """
    try:
        nl.request(RTM_DELRULE, rule._payload, 0, f"delete {rule}")
    except NetlinkError as error:
        if missing_ok and error.errno == errno.ENOENT:
            return False
        raise
    return True


def dump(nl: Netlink, family: int = 0) -> list[Rule]:
    """The rules of a family (AF_INET, AF_INET6), or of both, in the order of their priorities.

    None of a family that the kernel does not have. Raises NetlinkError.
    """
    payload = _HEADER.pack(family, 0, 0, 0, 0, 0, 0)
    try:
        answers = nl.dump(RTM_GETRULE, payload, "list the rules")
    except NetlinkError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
            return []
        raise
    # Asked for all families, the kernel tells of multicast's as well.
    wanted = (family,) if family else (AF_INET, AF_INET6)
    return [Rule(body) for _type, body in answers if body[0] in wanted]
