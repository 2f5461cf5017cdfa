"""Other filters that forwarded packets have to pass, and whether they let any through.

A verdict of accept ends the chain it is in and no other, so each base chain at the hook `forward`
has to accept a packet for itself. What can be told for certain of somebody else's chain is little,
and told is no more: that it drops by policy, and has no rule that could accept anything new.
"""

from __future__ import annotations

import struct

from hostnet.netlink import parse, parse_list, to_str
from hostnet.nfchain import base_chains

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netfilter import Netfilter
    from hostnet.nfchain import NfChain

_FORWARD = 2  # NF_INET_FORWARD, <linux/netfilter.h>
_FAMILIES = {4: ("inet", "ip"), 6: ("inet", "ip6")}
# <linux/netfilter/nf_tables.h>
_RULE_EXPRESSIONS = 4
_EXPR_NAME = 1
_EXPR_DATA = 2
_CT_KEY = 2
_CT_STATE = 0
_BITWISE_MASK = 4
_IMMEDIATE_DATA = 2
_LOOKUP_DREG = 3
_DATA_VALUE = 1
_DATA_VERDICT = 2
_VERDICT_CODE = 1
_DROP = 0
_STATE_NEW = 8  # NF_CT_STATE_BIT(IP_CT_NEW), <linux/netfilter/nf_conntrack_common.h>
_MAY_DO_ANYTHING = frozenset({"match", "target", "queue", "vmap"})


def chains(nl: Netfilter, version: int) -> list[NfChain]:
    """The nftables chains that forwarded packets of this IP version pass, iptables-nft's too.

    Raises NetlinkError.
    """
    return [
        one
        for family in _FAMILIES[version]
        for one in base_chains(nl, family)
        if one.hook == _FORWARD
    ]


def knows_mark(rule: bytes, mark: int) -> bool:
    """Whether a rule may be about packets with this bit in their mark."""
    return struct.pack("=I", mark) in rule


def may_accept_new(rule: bytes) -> bool:
    """Whether a rule could accept a packet that belongs to no known connection.

    False only where the rule is known to do nothing of the kind.
    """
    answers_only = False
    ends = False
    for _kind, expression in parse_list(parse(rule, 4).get(_RULE_EXPRESSIONS, b"")):
        parts = parse(expression)
        name = to_str(parts[_EXPR_NAME])
        data = parse(parts.get(_EXPR_DATA, b""))
        if name in _MAY_DO_ANYTHING or (name == "lookup" and _LOOKUP_DREG in data):
            ends = True
        elif name == "ct":
            answers_only = int.from_bytes(data.get(_CT_KEY, b"\xff"), "big") == _CT_STATE
        elif name == "bitwise" and answers_only:
            mask = parse(data.get(_BITWISE_MASK, b"")).get(_DATA_VALUE, b"")
            answers_only = len(mask) == 4 and not struct.unpack("=I", mask)[0] & _STATE_NEW
        elif name == "lookup":
            answers_only = False  # which states a set holds is not looked at
        elif name == "immediate" and _DATA_VERDICT in parse(data.get(_IMMEDIATE_DATA, b"")):
            verdict = parse(parse(data[_IMMEDIATE_DATA])[_DATA_VERDICT])
            ends = ends or int.from_bytes(verdict[_VERDICT_CODE], "big") != _DROP
    return ends and not answers_only
