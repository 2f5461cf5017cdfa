"""Whether somebody else's rules translate a port's destination before ours are asked.

The kernel asks the base chains of the kind nat by priority, and translates a connection once: what
an earlier chain has led somewhere never gets to a later one. Of chains with the same priority the
one that was made last is asked first, which nothing tells, so those count as earlier.

Told is only what is certain: a rule of the base chain itself that wants nothing but a protocol and
a destination port.
"""

from __future__ import annotations

from hostnet.netlink import parse, parse_list, to_str
from hostnet.nfchain import base_chains, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netfilter import Netfilter

_PREROUTING = 0  # NF_INET_PRE_ROUTING, <linux/netfilter.h>
# <linux/netfilter/nf_tables.h>
_RULE_EXPRESSIONS = 4
_EXPR_NAME = 1
_EXPR_DATA = 2
_CMP_OP = 2
_CMP_DATA = 3
_DATA_VALUE = 1
_EQUAL = 0
_PAYLOAD_BASE = 2
_PAYLOAD_OFFSET = 3
_TRANSPORT = 2
_DPORT = 2  # bytes into the header of TCP, UDP and SCTP
_TARGET_NAME = 1
_NAT_TYPE = 1
_DNAT = 1
_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_HARMLESS = frozenset({"counter", "immediate", "log"})
"""Expressions that leave it open neither whether a rule applies nor what it does."""


class Redirection:
    """A rule that leads a port elsewhere. protocol: an IP protocol number, 0 for any."""

    __slots__ = ("port", "protocol", "versions", "where")

    def __init__(self, where: str, versions: tuple[int, ...], protocol: int, port: int) -> None:
        self.where = where
        self.versions = versions
        self.protocol = protocol
        self.port = port

    def takes(self, version: int, protocol: int, port: int) -> bool:
        """Whether it gets what is for this port."""
        return version in self.versions and self.protocol in (0, protocol) and self.port == port


def redirections(nl: Netfilter, priority: int, own: str) -> list[Redirection]:
    """Those in chains at the hook prerouting that come before one with this priority.

    own: the name of the table that is not looked at. Raises NetlinkError.
    """
    found: list[Redirection] = []
    for chain in base_chains(nl):
        is_earlier = chain.priority <= priority
        if chain.kind == "nat" and chain.hook == _PREROUTING and is_earlier and chain.table != own:
            for rule in rules(nl, chain):
                read = _read(rule)
                if read is not None:
                    found.append(Redirection(str(chain), _FAMILIES[chain.family], *read))
    return found


def _read(rule: bytes) -> tuple[int, int] | None:
    """Protocol and port of a rule that leads elsewhere whatever is for these; else None."""
    protocol = port = 0
    loaded = ""
    leads = False
    for _kind, expression in parse_list(parse(rule, 4).get(_RULE_EXPRESSIONS, b"")):
        parts = parse(expression)
        name, data = to_str(parts[_EXPR_NAME]), parse(parts.get(_EXPR_DATA, b""))
        if name == "meta":
            loaded = "meta"
        elif name == "payload":
            place = (_number(data, _PAYLOAD_BASE), _number(data, _PAYLOAD_OFFSET))
            loaded = "port" if place == (_TRANSPORT, _DPORT) else "address"
        elif name == "cmp":
            value = parse(data.get(_CMP_DATA, b"")).get(_DATA_VALUE, b"")
            if _number(data, _CMP_OP) != _EQUAL:
                return None
            if loaded == "meta" and len(value) == 1:
                protocol = value[0]
            elif loaded == "port" and len(value) == 2:
                port = int.from_bytes(value, "big")
            else:
                return None
        elif _translates(name, data):
            leads = True
        elif name not in _HARMLESS:
            return None
    return (protocol, port) if leads and port else None


def _translates(name: str, data: dict[int, bytes]) -> bool:
    if name == "target":
        return to_str(data.get(_TARGET_NAME, b"")) in ("DNAT", "REDIRECT")
    return name == "redir" or (name == "nat" and _number(data, _NAT_TYPE) == _DNAT)


def _number(data: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(data.get(kind, b"\xff"), "big")
