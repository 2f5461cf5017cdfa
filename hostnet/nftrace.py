"""nftables' own trace: which rules a packet met, as the kernel announces it to who listens.

A rule with `meta nftrace set 1` marks a packet; from then on each rule that matches, each chain's
end and each policy is announced to the group NFNLGRP_NFTRACE of nfnetlink, with the packet's
headers at the first announcement of each chain (<linux/netfilter/nf_tables.h>, NFTA_TRACE_*).
"""

from __future__ import annotations

import ipaddress
import struct

from hostnet import nft
from hostnet.netlink import parse, to_str, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

NFNLGRP_NFTRACE = 9  # <linux/netfilter/nfnetlink.h>
NFT_MSG_TRACE = 10 << 8 | 17

_TABLE = 1
_CHAIN = 2
_RULE_HANDLE = 3
_TYPE = 4
_VERDICT = 5
_ID = 6
_NETWORK_HEADER = 8
_TRANSPORT_HEADER = 9
_IIF = 10
_OIF = 12
_POLICY = 16
_VERDICT_CODE = 1
_VERDICT_CHAIN = 2

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_TYPES = {1: "policy", 2: "return", 3: "rule"}
# Verdicts of netfilter, and nftables' own, which are negative (enum nft_verdicts).
_VERDICTS = {
    0: "drop",
    1: "accept",
    2: "stolen",
    3: "queue",
    4: "repeat",
    -1: "continue",
    -2: "break",
    -3: "jump",
    -4: "goto",
    -5: "return",
}
_PORTS = struct.Struct("!HH")
_WITH_PORTS = (6, 17, 132)  # TCP, UDP, SCTP


class Step:
    """One announcement.

    packet: the same for all steps of one packet. kind: rule, return, policy. handle: the rule's, 0
    without one. verdict: accept, drop, continue, return, `jump X`, `goto X`, …; empty where there
    is none. iif, oif: indices of links, 0 where unknown. source, destination, ports: of the packet
    as it is there, None where the announcement carries no headers.
    """

    __slots__ = (
        "chain",
        "destination",
        "family",
        "handle",
        "iif",
        "kind",
        "oif",
        "packet",
        "ports",
        "source",
        "table",
        "verdict",
    )

    def __init__(self, payload: bytes) -> None:
        """From the payload of an NFT_MSG_TRACE message."""
        attrs = parse(payload, 4)
        self.family = _FAMILIES.get(payload[0], str(payload[0]))
        self.packet = to_u32(attrs.get(_ID, bytes(4)))
        self.table = to_str(attrs.get(_TABLE, b""))
        self.chain = to_str(attrs.get(_CHAIN, b""))
        self.kind = _TYPES.get(_big(attrs.get(_TYPE, b"")), "")
        self.handle = _big(attrs.get(_RULE_HANDLE, b""))
        self.verdict = _verdict(attrs)
        self.iif, self.oif = (_big(attrs.get(kind, b"")) for kind in (_IIF, _OIF))
        self.source: Address | None = None
        self.destination: Address | None = None
        self.ports: tuple[int, int] | None = None
        self._read(attrs.get(_NETWORK_HEADER, b""), attrs.get(_TRANSPORT_HEADER, b""))

    def __repr__(self) -> str:
        return f"<Step {self.family} {self.table} {self.chain} {self.kind} {self.verdict}>"

    def _read(self, network: bytes, transport: bytes) -> None:
        version = network[0] >> 4 if network else 0
        protocol = 0
        if version == 4 and len(network) >= 20:
            self.source = ipaddress.IPv4Address(network[12:16])
            self.destination = ipaddress.IPv4Address(network[16:20])
            protocol = network[9]
        elif version == 6 and len(network) >= 40:
            self.source = ipaddress.IPv6Address(network[8:24])
            self.destination = ipaddress.IPv6Address(network[24:40])
            protocol = network[6]
        if protocol in _WITH_PORTS and len(transport) >= _PORTS.size:
            self.ports = _PORTS.unpack_from(transport)


def _verdict(attrs: dict[int, bytes]) -> str:
    if _POLICY in attrs:
        return _VERDICTS.get(_big(attrs[_POLICY]), "")
    if _VERDICT not in attrs:
        return ""
    nested = parse(attrs[_VERDICT])
    (code,) = struct.unpack("!i", nested.get(_VERDICT_CODE, b"\xff" * 4))
    word = _VERDICTS.get(code & 0xFF if code >= 0 else code, str(code))
    chain = to_str(nested.get(_VERDICT_CHAIN, b""))
    return f"{word} {chain}" if chain else word


def _big(value: bytes) -> int:
    return int.from_bytes(value, "big")


def rules(family: str, table: str) -> dict[int, str]:
    """The rules of a table as nft writes them, by handle. Raises NftError."""
    found: dict[int, str] = {}
    for line in nft.listing(family, table).splitlines():
        text, mark, handle = line.strip().rpartition(" # handle ")
        if mark and handle.isdecimal() and not text.endswith("{"):
            found[int(handle)] = text
    return found
