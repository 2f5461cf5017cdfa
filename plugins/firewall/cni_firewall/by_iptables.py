"""The iptables backend: the reference's chains and rules in the table filter.

    FORWARD                -j CNI-ISOLATION-STAGE-1, -j CNI-FORWARD
    CNI-FORWARD            -j CNI-ADMIN
                           -d 10.1.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
                           -s 10.1.0.2/32 -j ACCEPT
                           -d 10.1.0.2/32 -m conntrack --ctstate DNAT -j ACCEPT      published ports
    CNI-ISOLATION-STAGE-1  -i cni0 ! -o cni0 -j CNI-ISOLATION-STAGE-2, -j RETURN
                           -i cni0 -o cni0 -j DROP                                   isolated
    CNI-ISOLATION-STAGE-2  -o cni0 -j DROP, -j RETURN

The reference's rules name nobody, so its DEL needs the previous result, and what keeps networks
apart stays for ever. Beside them we have a chain for each attachment that nothing jumps to, so that
it costs packets nothing: it says which addresses are the attachment's, and on which bridge.

    CNI-FW-0123…  -s 10.1.0.2/32 -i cni0 "net/c1/eth0"      with -o cni0 too, where it is isolated
"""

from __future__ import annotations

from cni_firewall.guarded import ALONE, APART
from hostnet.iptables import Tool, edit, leads_to, option, same, words
from hostnet.iptables_look import FAMILY, LEGACY, Blob
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni_firewall.config import Config
    from cni_firewall.guarded import Guarded
    from hostnet.iptables import Chains, Changes, Ruleset
    from hostnet.iptables_look import Here
    from hostnet.netfilter import Netfilter

    Place = tuple[int, str]
    Note = tuple[str, str, str, str]

TABLE = "filter"
FORWARD, STAGE1, STAGE2 = "CNI-FORWARD", "CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"
_HOOK = "FORWARD"
_JUMP = f"{xtables.comment('CNI firewall plugin rules')} -j {FORWARD}"


def _isolation(policy: str) -> str:
    """The comment of a rule that keeps apart.

    Not to the letter the reference's, whose rules its containers on the same bridge rely on.
    """
    return xtables.comment(f"CNI firewall plugin rules (ingressPolicy: {policy}; pycni)")


def _accepting(address: str) -> list[str]:
    """The rules of CNI-FORWARD for an address; the first two are the reference's."""
    return [
        f"-d {address} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-s {address} -j ACCEPT",
        f"-d {address} -m conntrack --ctstate DNAT -j ACCEPT",
    ]


def _separating(bridge: str) -> list[tuple[str, str]]:
    """Chain and rule of what keeps a bridge apart from others."""
    comment = _isolation("same-bridge")
    return [
        (STAGE1, f"-i {bridge} ! -o {bridge} {comment} -j {STAGE2}"),
        (STAGE2, f"-o {bridge} {comment} -j DROP"),
    ]


def _isolating(bridge: str) -> tuple[str, str]:
    """Chain and rule of what keeps a bridge's containers apart from each other."""
    return STAGE1, f"-i {bridge} -o {bridge} {_isolation('isolated')} -j DROP"


class _State:
    """The table filter as it was found, and the commands that make it another."""

    __slots__ = ("chains", "commands")

    def __init__(self, found: Ruleset) -> None:
        self.chains: Chains = {**found.get(TABLE, {})}
        self.commands: list[str] = []

    def notes(self) -> dict[str, list[Note]]:
        """What the chains of attachments note, by chain."""
        return {
            name: [_note(rule) for rule in of[1:]]
            for name, of in self.chains.items()
            if name.startswith(xtables.OWN_PREFIX)
        }

    def has(self, chain: str, rule: str) -> bool:
        of = self.chains.get(chain, [""])
        return rule in of or any(same(rule, one) for one in of[1:])

    def create(self, *chains: str) -> None:
        for name in chains:
            if name not in self.chains:
                self.commands.append(f":{name} - [0:0]")
                self.chains[name] = ["-"]

    def append(self, chain: str, rule: str) -> None:
        if not self.has(chain, rule):
            self.commands.append(f"-A {chain} {rule}")
            self.chains[chain] = [*self.chains[chain], rule]

    def insert(self, chain: str, rule: str, at: int = 1) -> None:
        """In front of the rule with this number, which counts from 1."""
        if not self.has(chain, rule):
            self.commands.append(f"-I {chain} {at} {rule}")
            of = self.chains[chain]
            self.chains[chain] = [*of[:at], rule, *of[at:]]

    def delete(self, chain: str, rule: str) -> None:
        """All rules of the chain that are the same."""
        of = self.chains.get(chain, [""])
        gone = [one for one in of[1:] if same(rule, one)]
        self.commands += (f"-D {chain} {one}" for one in gone)
        if gone:
            self.chains[chain] = [*of[:1], *(one for one in of[1:] if one not in gone)]

    def jump(self, chain: str, to: str, rule: str, behind: str = "") -> None:
        """Let a chain jump to another first of all, or behind its jump to a third."""
        of = self.chains.get(chain, [""])
        if not any(leads_to(one, to) for one in of[1:]):
            at = next((n for n, one in enumerate(of) if behind and leads_to(one, behind)), 0)
            self.insert(chain, rule, at + 1)

    def remove(self, names: Iterable[str]) -> None:
        """Take away what these chains of attachments note, unless others note it too."""
        gone: list[Note] = []
        for name in names:
            if name in self.chains:
                self.commands += [f"-F {name}", f"-X {name}"]
                gone += (_note(rule) for rule in self.chains.pop(name)[1:])
        if not gone:
            return
        left = [note for notes in self.notes().values() for note in notes]
        addresses = {note[0] for note in left}
        bridges, isolated = {note[1] for note in left}, {note[2] for note in left}
        for address, bridge, alone, _label in gone:
            if address and address not in addresses:
                for rule in _accepting(address):
                    self.delete(FORWARD, rule)
            if bridge and bridge not in bridges:
                for chain, rule in _separating(bridge):
                    self.delete(chain, rule)
            if alone and alone not in isolated:
                self.delete(*_isolating(alone))


def _note(rule: str) -> Note:
    """Address, bridge that is kept apart, bridge whose containers are, and label."""
    found = words(rule)
    return (
        option(found, "-s"),
        option(found, "-i"),
        option(found, "-o"),
        option(found, "--comment"),
    )


def _noted(owner: str, one: Guarded) -> str:
    address = f"-s {_shown(one)} " if one.address is not None else ""
    bridge = f"-i {one.bridge} " if one.flags & APART else ""
    alone = f"-o {one.bridge} " if one.flags & ALONE else ""
    return f"{address}{bridge}{alone}{xtables.comment(xtables.label(owner))}"


def _shown(one: Guarded) -> str:
    return f"{one.address}/{one.address.max_prefixlen}" if one.address is not None else ""


def _versions(wanted: Iterable[Guarded]) -> dict[int, list[Guarded]]:
    """By IP version; a container without addresses is kept apart in both."""
    found: dict[int, list[Guarded]] = {}
    for one in wanted:
        for version in FAMILY:
            if one.address is None or one.address.version == version:
                found.setdefault(version, []).append(one)
    return found


def give(owner: str, config: Config, wanted: list[Guarded]) -> bool:
    """Let exactly these through for the owner; whether anything changed.

    Raises IptablesError, LockTimeout.
    """
    by_version = _versions(wanted)

    def plan(tool: Tool, found: Ruleset) -> Changes:
        return {TABLE: _giving(owner, config, by_version[tool.version], found)}

    return edit([Tool(version) for version in by_version], plan, TABLE)


def _giving(owner: str, config: Config, wanted: list[Guarded], found: Ruleset) -> list[str]:
    state = _State(found)
    name = xtables.own_chain(owner)
    rules = [_noted(owner, one) for one in wanted]
    there = state.chains.get(name, [])[1:]
    if len(there) != len(rules) or not all(map(same, there, rules)):
        state.remove([name])
        state.create(name)
        for rule in rules:
            state.append(name, rule)
    admin = config.admin_chain
    state.create(FORWARD, admin)
    state.jump(_HOOK, FORWARD, _JUMP, behind=STAGE1)
    comment = xtables.comment("CNI firewall plugin admin overrides")
    state.jump(FORWARD, admin, f"{comment} -j {admin}")
    for one in wanted:
        for rule in _accepting(_shown(one)) if one.address is not None else ():
            state.append(FORWARD, rule)
        if one.flags & APART:
            _keep_apart(state, one)
    return state.commands


def _keep_apart(state: _State, one: Guarded) -> None:
    comment = _isolation("same-bridge")
    state.create(STAGE1, STAGE2)
    state.jump(_HOOK, STAGE1, f"{comment} -j {STAGE1}")
    for chain in (STAGE1, STAGE2):
        if not any(rule.endswith("-j RETURN") for rule in state.chains[chain][1:]):
            state.append(chain, f"{comment} -j RETURN")
    for chain, rule in _separating(one.bridge):
        state.insert(chain, rule)
    if one.flags & ALONE:
        state.insert(*_isolating(one.bridge))


def remove(places: Iterable[Place], owner: str) -> None:
    """Take back what the owner has; places: where it has a chain. Raises as `give`."""
    chain = xtables.own_chain(owner)

    def plan(_tool: Tool, found: Ruleset) -> Changes:
        state = _State(found)
        state.remove([chain])
        return {TABLE: state.commands}

    tools = [Tool(*one) for one in places]
    if tools:
        edit(tools, plan, TABLE, chain)


def remove_strangers(here: Here, network: str, keep: Iterable[str]) -> None:
    """Take back what owners on this network have that are not among `keep` (whole names).

    Raises as `give`.
    """
    kept = {xtables.own_chain(one) for one in keep}

    def plan(_tool: Tool, found: Ruleset) -> Changes:
        state = _State(found)
        gone = [
            name
            for name, notes in state.notes().items()
            if name not in kept and any(xtables.is_of(note[3], network) for note in notes)
        ]
        if gone:
            state.remove(gone)
        return {TABLE: state.commands}

    tools = [Tool(*one) for one in here.with_table(TABLE)]
    if tools:
        edit(tools, plan, TABLE)


def remove_unnamed(nl: Netfilter | None, places: Iterable[Place], addresses: Iterable[str]) -> None:
    """Take away the reference's rules for these addresses, which say nobody's.

    places: where its chain is. Not those that one of our attachments has. Raises as `give`,
    NetlinkError, OSError.
    """
    wanted = list(addresses)
    tools = [Tool(*one) for one in places if _mentions(nl, one, wanted)]

    def plan(_tool: Tool, found: Ruleset) -> Changes:
        state = _State(found)
        known = {note[0] for notes in state.notes().values() for note in notes}
        for address in wanted:
            if address not in known:
                for rule in _accepting(address)[:2]:
                    state.delete(FORWARD, rule)
        return {TABLE: state.commands}

    if tools:
        edit(tools, plan, TABLE)


def _mentions(nl: Netfilter | None, place: Place, addresses: Iterable[str]) -> bool:
    """Whether a rule of CNI-FORWARD may be about one of the addresses, by its bytes."""
    from ipaddress import ip_address

    from hostnet.nfchain import NfChain, rules

    version, kind = place
    packed = [ip_address(one.partition("/")[0]) for one in addresses]
    needles = [one.packed for one in packed if one.version == version]
    if not needles:
        return False
    if kind == LEGACY:
        data = Blob(version, TABLE).data
        return any(one in data for one in needles)
    if nl is None:
        return False
    chain = NfChain(FAMILY[version], TABLE, FORWARD)
    return any(needle in rule for rule in rules(nl, chain) for needle in needles)


def problems(owner: str, config: Config, wanted: list[Guarded]) -> Iterator[str]:
    """What `give` of the same would have to change, in words. Raises IptablesError.

    Nothing where the reference guards it, whose rules do the same, but for what was published.
    """
    for version, of in _versions(wanted).items():
        found = Tool(version).save(TABLE)
        if _is_guarded_by_reference(owner, config, of, found.get(TABLE, {})):
            continue
        for command in _giving(owner, config, of, found):
            how, _, rest = command.partition(" ")
            chain, _, rule = rest.partition(" ")
            where = f"of the {FAMILY[version]}tables table {TABLE}"
            if how == "-A":
                yield f"chain {chain} {where} lacks `{rule}`"
            elif how == "-I":
                yield f"chain {chain} {where} lacks `{rule.partition(' ')[2]}`"
            elif how == "-D":
                yield f"chain {chain} {where} has `{rule}` and should not"
            elif how.startswith(":"):
                yield f"chain {how[1:]} {where} is missing"


def _is_guarded_by_reference(
    owner: str, config: Config, wanted: list[Guarded], chains: Chains
) -> bool:
    """Whether all that the reference lays down for these is there, and nothing of ours is."""
    admin = config.admin_chain
    jumps = [(_HOOK, FORWARD), (FORWARD, admin)]
    rules: list[tuple[str, str]] = []
    for one in wanted:
        if one.address is not None:
            *theirs, ours = _accepting(_shown(one))
            if any(same(ours, each) for each in chains.get(FORWARD, ())):
                return False
            rules += ((FORWARD, each) for each in theirs)
        if one.flags & APART:
            jumps.append((_HOOK, STAGE1))
            rules += _separating(one.bridge)
        if one.flags & ALONE:
            rules.append(_isolating(one.bridge))
    return (
        xtables.own_chain(owner) not in chains
        and all(any(leads_to(one, to) for one in chains.get(chain, ())) for chain, to in jumps)
        and all(
            any(_bare(rule) == _bare(one) for one in chains.get(chain, ())) for chain, rule in rules
        )
    )


def _bare(rule: str) -> list[str]:
    """A rule's words without its comment, in which the suites differ."""
    found = words(rule)
    if "--comment" in found:
        at = found.index("--comment")
        del found[at - 1 : at + 2]
    return sorted(found)
