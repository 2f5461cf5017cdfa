"""Tables and chains of nftables, whoever's they are: which there are, where packets enter them, and
their rules as they stand.

Those of iptables-nft are among them. Our own are declared and looked over in `nftable`.
"""

from __future__ import annotations

import errno

from hostnet.netfilter import FAMILY_NAMES, INET, header
from hostnet.netlink import NetlinkError, attr_str, parse, to_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netfilter import Netfilter

# <linux/netfilter/nf_tables.h>
GETTABLE = 0xA01
GETCHAIN = 0xA04
GETRULE = 0xA07
TABLE_NAME = 1
CHAIN_TABLE = 1
CHAIN_NAME = 3
CHAIN_HOOK = 4
CHAIN_POLICY = 5
_CHAIN_TYPE = 7
HOOK_NUMBER = 1
HOOK_PRIORITY = 2
NF_ACCEPT = 1
RULE_TABLE = 1
RULE_CHAIN = 2
_ALL_FAMILIES = bytes(4)


class NfChain:
    """A chain. Of a base chain also kind: `filter`, `nat` or `route`; hook: its number; priority;
    drops: by its policy.
    """

    __slots__ = ("drops", "family", "hook", "kind", "name", "priority", "table")

    def __init__(self, family: str, table: str, name: str) -> None:
        self.family = family
        self.table = table
        self.name = name
        self.kind = ""
        self.hook = -1
        self.priority = 0
        self.drops = False

    @property
    def place(self) -> tuple[str, str, str]:
        """Family, table and name."""
        return self.family, self.table, self.name

    def __str__(self) -> str:
        return f"chain {self.name} of the nftables table {self.family} {self.table}"


def tables(nl: Netfilter) -> set[tuple[str, str]]:
    """Family and name of all tables there are; one dump. Raises NetlinkError."""
    found = set()
    for _type, body in nl.dump(GETTABLE, _ALL_FAMILIES, "list the nftables tables"):
        family = FAMILY_NAMES.get(body[0])
        if family is not None:
            found.add((family, to_str(parse(body, 4)[TABLE_NAME])))
    return found


def chain_exists(nl: Netfilter, table: str, chain: str, family: bytes = INET) -> bool:
    """Whether there is such a chain; `family` is the header of a message about its table.

    Raises NetlinkError.
    """
    payload = family + attr_str(CHAIN_TABLE, table) + attr_str(CHAIN_NAME, chain)
    try:
        nl.find(GETCHAIN, payload, f"find chain {chain} in the nftables table {table}")
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def base_chains(nl: Netfilter, family: str = "") -> list[NfChain]:
    """The base chains of a family, or of all that we know. Raises NetlinkError."""
    found = []
    asked = header(family) if family else _ALL_FAMILIES
    for _type, body in nl.dump(GETCHAIN, asked, "list the chains of nftables"):
        attrs = parse(body, 4)
        hook = parse(attrs.get(CHAIN_HOOK, b""))
        if not hook or body[0] not in FAMILY_NAMES:
            continue
        names = to_str(attrs[CHAIN_TABLE]), to_str(attrs[CHAIN_NAME])
        chain = NfChain(FAMILY_NAMES[body[0]], *names)
        chain.kind = to_str(attrs[_CHAIN_TYPE])
        chain.hook = int.from_bytes(hook[HOOK_NUMBER], "big")
        chain.priority = int.from_bytes(hook[HOOK_PRIORITY], "big", signed=True)
        chain.drops = int.from_bytes(attrs.get(CHAIN_POLICY, b"\1"), "big") != NF_ACCEPT
        found.append(chain)
    return found


def rules(nl: Netfilter, chain: NfChain) -> list[bytes]:
    """The rules of a chain as the kernel tells them; none where it is not there (any more).

    Raises NetlinkError.
    """
    payload = attr_str(RULE_TABLE, chain.table) + attr_str(RULE_CHAIN, chain.name)
    try:
        found = nl.dump(GETRULE, header(chain.family) + payload, f"list the rules of {chain}")
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
        return []
    return [body for _type, body in found]
