"""Whether iptables' programs have told and done all, by what the kernel says of the same tables.

iptables-nft-save (1.8.9) whose dump fails for want of memory prints what it has got so far, and
exits with 0. Who believes that adds a second time what is there, or removes less than is there. So
the rules of each chain are counted once more, by one dump, which also says when it fails. So they
are after a change, since iptables-nft-restore reads in the same way what it is to empty, say.
iptables-legacy gets and sets a table whole or says that it could not, and is believed.
"""

from __future__ import annotations

import errno
import os
import sys

from hostnet.iptables_look import FAMILY, LEGACY, NFT
from hostnet.netfilter import header
from hostnet.netlink import NetlinkError, attr_str, parse, to_str
from hostnet.nfchain import GETRULE, RULE_CHAIN, RULE_TABLE, base_chains

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.iptables import Chains, Changes, Ruleset
    from hostnet.netfilter import Netfilter

ATTEMPTS = 3
"""How often what is not whole is read or done, while others leave it alone."""
_TABLES = frozenset(("filter", "mangle", "nat", "raw", "security"))
UNASKED = b"not supported, missing kernel module"
"""What iptables-save says when it could not ask for an extension, and may print a rule wrongly."""
NO_SUCH_RULE = "does a matching rule exist"
_ABSENT = (errno.ENOENT, errno.EINVAL)  # no such table; no nftables in this kernel


class PartialListError(TimeoutError):
    """iptables-save leaves out what is there, each time: of the table `table`."""

    def __init__(self, version: int, table: str) -> None:
        super().__init__(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.version = version
        self.table = table

    def __str__(self) -> str:
        name = FAMILY[self.version]
        return (
            f"cannot list the rules of {name}tables: {name}tables-save gives other rules of the "
            f"table {self.table} than the kernel has, {ATTEMPTS} times; call again"
        )


class PartialChangeError(TimeoutError):
    """iptables-restore leaves out a change, each time."""

    def __init__(self, version: int) -> None:
        super().__init__(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.version = version

    def __str__(self) -> str:
        name = FAMILY[self.version]
        return (
            f"cannot change the rules of {name}tables: after {name}tables-restore the kernel has "
            f"other rules than were asked for, {ATTEMPTS} times; call again"
        )


def kind_of(path: str) -> str:
    """NFT or LEGACY, by the program that a name such as `iptables-save` leads to; or empty."""
    program = os.path.basename(os.path.realpath(path))
    return next((kind for kind in (NFT, LEGACY) if f"-{kind}" in program), "")


def strange_table(nl: Netfilter, version: int, table: str, found: Ruleset, text: bytes) -> str:
    """The name of a table of which iptables-nft-save has not printed each rule; empty for none.

    table: the only one that was asked for, empty for all. text: what it printed, which also says
    of which tables it can print nothing, for they have rules that only nft knows. Raises
    NetlinkError.
    """
    there = _counts(nl, version, table)
    for name in {*there, *found}:
        if name not in _TABLES or b"# Table `%s' is incompatible" % name.encode() in text:
            continue
        kernel = there.get(name, {})
        printed = {one: len(of) - 1 for one, of in found.get(name, {}).items() if len(of) > 1}
        if kernel != printed:
            hooked = _hooked(nl, version, name) - set(found.get(name, ()))
            if {one: of for one, of in kernel.items() if one not in hooked} != printed:
                return name
    return ""


def is_done(nl: Netfilter, version: int, changes: Changes, found: Ruleset) -> bool:
    """Whether iptables-nft has made these changes of what was found, in the chains they name.

    Raises NetlinkError.
    """
    there = _counts(nl, version, "")
    return all(
        there.get(table, {}).get(chain, 0) == count
        for table, commands in changes.items()
        for chain, count in _after(commands, found.get(table, {})).items()
    )


def by_number(changes: Changes, found: Ruleset) -> Changes:
    """The same changes, but that a rule of CNI's chains is deleted by its number there.

    For a rule that iptables prints as another but does not take for it: it was laid down by an
    older revision of an extension, because the kernel could not be asked for a newer.
    """
    from hostnet.iptables import same
    from hostnet.iptables_batch import apply

    numbered: dict[str, list[str]] = {}
    for table, commands in changes.items():
        chains = {name: [*rules] for name, rules in found.get(table, {}).items()}
        numbered[table] = []
        for command in commands:
            how, chain, rule = (*command.split(" ", 2), "", "")[:3]
            rules = chains.get(chain, [])
            at = next((n for n, one in enumerate(rules) if n and same(one, rule)), 0)
            ours = how == "-D" and chain.startswith("CNI-") and at
            numbered[table].append(f"-D {chain} {at}" if ours else command)
            apply(chains, command)
    return numbered


def _after(commands: list[str], found: Chains) -> dict[str, int]:
    """How many rules the chains have that iptables commands name, when they are carried out."""
    counts: dict[str, int] = {}
    for command in commands:
        how, chain, *_ = (
            ("-N", *command[1:].split(" ")) if command[0] == ":" else command.split(" ")
        )
        before = counts.get(chain, len(found.get(chain, "-")) - 1)
        step = {"-A": 1, "-I": 1, "-D": -1}.get(how)
        counts[chain] = 0 if step is None else before + step
    return counts


def _counts(nl: Netfilter, version: int, table: str) -> dict[str, dict[str, int]]:
    """By table and chain, how many rules there are; chains without any are not among them."""
    payload = header(FAMILY[version]) + (attr_str(RULE_TABLE, table) if table else b"")
    try:
        answers = nl.dump(GETRULE, payload, f"count the rules of {FAMILY[version]}tables")
    except NetlinkError as error:
        if error.errno in _ABSENT:
            return {}
        raise
    heads: dict[bytes, int] = {}
    for _type, body in answers:
        # Table and chain come first, so equal beginnings are parsed but once.
        end = 4
        for _attribute in range(2):
            end += (int.from_bytes(body[end : end + 2], sys.byteorder) + 3) & ~3
        heads[body[4:end]] = heads.get(body[4:end], 0) + 1
    found: dict[str, dict[str, int]] = {}
    for head, count in heads.items():
        attrs = parse(head)
        found.setdefault(to_str(attrs[RULE_TABLE]), {})[to_str(attrs[RULE_CHAIN])] = count
    return found


def _hooked(nl: Netfilter, version: int, table: str) -> set[str]:
    """The base chains of a table. iptables leaves out those that are not its own."""
    found = {one.name for one in base_chains(nl, FAMILY[version]) if one.table == table}
    return found - {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
