"""Hear that somebody has damaged what is ours in the packet filter, told apart from our own work.

The kernel announces each change of nftables' rules and, after those of a transaction, who made it.
Our own processes write thousands of elements as containers come and go; to look at that costs some
microseconds for each, and nothing else follows from it. iptables-nft keeps its rules in nftables
too, but there our own changes are made by its programs and cannot be told from others'.
"""

from __future__ import annotations

from hostnet.monitor import Monitor
from hostnet.netfilter import FAMILY_NAMES
from hostnet.netlink import NETLINK_NETFILTER, parse, to_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NFNLGRP_NFTABLES = 7  # <linux/netfilter/nfnetlink.h>
# <linux/netfilter/nf_tables.h>, the subsystem's number above
_NEWCHAIN = 0xA03
_NEWGEN = 0xA0F
_DELTABLE, _DELCHAIN, _DELRULE = 0xA02, 0xA05, 0xA08
_GEN_PROC_NAME = 3
_NFGENMSG = 4
_NAME_AT = _NFGENMSG + 4
"""Where the table's name is: it is the first attribute of every announcement but NEWGEN."""
_ROOM = 8 << 20

_IPTABLES = frozenset(
    (family, name) for family in ("ip", "ip6") for name in ("filter", "nat", "raw")
)
IPTABLES = "iptables"
"""Who has changed a rule of iptables', as far as can be told: its programs, on anybody's behalf."""
FLUSH = "a flush of iptables"
"""Likewise, where what went is what all containers share."""
_SHARED = frozenset(("FORWARD", "OUTPUT", "PREROUTING"))
"""Chains in which no single container has a rule; it may have one in POSTROUTING."""
_HOOKS = frozenset(("FORWARD", "OUTPUT", "POSTROUTING", "PREROUTING"))


class Watch:
    """Of the namespace where the calling thread is now; give it to poll().

    prefix: with which the names of our tables begin, chains: those of our chains of iptables. own:
    the names of our processes (/proc/PID/comm), whose changes of our tables are no damage.
    """

    def __init__(self, prefix: str, chains: str, own: Iterable[str]) -> None:
        self._monitor = Monitor(NFNLGRP_NFTABLES, protocol=NETLINK_NETFILTER, room=_ROOM)
        self._prefix = prefix.encode()
        self._chains = chains
        self._own = frozenset(own)
        self._ours = False

    def fileno(self) -> int:
        return self._monitor.fileno()

    def close(self) -> None:
        self._monitor.close()

    def take(self) -> str:
        """Who has changed what is ours since the last time; empty for nobody else than ourselves.

        Also where announcements were lost, and anything may be. Does not wait.
        """
        by = ""
        heard = self._monitor.take()
        if heard.lost:
            by = "somebody"
        for kind, payload in heard.messages:
            if kind == _NEWGEN:
                if self._ours:
                    self._ours = False
                    name = to_str(parse(payload, _NFGENMSG).get(_GEN_PROC_NAME, b""))
                    by = by if name in self._own else name or "somebody"
            elif payload.startswith(self._prefix, _NAME_AT):
                self._ours = True
            else:
                found = self._of_iptables(kind, payload)
                by = found if found == FLUSH else by or found
        return by

    def _of_iptables(self, kind: int, payload: bytes) -> str:
        """FLUSH or IPTABLES where rules or chains of ours may have gone, or what leads to them."""
        if kind not in (_DELTABLE, _DELCHAIN, _DELRULE, _NEWCHAIN):
            return ""
        family = FAMILY_NAMES.get(payload[0], "")
        attrs = parse(payload, _NFGENMSG)
        if (family, to_str(attrs.get(1, b""))) not in _IPTABLES:
            return ""
        if kind == _DELTABLE:
            return FLUSH
        # NFTA_CHAIN_NAME and NFTA_RULE_CHAIN
        chain = to_str(attrs.get(2 if kind == _DELRULE else 3, b""))
        if kind == _NEWCHAIN:
            return FLUSH if chain == "FORWARD" else ""  # a policy
        if chain in _SHARED:
            return FLUSH
        return IPTABLES if chain in _HOOKS or chain.startswith(self._chains) else ""
