"""Many edits of iptables' rules at once: each program runs once for all, and not once for each.

A host with a thousand containers needs that when it has lost its rules: an iptables-save and an
iptables-restore take some ten milliseconds each, and longer with each container that is there.
"""

from __future__ import annotations

from hostnet import condition, iptables
from hostnet.condition import Owners
from hostnet.iptables import Tool, same
from hostnet.iptables_look import FAMILY, Marker
from hostnet.lock import NamespaceLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from hostnet.iptables import Chains, Changes, Ruleset

    Key = tuple[int, str]

_BUILT_IN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
}
"""The kernel's chains of the tables that we use, which a host may not have yet."""


class Batch:
    """`with Batch() as batch:` edits in the body are planned on what the ones before left.

    None is carried out before `commit`, nor if it is not called. owners: whose they are. If any of
    them has gone before the commit, there is none. Of the whole process, as `nfbatch`.
    """

    __slots__ = ("_before", "_changes", "_found", "_now", "owners")

    def __init__(self) -> None:
        self._before: dict[Key, Ruleset] = {}
        self._now: dict[Key, Ruleset] = {}
        self._changes: dict[Key, dict[str, list[str]]] = {}
        self.owners = Owners()
        self._found: dict[object, bool] = {}

    def __enter__(self) -> Batch:
        iptables.batches.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self in iptables.batches:
            iptables.batches.remove(self)

    def save(self, tool: Tool) -> Ruleset:
        """The rules as the edits so far leave them."""
        key = tool.version, tool.variant
        if key not in self._now:
            self._before[key] = tool.list_all()
            self._now[key] = _copy(self._before[key])
            for table, names in _BUILT_IN.items():
                self._now[key].setdefault(table, {name: ["ACCEPT"] for name in names})
        return self._now[key]

    def edit(self, tools: Iterable[Tool], plan: Callable[[Tool, Ruleset], Changes]) -> bool:
        """As `iptables.edit`."""
        changed = False
        for tool in tools:
            changes = plan(tool, self.save(tool))
            key = tool.version, tool.variant
            for table, commands in changes.items():
                if commands:
                    condition.require(
                        f"change the rules of {FAMILY[tool.version]}tables", gathers=True
                    )
                    changed = True
                    chains = self._now[key].setdefault(table, {})
                    for command in commands:
                        apply(chains, command)
                    self._changes.setdefault(key, {}).setdefault(table, []).extend(commands)
        return changed

    def once(self, what: object, look: Callable[[], bool]) -> bool:
        """What this look finds; it is taken once for all edits."""
        if what not in self._found:
            self._found[what] = look()
        return self._found[what]

    def note(self, what: object) -> None:
        """From now on `once` finds that this is so."""
        self._found[what] = True

    def commit(self) -> bool:
        """Carry them out; False where the rules have been changed since they were read, or an
        owner has gone: plan them anew then.

        Ends the batch. Raises IptablesError, LockTimeout.
        """
        iptables.batches.remove(self)
        if not self._changes:
            return True
        try:
            return self._commit()
        finally:
            self.owners.take_back()

    def _commit(self) -> bool:
        with NamespaceLock() as lock, Marker() as marker:
            inherited = lock.fileno(), marker.fileno()
            tools = {key: Tool(*key) for key in self._changes}
            if any(tool.list_all(inherited) != self._before[key] for key, tool in tools.items()):
                return False
            if self.owners.any_gone():
                return False
            for key, tool in tools.items():
                tool.restore(self._changes[key], inherited)
        return True


def _copy(found: Ruleset) -> Ruleset:
    return {table: {name: [*rules] for name, rules in of.items()} for table, of in found.items()}


def apply(chains: Chains, command: str) -> None:
    """Do to the rules what iptables-restore would do."""
    if command.startswith(":"):
        chains[command[1:].split(" ", 1)[0]] = ["-"]
        return
    how, chain, *rest = command.split(" ", 2)
    rule = rest[0] if rest else ""
    rules = chains.setdefault(chain, ["-"])
    if how == "-A":
        rules.append(rule)
    elif how == "-I":
        number, _, other = rule.partition(" ")
        at, rule = (int(number), other) if number.isdecimal() else (1, rule)
        rules.insert(at, rule)
    elif how == "-D":
        found = next((n for n, one in enumerate(rules) if n and same(one, rule)), 0)
        if found:
            del rules[found]
    elif how == "-F":
        del rules[1:]
    elif how == "-X":
        del chains[chain]


def once(what: object, look: Callable[[], bool]) -> bool:
    """What a look of the host finds, in a batch taken once. what: names it."""
    return iptables.batches[0].once(what, look) if iptables.batches else look()


def is_noted(what: object) -> bool:
    """Whether this was noted before in a batch."""
    return once(what, lambda: False)


def note(what: object) -> None:
    """Note that this is so, in a batch."""
    for batch in iptables.batches:
        batch.note(what)


def is_first(what: object) -> bool:
    """Whether this is asked for the first time in a batch; always true without one."""
    seen = is_noted(what)
    note(what)
    return not seen
