"""`ipMasq` by iptables: the reference's chains and rules, a few of them for each container.

    POSTROUTING  -s 10.1.0.2/32 "name: …" -j CNI-623e1c38…          one for each address
    CNI-623e1c38…  -d 10.1.0.0/24 "name: …" -j ACCEPT               its own subnet
                 ! -d 224.0.0.0/4 "name: …" -j MASQUERADE           all else but multicast
                   -s 10.1.0.2/32 -d 10.1.0.0/24 "net/c1/eth0"      whose it is: counts, no more

The chain is the container's on its network and not the attachment's: the reference's interfaces of
one container share it, and its DEL of one takes the others' masquerade away. The last rule, which
only multicast gets to, keeps them apart.
"""

from __future__ import annotations

from hostnet.iptables import Tool, edit, leads_to, option, same, words
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni import ip
    from hostnet.iptables import Changes, Ruleset
    from hostnet.iptables_look import Here

TABLE = "nat"
_HOOK = "POSTROUTING"
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


def add(owner: str, addresses: Iterable[ip.Interface]) -> bool:
    """Masquerade exactly these addresses for the owner, each with its subnet.

    False where all was so already. Raises IptablesError, LockTimeout.
    """
    wanted = _wanted(addresses)

    def plan(tool: Tool, found: Ruleset) -> Changes:
        return {TABLE: _Chain.of(owner, tool.version, found).giving(owner, wanted[tool.version])}

    return edit([Tool(version) for version, of in wanted.items() if of], plan, TABLE)


def remove(places: Iterable[tuple[int, str]], owner: str) -> None:
    """Take back what the owner has, whichever suite laid it down.

    places: where the container has a chain, see `Here.with_chain`. What the reference laid down
    goes for all interfaces of the container on this network, as it goes with the reference.
    Raises IptablesError, LockTimeout.
    """
    name = _chain_name(owner)

    def plan(tool: Tool, found: Ruleset) -> Changes:
        return {TABLE: _Chain(name, tool.version, found).without({xtables.label(owner)})}

    edit([Tool(*one) for one in places], plan, TABLE, name)


def remove_strangers(here: Here, network: str, keep: Iterable[str]) -> None:
    """Take back what owners on this network have that are not among `keep` (whole names).

    Raises IptablesError, LockTimeout.
    """
    valid = list(keep)
    labels = {xtables.label(one) for one in valid}
    chains = {_chain_name(one) for one in valid}

    def plan(tool: Tool, found: Ruleset) -> Changes:
        commands: list[str] = []
        for name in found.get(TABLE, {}):
            if not _is_chain(name):
                continue
            chain = _Chain(name, tool.version, found)
            stale = {one for one in chain.labels if xtables.is_of(one, network)} - labels
            if stale or (name not in chains and not chain.labels and chain.is_of(network)):
                commands += chain.without(stale)
        return {TABLE: commands}

    tools = [Tool(*one) for one in here.with_table(TABLE)]
    if tools:
        edit(tools, plan, TABLE)


def problems(owner: str, addresses: Iterable[ip.Interface]) -> Iterator[str]:
    """What `add` of the same would have to change, in words. Raises IptablesError."""
    for version, wanted in _wanted(addresses).items():
        if wanted:
            found = Tool(version).save(TABLE)
            yield from _Chain.of(owner, version, found).lacking(owner, wanted)


def _wanted(addresses: Iterable[ip.Interface]) -> dict[int, list[tuple[str, str]]]:
    """By IP version: the address and its subnet as iptables prints them."""
    found: dict[int, list[tuple[str, str]]] = {4: [], 6: []}
    for one in addresses:
        if one.network.prefixlen:  # else nothing is outside its subnet
            pair = f"{one.ip}/{one.max_prefixlen}", str(one.network)
            if pair not in found[one.version]:
                found[one.version].append(pair)
    return found


def _chain_name(owner: str) -> str:
    network, container, _ = owner.split("/")
    return xtables.chain(network, container)


def _is_chain(name: str) -> bool:
    """Whether it is a container's: `CNI-` and 24 digits."""
    digits = name.removeprefix("CNI-")
    return digits != name and len(digits) == 24 and not digits.strip("0123456789abcdef")


class _Chain:
    """A container's chain and what leads to it, as they were found.

    jumps: rules of the hook that lead to it. subnets: those it lets be, by the rule. owned:
    (label, address, subnet) of the rules that say whose what is.
    """

    __slots__ = ("_comment", "_version", "exists", "jumps", "name", "owned", "rules", "subnets")

    def __init__(self, name: str, version: int, found: Ruleset) -> None:
        chains = found.get(TABLE, {})
        self.name = name
        self._version = version
        self._comment = ""
        self.exists = name in chains
        self.rules = chains.get(name, [])[1:]
        self.jumps = [one for one in chains.get(_HOOK, [])[1:] if leads_to(one, name)]
        self.subnets: dict[str, str] = {}
        self.owned: dict[str, tuple[str, str, str]] = {}
        for rule in self.rules:
            if rule.endswith("-j ACCEPT"):
                self.subnets[rule] = option(words(rule), "-d")
                continue
            of = words(rule)
            label, address, subnet = (option(of, one) for one in ("--comment", "-s", "-d"))
            if "/" in label and address and "-j" not in of:
                self.owned[rule] = label, address, subnet

    @classmethod
    def of(cls, owner: str, version: int, found: Ruleset) -> _Chain:
        """The chain of the owner's container, to be written to."""
        network, container, _ = owner.split("/")
        chain = cls(_chain_name(owner), version, found)
        chain._comment = xtables.comment(f'name: "{network}" id: "{container}"')
        return chain

    @property
    def labels(self) -> set[str]:
        return {label for label, _address, _subnet in self.owned.values()}

    def is_of(self, network: str) -> bool:
        """Whether the reference's comments say that it is this network's."""
        start = f'name: "{network}" id: "'
        return any(xtables.commented(one).startswith(start) for one in (*self.rules, *self.jumps))

    def giving(self, owner: str, wanted: list[tuple[str, str]]) -> list[str]:
        """The commands that make exactly these addresses the owner's, none where they are.

        The chain is laid down anew, since the order of its rules counts.
        """
        rules, jumps = self._target(owner, wanted)
        commands: list[str] = []
        if len(rules) != len(self.rules) or not all(map(same, rules, self.rules)):
            commands = [f":{self.name} - [0:0]", *(f"-A {self.name} {one}" for one in rules)]
        commands += [f"-D {_HOOK} {one}" for one in self.jumps if not _among(one, jumps)]
        return commands + [f"-A {_HOOK} {one}" for one in jumps if not _among(one, self.jumps)]

    def lacking(self, owner: str, wanted: list[tuple[str, str]]) -> Iterator[str]:
        """What is not as `giving` makes it, or as the reference does, in words."""
        where = f"chain {self.name} of the iptables table {TABLE}"
        if not self.exists:
            yield f"{', '.join(one for one, _ in wanted)} is not masqueraded: {where} is missing"
            return
        rules, jumps = self._target(owner, wanted)
        if self.rules and not self.labels:
            # Nothing of ours is in it: the reference's, which says of no rule whose it is.
            rules = [one for one in rules if " -j " in one]
        for rule in rules:
            if not _among(rule, self.rules):
                yield f"{where} lacks `{rule}`"
        for rule in self.rules:
            if not _among(rule, rules):
                yield f"{where} has `{rule}` and should not"
        for jump in jumps:
            if not _among(jump, self.jumps):
                yield f"chain {_HOOK} of the iptables table {TABLE} lacks `{jump}`"

    def _target(self, owner: str, wanted: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
        """The rules of the chain and those of the hook, as they are to be."""
        label = xtables.label(owner)
        owned = [one for one in self.owned.values() if one[0] != label]
        owned += [(label, *pair) for pair in wanted]
        mine = {address for of, address, _ in self.owned.values() if of == label}
        # What is nobody's is the reference's, of another interface perhaps.
        kept = [one for one in self.jumps if option(words(one), "-s") not in mine]
        subnets = {subnet for _label, _address, subnet in owned}
        if self._unowned():
            subnets.update(self.subnets.values())
        multicast = _MULTICAST[self._version]
        rules = [f"-d {subnet} {self._comment} -j ACCEPT" for subnet in sorted(subnets)]
        rules.append(f"! -d {multicast} {self._comment} -j MASQUERADE")
        rules += [f"-s {one} -d {subnet} {xtables.comment(of)}" for of, one, subnet in owned]
        jumps = {option(words(one), "-s"): one for one in kept}
        for _label, address, _subnet in owned:
            jumps.setdefault(address, f"-s {address} {self._comment} -j {self.name}")
        return rules, list(jumps.values())

    def without(self, labels: set[str]) -> list[str]:
        """The commands that take away what these labels have, and the chain with the last.

        A chain in which nothing says whose it is goes whole: it is the reference's.
        """
        mine = {rule: one for rule, one in self.owned.items() if one[0] in labels}
        others = [one for rule, one in self.owned.items() if rule not in mine]
        if not others and not (mine and self._unowned()):
            commands = [f"-D {_HOOK} {one}" for one in self.jumps]
            return commands + ([f"-F {self.name}", f"-X {self.name}"] if self.exists else [])
        commands = [f"-D {self.name} {rule}" for rule in mine]
        gone = {address for _, address, _ in mine.values()} - {one for _, one, _ in others}
        commands += [f"-D {_HOOK} {one}" for one in self.jumps if option(words(one), "-s") in gone]
        if mine and not self._unowned():
            kept = {subnet for _, _, subnet in others}
            commands += [
                f"-D {self.name} {rule}" for rule, one in self.subnets.items() if one not in kept
            ]
        return commands

    def _unowned(self) -> bool:
        """Whether it masquerades addresses that no rule says an owner of."""
        known = {address for _, address, _ in self.owned.values()}
        return any(option(words(one), "-s") not in known for one in self.jumps)


def _among(rule: str, rules: Iterable[str]) -> bool:
    return any(same(rule, one) for one in rules)
