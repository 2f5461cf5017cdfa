"""A table of ours as it must be: declared once, laid down by libnftables, looked over by netlink.

Its chains and rules are shared by all attachments and say the same on every host. Each rule has a
comment, and the sequence of comments in a chain is what `Table.problems` compares: a rule that is
missing, replaced, or put in front by somebody else shows. That takes one small netlink dump a
chain (none in a process that has looked at this state of the ruleset before, see `netfilter`), so
every ADD looks and lays the rules down anew when something is wrong, after a flush of the whole
ruleset for instance.
"""

from __future__ import annotations

import errno

from hostnet import condition, nft
from hostnet.netfilter import header
from hostnet.netlink import NetlinkError, attr_str, parse, to_str
from hostnet.nfchain import (
    CHAIN_HOOK,
    CHAIN_NAME,
    CHAIN_POLICY,
    CHAIN_TABLE,
    GETCHAIN,
    GETRULE,
    GETTABLE,
    HOOK_NUMBER,
    HOOK_PRIORITY,
    NF_ACCEPT,
    RULE_CHAIN,
    RULE_TABLE,
    TABLE_NAME,
)
from hostnet.nfelement import comment_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostnet.netfilter import Netfilter
    from hostnet.nfelement import Map

# <linux/netfilter/nf_tables.h>
GETSET = 0xA0A
TABLE_FLAGS = 2
NFT_TABLE_F_DORMANT = 1
RULE_HANDLE = 3
RULE_USERDATA = 7
SET_TABLE = 1
SET_NAME = 2

# <linux/netfilter.h>; <linux/netfilter_bridge.h> numbers them alike
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}


class Chain:
    """A chain with its rules, each a comment (unique in the chain) and the rule's text.

    kind: "filter" or "nat", with `hook` and `priority`; empty for a chain without a hook.
    rules: None for a chain whose rules come and go, and are left alone here.
    """

    __slots__ = ("hook", "kind", "name", "priority", "rules")

    def __init__(
        self,
        name: str,
        rules: Iterable[tuple[str, str]] | None = None,
        kind: str = "",
        hook: str = "",
        priority: int = 0,
    ) -> None:
        self.name = nft.name(name)
        self.rules = None if rules is None else tuple(rules)
        self.kind = kind
        self.hook = hook
        self.priority = priority

    def commands(self, table: str, family: str = "inet") -> list[str]:
        """The nft commands that make it so, whatever it was before."""
        where = f"{family} {table} {self.name}"
        made = f"add chain {where}"
        if self.hook:
            made += f" {{ type {self.kind} hook {self.hook} priority {self.priority}; "
            made += "policy accept; }"
        if self.rules is None:
            return [made]
        rules = [f'add rule {where} {rule} comment "{comment}"' for comment, rule in self.rules]
        return [made, f"flush chain {where}", *rules]


class Table:
    """A table: its maps, and its chains in the order in which they are made."""

    __slots__ = ("chains", "family", "header", "maps", "name")

    def __init__(
        self, name: str, maps: Iterable[Map], chains: Iterable[Chain], family: str = "inet"
    ) -> None:
        self.name = nft.name(name)
        self.family = family
        self.header = header(family)
        self.maps = tuple(maps)
        self.chains = tuple(chains)

    @property
    def commands(self) -> str:
        """The nft commands that make it so; elements are left alone."""
        lines = [f"add table {self.family} {self.name}"]
        lines += (one.declaration for one in self.maps)
        for chain in self.chains:
            lines += chain.commands(self.name, self.family)
        return "\n".join(lines)

    def ensure(
        self, nl: Netfilter, more: Callable[[], str] = str, *, thorough: bool = False
    ) -> bool:
        """Lay it down if a chain is not as it must be, or for the sake of `more` commands.

        thorough: for the sake of all of `problems`. The calling thread is in the namespace of
        `nl`, and has not got its lock where there may be more. False where nothing had to be done.
        Raises NftError, NetlinkError, LockTimeout.
        """
        nl.look_again()
        if not more():
            return self._lay(nl, "", thorough=thorough)
        from hostnet.lock import NamespaceLock

        # What comes to what others have added: two who look at once would both add it.
        with NamespaceLock():
            nl.forget()
            nl.look_again()
            return self._lay(nl, more(), thorough=thorough)

    def _lay(self, nl: Netfilter, wanted: str, *, thorough: bool) -> bool:
        damaged = self.problems(nl) if thorough else self._chain_problems(nl)
        if not wanted and not any(damaged):
            return False
        condition.require(f"lay down the nftables table {self._words}")
        nft.run(f"{self.commands}\n{wanted}")
        nl.forget()
        return True

    def problems(self, nl: Netfilter) -> list[str]:
        """What is not as it must be, in words; hooks and policies included."""
        nl.look_again()
        found = nl.recalled(self._words)
        if found is None:
            found = self._look_over(nl)
            nl.remember(self._words, found=found)
        return found.copy()

    def _look_over(self, nl: Netfilter) -> list[str]:
        try:
            payload = self.header + attr_str(TABLE_NAME, self.name)
            found = nl.find(GETTABLE, payload, f"find the nftables table {self._words}")
        except NetlinkError as error:
            if error.errno != errno.ENOENT:
                raise
            return [f"the nftables table {self._words} is missing"]
        flags = int.from_bytes(parse(found, 4).get(TABLE_FLAGS, b""), "big")
        problems = []
        if flags & NFT_TABLE_F_DORMANT:
            problems.append(f"the nftables table {self._words} is dormant")
        hooks = [self._hook_problem(nl, chain) for chain in self.chains]
        problems += self._map_problems(nl)
        return [*problems, *filter(None, hooks), *filter(None, self._chain_problems(nl))]

    def _map_problems(self, nl: Netfilter) -> Iterable[str]:
        """Those that no rule needs can be deleted alone."""
        what = f"list the maps of the nftables table {self._words}"
        answers = nl.dump(GETSET, self.header + attr_str(SET_TABLE, self.name), what)
        there = {to_str(parse(body, 4)[SET_NAME]) for _type, body in answers}
        missing = [one.name for one in self.maps if one.name not in there]
        return (f"{one} of the nftables table {self._words} is missing" for one in missing)

    @property
    def _words(self) -> str:
        return f"{self.family} {self.name}"

    def _chain_problems(self, nl: Netfilter) -> Iterable[str]:
        return (self._rules_problem(nl, chain) for chain in self.chains)

    def _hook_problem(self, nl: Netfilter, chain: Chain) -> str:
        what = f"chain {chain.name} of the nftables table {self._words}"
        payload = attr_str(CHAIN_TABLE, self.name) + attr_str(CHAIN_NAME, chain.name)
        try:
            found = nl.find(GETCHAIN, self.header + payload, f"find the {what}")
        except NetlinkError as error:
            if error.errno != errno.ENOENT:
                raise
            return f"{what} is missing"
        if not chain.hook:
            return ""
        attrs = parse(found, 4)
        hook = parse(attrs.get(CHAIN_HOOK, b""))
        number = int.from_bytes(hook.get(HOOK_NUMBER, b"\xff"), "big")
        priority = int.from_bytes(hook.get(HOOK_PRIORITY, b""), "big", signed=True)
        policy = int.from_bytes(attrs.get(CHAIN_POLICY, b""), "big")
        if number != _HOOKS[chain.hook] or priority != chain.priority:
            return f"{what} is not at the hook {chain.hook}, priority {chain.priority}"
        return "" if policy == NF_ACCEPT else f"{what} has another policy than accept"

    def _rules_problem(self, nl: Netfilter, chain: Chain) -> str:
        if chain.rules is None:
            return ""
        found = rules(nl, self.name, chain.name, self.family)
        wanted = [comment for comment, _rule in chain.rules]
        if found == wanted:
            return ""
        where = f"chain {chain.name} of the nftables table {self._words}"
        missing = [comment for comment in wanted if comment not in found]
        if missing:
            return f"{where} lacks its rules {', '.join(map(repr, missing))}"
        strange = [comment for comment in found if comment not in wanted]
        if strange:
            return f"{where} has rules of somebody else: {', '.join(map(repr, strange))}"
        return f"{where} has its rules in another order"


def rules(nl: Netfilter, table: str, chain: str, family: str = "inet") -> list[str]:
    """The comments of a chain's rules, empty for a rule without; none where it is missing.

    What `nl` has read in this state of the ruleset is not read again. Raises NetlinkError.
    """
    where = f"{family} {table}"
    found = nl.recalled(where, chain)
    if found is not None:
        return found
    payload = header(family) + attr_str(RULE_TABLE, table) + attr_str(RULE_CHAIN, chain)
    what = f"list the rules of chain {chain} in the nftables table {where}"
    try:
        answers = nl.dump(GETRULE, payload, what)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    found = [comment_of(parse(body, 4).get(RULE_USERDATA, b"")) for _type, body in answers]
    nl.remember(where, chain, found=found)
    return found


def rule_handles(nl: Netfilter, family: str, table: str, chain: str) -> list[tuple[int, str]]:
    """The handle and the comment of each rule of a chain; none where it is missing.

    Raises NetlinkError.
    """
    payload = header(family) + attr_str(RULE_TABLE, table) + attr_str(RULE_CHAIN, chain)
    what = f"list the rules of chain {chain} in the nftables table {family} {table}"
    try:
        answers = nl.dump(GETRULE, payload, what)
    except NetlinkError as error:
        if error.errno == errno.ENOENT:
            return []
        raise
    found = []
    for _type, body in answers:
        attrs = parse(body, 4)
        handle = int.from_bytes(attrs[RULE_HANDLE], "big")
        found.append((handle, comment_of(attrs.get(RULE_USERDATA, b""))))
    return found
