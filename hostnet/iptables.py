"""iptables, for hosts that live by it: rules read at once, changed at once.

There are two of them, iptables-nft and iptables-legacy, and a host may have rules in both. They are
read and changed through the programs `iptables-save` and `iptables-restore`, once each for an IP
version, since neither the kernel's blobs nor the expressions that nft's compatibility layer uses
are an interface. Whether there is anything to change is asked without them (`iptables_look`).

Two processes that edit at once are kept apart by the lock of the namespace. The programs inherit
it, so that when this process is killed while its child goes on, whoever cleans up after it waits.
"""

from __future__ import annotations

import errno
import time

from hostnet import condition
from hostnet.iptables_look import FAMILY, NFT, Marker
from hostnet.lock import NamespaceLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import TypeAlias

    from hostnet.iptables_batch import Batch

    Chains: TypeAlias = dict[str, list[str]]
    Ruleset: TypeAlias = dict[str, Chains]
    Changes: TypeAlias = Mapping[str, list[str]]

WAIT_SECONDS = 10
batches: list[Batch] = []
"""One that is under way, see `iptables_batch`."""
_SHOWN = 500


class IptablesError(OSError):
    """iptables is missing or refused; `words` is what it says."""

    def __init__(self, code: int, what: str, words: str) -> None:
        super().__init__(code, words)
        self.what = what
        self.words = words

    def __str__(self) -> str:
        return f"cannot {self.what}: {self.words}"


class Tool:
    """The iptables of one IP version. variant: NFT or LEGACY, empty for the host's own choice."""

    __slots__ = ("_name", "variant", "version")

    def __init__(self, version: int, variant: str = "") -> None:
        self.version = version
        self.variant = variant
        self._name = f"{FAMILY[version]}tables"

    def save(self, table: str = "", inherited: tuple[int, ...] = ()) -> Ruleset:
        """The rules by table and chain, as iptables-save prints them; of one table or all.

        A chain of the kernel has its policy for its first entry, other chains have "-".
        inherited: descriptors for the program to have. Raises IptablesError.
        """
        if batches:
            return batches[0].save(self)
        return self._list(("-t", table) if table else (), inherited)

    def list_all(self, inherited: tuple[int, ...] = ()) -> Ruleset:
        """As `save`, whether or not a batch is under way."""
        return self._list((), inherited)

    def _list(self, args: tuple[str, ...], inherited: tuple[int, ...]) -> Ruleset:
        """Read until nothing is left out that is there, see `iptables_whole`.

        Between a list and its count others may have made a change; such an attempt proves nothing.
        """
        from hostnet import iptables_whole, netfilter

        what = f"list the rules of {self._name}"
        table = args[1] if args else ""
        nft = self._is_nft
        warned, generation = False, -1
        attempts, deadline = 0, time.monotonic() + WAIT_SECONDS
        while True:
            text, said = self._run("save", args, b"", what, inherited)
            found = parse(text.decode(errors="surrogateescape"))
            if not nft:
                return found
            if iptables_whole.UNASKED in said and not warned:
                warned = True
                attempts += 1
                continue
            with netfilter.Netfilter.open() as nl:
                strange = iptables_whole.strange_table(nl, self.version, table, found, text)
                if not strange:
                    return found
                before, generation = generation, nl.generation()
            if before in (-1, generation):
                attempts += 1
                if attempts == iptables_whole.ATTEMPTS:
                    raise iptables_whole.PartialListError(self.version, strange)
            elif time.monotonic() > deadline:
                from hostnet.nfchange import ContentionError

                raise ContentionError(what, WAIT_SECONDS)

    def restore(self, changes: Changes, inherited: tuple[int, ...] = ()) -> None:
        """Carry out iptables commands (`-A CHAIN …`) by table, all of a table or none.

        Raises IptablesError.
        """
        lines: list[str] = []
        for table, commands in changes.items():
            lines += (f"*{table}", *commands, "COMMIT")
        data = ("\n".join(lines) + "\n").encode(errors="surrogateescape")
        args = ("--noflush", f"--wait={WAIT_SECONDS}")
        self._run("restore", args, data, f"change the rules of {self._name}", inherited)

    def has_done(self, changes: Changes, found: Ruleset) -> bool:
        """Whether `restore` has made all these changes of what was found. Raises NetlinkError."""
        if not self._is_nft:
            return True
        from hostnet import iptables_whole, netfilter

        with netfilter.Netfilter.open() as nl:
            return iptables_whole.is_done(nl, self.version, changes, found)

    @property
    def _is_nft(self) -> bool:
        from hostnet import iptables_whole

        found = self.variant or iptables_whole.kind_of(self._found("save", "use iptables"))
        return found == NFT

    def require(self) -> None:
        """Raise IptablesError unless the programs are installed."""
        self._found("save", "use iptables")
        self._found("restore", "use iptables")

    def _found(self, suffix: str, what: str) -> str:
        """The program; of an older or smaller host, where it has one name only."""
        names = (f"{self._name}-{self.variant}-{suffix}",) if self.variant else ()
        name = f"{self._name}-{suffix}"
        from hostnet import spawn

        path = spawn.find(*names, name)
        if not path:
            words = f"{name} is not installed; install iptables, or use nftables"
            raise IptablesError(errno.ENOENT, what, words)
        return path

    def _run(
        self, suffix: str, args: tuple[str, ...], data: bytes, what: str, inherited: tuple[int, ...]
    ) -> tuple[bytes, bytes]:
        """What the program printed, and what it said on stderr."""
        from hostnet import spawn

        path = self._found(suffix, what)
        status, output, words = spawn.run(path, args, data, inherited)
        if status:
            said = words.decode(errors="replace").strip().splitlines()
            shown = "; ".join(line for line in said if not line.startswith("Try "))[-_SHOWN:]
            code = errno.EPERM if "ermission denied" in shown else errno.EINVAL
            raise IptablesError(code, what, f"{path} says: {shown or f'exit status {status}'}")
        return output, words


def parse(text: str) -> Ruleset:
    """What iptables-save printed; see `Tool.save`. A rule is without its `-A CHAIN `."""
    found: Ruleset = {}
    chains: Chains = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = found.setdefault(line[1:], {})
        elif line.startswith(":"):
            chain, policy = line[1:].split(" ", 2)[:2]
            chains[chain] = [policy]
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2) if line.count(" ") > 1 else (*line.split(" "), "")
            chains.setdefault(chain, ["-"]).append(rule)
    return found


def words(rule: str) -> list[str]:
    """The words of a rule: what is in double quotes is one, a backslash quotes one character."""
    if '"' not in rule:
        return rule.split()
    found: list[str] = []
    word = ""
    inside = quoted = False
    letters = iter(rule)
    for letter in letters:
        if letter == "\\":
            word += next(letters, "")
        elif letter == '"':
            quoted, inside = True, not inside
        elif letter == " " and not inside:
            if word or quoted:
                found.append(word)
            word, quoted = "", False
        else:
            word += letter
    return [*found, word] if word or quoted else found


def quote(text: str) -> str:
    """A word as iptables-restore takes it and iptables-save prints it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def same(one: str, other: str) -> bool:
    """Whether two rules are the same but for the order of their words."""
    return one == other or sorted(words(one)) == sorted(words(other))


def leads_to(rule: str, chain: str) -> bool:
    """Whether the rule jumps to the chain."""
    return rule.endswith((f"-j {chain}", f"-g {chain}"))


def option(found: list[str], *names: str) -> str:
    """What follows one of these options in the words of a rule; empty where none is there."""
    for index, word in enumerate(found[:-1]):
        if word in names:
            return found[index + 1]
    return ""


def edit(
    tools: Collection[Tool],
    plan: Callable[[Tool, Ruleset], Changes],
    table: str = "",
    chain: str = "",
) -> bool:
    """Read, plan and change the rules of each, under the namespace's lock; whether any changed.

    All of it again where the programs have not done what they were told, see `iptables_whole`.
    plan: gives iptables commands by table, nothing for no change. table: the only one that it
    reads, empty for all. chain: one of it that each was seen to have, for who is to remove it.
    Raises IptablesError, NetlinkError, TimeoutError (11 for the runtime), what `plan` raises.
    """
    if batches:
        return batches[0].edit(tools, plan)
    from hostnet import iptables_whole

    with NamespaceLock() as lock, Marker() as marker:
        inherited = lock.fileno(), marker.fileno()
        partial, changed, numbered = 0, False, False
        for _attempt in range(iptables_whole.ATTEMPTS):
            partial = 0
            for tool, changes, found in _planned(tools, plan, table, chain, inherited):
                try:
                    done = iptables_whole.by_number(changes, found) if numbered else changes
                    tool.restore(done, inherited)
                except IptablesError as error:
                    if numbered or iptables_whole.NO_SUCH_RULE not in error.words:
                        raise
                    numbered, partial = True, tool.version
                    continue
                changed = True
                if not tool.has_done(changes, found):
                    partial = tool.version
            if not partial:
                return changed
    raise iptables_whole.PartialChangeError(partial)


def _planned(
    tools: Collection[Tool],
    plan: Callable[[Tool, Ruleset], Changes],
    table: str,
    chain: str,
    inherited: tuple[int, ...],
) -> list[tuple[Tool, Changes, Ruleset]]:
    """What is to be changed, and of what; all that may be refused is refused here."""
    wanted: list[tuple[Tool, Changes, Ruleset]] = []
    for tool in tools:
        found = tool.save(table, inherited)
        if chain and chain not in found.get(table, {}):
            _require_gone(tool, table, chain)
        changes = plan(tool, found)
        changes = {name: commands for name, commands in changes.items() if commands}
        if changes:
            wanted.append((tool, changes, found))
    for tool, _changes, _found in wanted:
        condition.require(f"change the rules of {FAMILY[tool.version]}tables")
    return wanted


def _require_gone(tool: Tool, table: str, chain: str) -> None:
    """Raise IptablesError where iptables-save has left a chain out, which the kernel still has.

    It does when it is short of memory, and exits with 0 (iptables 1.8.9).
    """
    from hostnet import netfilter
    from hostnet.iptables_look import Here

    nl = netfilter.find()
    try:
        there = Here(nl).with_chain(table, chain)
    finally:
        if nl is not None:
            nl.close()
    if (tool.version, tool.variant) in there:
        what = f"list the rules of {FAMILY[tool.version]}tables"
        words = f"iptables-save leaves out chain {chain} of the table {table}; call again"
        raise IptablesError(errno.EAGAIN, what, words)
