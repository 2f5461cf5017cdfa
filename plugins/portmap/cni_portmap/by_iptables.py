"""The iptables backend: one program reads and one changes the rules of an IP version, under a lock.

What the reference's names make of it: a chain for each container on a network, which its interfaces
share, so in it each rule says by a comment whose it is. Whose a host port is, is decided here as
with nftables: the first container's, until its last DEL.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, PORT_TAKEN, CniError
from cni_portmap import flows, iptables_rules, ownership
from cni_portmap.iptables_rules import DNAT, GUARD_TABLE, PREFIX, TABLE
from cni_portmap.plan import container_networks, shown
from cni_portmap.publish import localhost_link, planned, restore_localhost, route_localhost
from hostnet import netfilter
from hostnet.iptables import IptablesError, Tool, edit, leads_to, same
from hostnet.iptables_look import Here
from hostnet.nfowner import Owner
from hostnet.undo import Undo
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cni.call import Call
    from cni.result import Result
    from cni_portmap.config import Config
    from cni_portmap.tables import Published
    from hostnet.iptables import Chains, Changes, Ruleset
    from hostnet.netfilter import Netfilter

    Place = tuple[int, str]


class Chain:
    """A container's chain on a network and what leads to it, as they were found."""

    __slots__ = ("entries", "exists", "name", "rules", "version")

    def __init__(self, name: str, version: int, chains: Chains) -> None:
        self.name = name
        self.version = version
        self.exists = name in chains
        self.rules = chains.get(name, [])[1:]
        self.entries = [one for one in chains.get(DNAT, [])[1:] if leads_to(one, name)]

    def of(self, labels: set[str]) -> list[str]:
        """The rules of these owners."""
        return [one for one in self.rules if iptables_rules.owner_of(one) in labels]

    @property
    def labels(self) -> set[str]:
        """Whose rules there are: labels, and an empty one for the reference's."""
        return {iptables_rules.owner_of(one) for one in self.rules}

    def published(self, rules: Iterable[str]) -> list[Published]:
        """The ports that rules publish."""
        found = (iptables_rules.published(one, self.version) for one in rules)
        return [one for one in found if one is not None]

    def leaving(self, labels: set[str]) -> list[str]:
        """The rules that go when these owners do: all, with the last of them.

        Those in which nothing says whose they are, are the reference's: of one attachment of the
        container, or of several.
        """
        mine = self.of(labels)
        return self.rules if not self.labels - labels - ({""} if not mine else set()) else mine

    def without(self, rules: list[str]) -> list[str]:
        """The commands that take these rules away, with all that only they need."""
        left = [one for one in self.rules if one not in rules]
        if not left:
            commands = [f"-D {DNAT} {one}" for one in self.entries]
            return commands + ([f"-F {self.name}", f"-X {self.name}"] if self.exists else [])
        needed = {port for one in left for port in iptables_rules.ports_of(one)}
        commands = [f"-D {self.name} {one}" for one in rules]
        return commands + [
            f"-D {DNAT} {one}" for one in self.entries if not iptables_rules.ports_of(one) & needed
        ]

    def giving(self, owner: str, rules: list[str], entries: list[str]) -> list[str]:
        """The commands that make exactly these rules the owner's, none where they are."""
        mine = self.of({xtables.label(owner)})
        commands: list[str] = []
        if len(mine) != len(rules) or not all(map(same, mine, rules)):
            if not self.exists:
                commands.append(f":{self.name} - [0:0]")
            commands += [f"-D {self.name} {one}" for one in mine]
            commands += [f"-A {self.name} {one}" for one in rules]
        others = [one for one in self.rules if one not in mine]
        needed = {port for one in others for port in iptables_rules.ports_of(one)}
        kept = []
        for one in self.entries:
            if any(same(one, wanted) for wanted in entries):
                kept.append(one)
            elif not iptables_rules.ports_of(one) & needed:
                commands.append(f"-D {DNAT} {one}")
        commands += [
            f"-A {DNAT} {one}" for one in entries if not any(same(one, there) for there in kept)
        ]
        return commands


def add(call: Call, config: Config, result: Result) -> None:
    """Publish the config's ports. Raises CniError, OSError."""
    nl = netfilter.find()
    if nl is None:
        _add(nl, call, config, result)
        return
    with nl:
        _add(nl, call, config, result)


def _add(nl: Netfilter | None, call: Call, config: Config, result: Result) -> None:
    wanted = planned(config, result, call.ifname)
    new: list[Published] = []
    plan = _plan(call, config, result, wanted, new)
    if nl is not None:
        ownership.require_free(nl, Owner(call.owner), wanted)
    versions = {one.version for one in wanted}
    there = Here(nl).with_chain(TABLE, iptables_rules.chain_of(call.owner))
    versions.update(version for version, _ in there)
    with Undo() as undo:
        undo.push(_withdraw, nl, call.owner)
        try:
            edit([Tool(version) for version in sorted(versions)], plan)
        except CniError:
            undo.discard()  # Refused, so the attachment still has what it had before.
            raise
        except IptablesError as error:
            raise _with_condition(error, config) from error
        route_localhost(undo, config, wanted)
        if nl is not None:
            flows.forget_older(nl, new)


def restore(call: Call, config: Config, result: Result) -> bool:
    """Publish again what is lost of what `add` of the same has; whether any was.

    Nothing is undone when this fails: what is there is a running container's. Raises CniError,
    OSError.
    """
    wanted = planned(config, result, call.ifname)
    versions = {one.version for one in wanted}
    plan = _plan(call, config, result, wanted, [])
    changed = edit([Tool(version) for version in sorted(versions)], plan)
    return restore_localhost(config, wanted) or changed


def _plan(
    call: Call, config: Config, result: Result, wanted: list[Published], new: list[Published]
) -> Callable[[Tool, Ruleset], Changes]:
    """What makes the rules those of what is wanted. new: gets what was not published before."""
    networks = container_networks(result, call.ifname)
    subnets = {version: str(one) for version, one in networks.items()}

    def plan(tool: Tool, found: Ruleset) -> Changes:
        mine = [one for one in wanted if one.version == tool.version]
        chains = found.get(TABLE, {})
        chain = Chain(iptables_rules.chain_of(call.owner), tool.version, chains)
        before = chain.published(chain.of({xtables.label(call.owner)}))
        added = [one for one in mine if not any(same_port(one, other) for other in before)]
        if added:
            _require_free(call.owner, mine, chains, tool.version)
        new.extend(added)
        rules = iptables_rules.rules(config, call.owner, mine, subnets)
        entries = iptables_rules.entries(config, call.owner, mine, tool.version)
        commands = chain.giving(call.owner, rules, entries)
        guarded = any(localhost_link(config, one) for one in mine)
        return {
            GUARD_TABLE: iptables_rules.guard(found.get(GUARD_TABLE, {})) if guarded else [],
            TABLE: [*iptables_rules.shared(config, chains), *commands],
        }

    return plan


def same_port(one: Published, other: Published) -> bool:
    """Whether both lead from the same to the same."""
    return (one.key, one.host, one.container, one.container_port) == (
        *(other.key, other.host),
        *(other.container, other.container_port),
    )


def _with_condition(error: IptablesError, config: Config) -> CniError | IptablesError:
    """The error for a condition or a chain that iptables does not understand."""
    version = 6 if "ip6tables" in error.what else 4
    if config.conditions.get(version):
        return CniError(INVALID_CONFIG, f'key "conditionsV{version}": {error}')
    if config.mark_chain and config.mark_chain in error.words:
        return CniError(
            INVALID_CONFIG,
            f'key "externalSetMarkChain": found "{config.mark_chain}", expected a chain of the '
            f"table nat that exists: {error}",
        )
    return error


def require_free(places: Iterable[Place], owner: str, wanted: list[Published]) -> None:
    """Raise CniError(PORT_TAKEN) where another container has one of these ports by iptables.

    For who publishes them by nftables. places: where published ports are, see `Here.with_chain`.
    Raises IptablesError.
    """
    for version, kind in places:
        mine = [one for one in wanted if one.version == version]
        if mine:
            chains = Tool(version, kind).save(TABLE).get(TABLE, {})
            _require_free(owner, mine, chains, version)


def _require_free(owner: str, wanted: list[Published], chains: Chains, version: int) -> None:
    """Raise CniError(PORT_TAKEN) where another container has one of these ports."""
    container, own = owner.split("/")[1], iptables_rules.chain_of(owner)
    numbers = [f"--dport {one.host_port} " for one in wanted]
    for name, rules in chains.items():
        if len(rules) == 1 or not name.startswith(f"CNI-{PREFIX}") or name == own:
            continue
        for rule in rules[1:]:
            if not [number for number in numbers if number in rule]:
                continue
            other = iptables_rules.published(rule, version)
            taken = next((one for one in wanted if other and _overlap(one, other)), None)
            if other is not None and taken is not None:
                whose = _whose(rule, name, chains)
                if container not in whose[1:2]:
                    raise _taken(taken, other, whose)


def _overlap(one: Published, other: Published) -> bool:
    return one.key == other.key and (
        one.host is None or other.host is None or one.host == other.host
    )


def _whose(rule: str, name: str, chains: Chains) -> tuple[str, ...]:
    """(network, container, interface) of a rule, without the interface for the reference's."""
    label = iptables_rules.owner_of(rule)
    if label.count("/") == 2:
        return tuple(label.split("/"))
    for entry in chains.get(DNAT, [])[1:]:
        if leads_to(entry, name):
            return iptables_rules.names_of(entry)
    return "", ""


def _taken(one: Published, other: Published, whose: tuple[str, ...]) -> CniError:
    network, container, *ifname = whose
    interface = f"interface {ifname[0]} of " if ifname else ""
    owner = f'{interface}container {container} on network "{network}"' if container else "somebody"
    return CniError(
        PORT_TAKEN,
        f"host port {shown(one)} is taken: {shown(other)} leads to {other.container}:"
        f'{other.container_port}, {owner}; choose another "hostPort" or "hostIP", or remove that '
        "container",
    )


def _withdraw(nl: Netfilter | None, owner: str) -> None:
    here = Here.settled(nl)
    remove(nl, here.with_chain(TABLE, iptables_rules.chain_of(owner)), owner)


def remove(nl: Netfilter | None, places: list[Place], owner: str) -> None:
    """Take back the owner's ports, whichever suite published them.

    places: where its container has a chain, see `Here.with_chain`. nl: to make the kernel forget
    the UDP flows that were led to the container. Raises IptablesError, LockTimeout, NetlinkError.
    """
    name = iptables_rules.chain_of(owner)
    labels = {xtables.label(owner)}
    if places:
        _take(nl, places, lambda chains: [name] if name in chains else [], lambda _: labels, name)


def remove_strangers(nl: Netfilter | None, here: Here, network: str, keep: Iterable[str]) -> None:
    """Take back the ports of owners on this network that are not among `keep` (whole names).

    Raises IptablesError, LockTimeout, NetlinkError.
    """
    valid = list(keep)
    known = {xtables.label(one) for one in valid}
    chains_kept = {iptables_rules.chain_of(one) for one in valid}

    def gone(chain: Chain) -> set[str]:
        stale = {one for one in chain.labels if xtables.is_of(one, network)} - known
        names = [iptables_rules.names_of(one) for one in chain.entries]
        theirs = chain.labels == {""} and any(one[0] == network for one in names)
        return {""} if theirs and chain.name not in chains_kept else stale

    places = here.with_table(TABLE)
    if places:
        _take(
            nl,
            places,
            lambda chains: [one for one in chains if one.startswith(f"CNI-{PREFIX}")],
            gone,
        )


def listing(here: Here) -> list[tuple[str, Published]]:
    """Every port that is published by iptables, with the label of its owner.

    The label is empty for one of the reference's. Raises IptablesError.
    """
    found: list[tuple[str, Published]] = []
    for version, variant in here.with_table(TABLE):
        chains = Tool(version, variant).save(TABLE).get(TABLE, {})
        for name in (one for one in chains if one.startswith(f"CNI-{PREFIX}")):
            for rule in chains[name][1:]:
                published = iptables_rules.published(rule, version)
                if published is not None:
                    found.append((iptables_rules.owner_of(rule), published))
    return found


def _take(
    nl: Netfilter | None,
    places: Iterable[Place],
    which: Callable[[Chains], list[str]],
    gone: Callable[[Chain], set[str]],
    seen: str = "",
) -> None:
    """Take what these owners have in these chains, and let the kernel forget their UDP flows.

    seen: a chain that all places were seen to have.
    """
    held: list[Published] = []

    def plan(tool: Tool, found: Ruleset) -> Changes:
        commands: list[str] = []
        chains = found.get(TABLE, {})
        for name in which(chains):
            chain = Chain(name, tool.version, chains)
            labels = gone(chain)
            if labels:
                leaving = chain.leaving(labels)
                held.extend(chain.published(leaving))
                commands += chain.without(leaving)
                if leaving == chain.rules:
                    commands += iptables_rules.without_older(name, chains)
        # Before, so that a call killed in between has it done; and after, for what came meanwhile.
        if nl is not None:
            flows.forget(nl, held)
        return {TABLE: commands}

    edit([Tool(*one) for one in places], plan, TABLE, seen)
    if nl is not None:
        flows.forget(nl, held)
