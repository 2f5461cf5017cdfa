"""CHECK by iptables: each rule of the attachment that is missing, by our rules or the reference's.

A container that the reference added has the same chain with the same rules, in which nothing says
whose they are. Its own CHECK asks for less; but a port needs all of these.
"""

from __future__ import annotations

from cni_portmap import iptables_rules
from cni_portmap.by_iptables import Chain, same_port
from cni_portmap.iptables_rules import DNAT, GUARD_TABLE, TABLE
from cni_portmap.plan import container_networks, shown
from cni_portmap.publish import localhost_link, planned
from hostnet.iptables import IptablesError, Tool, same
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Result
    from cni_portmap.config import Config
    from cni_portmap.tables import Published
    from hostnet.iptables import Chains


def problems(call: Call, config: Config, result: Result) -> Iterator[str]:
    """What `by_iptables.add` of the same would have to change, in words. Raises CniError, OSError.

    A chain with nothing of ours in it has to be only as the reference makes it.
    """
    wanted = planned(config, result, call.ifname)
    networks = container_networks(result, call.ifname)
    subnets = {version: str(one) for version, one in networks.items()}
    for version in sorted({one.version for one in wanted}):
        tool = Tool(version)
        found = tool.save()
        chains = found.get(TABLE, {})
        chain = Chain(iptables_rules.chain_of(call.owner), version, chains)
        mine = [one for one in wanted if one.version == version]
        rules = iptables_rules.rules(config, call.owner, mine, subnets)
        entries = iptables_rules.entries(config, call.owner, mine, version)
        if chain.labels == {""}:
            comment = f"{xtables.comment(xtables.label(call.owner))} "
            rules = [one.replace(comment, "") for one in rules]
            yield from _rule_problems(chain, chain.rules, rules, mine)
            # It leads there, too, a port with an address of the other IP version alone.
            reached = {port for one in chain.entries for port in iptables_rules.ports_of(one)}
            lacking = [one for one in entries if not iptables_rules.ports_of(one) <= reached]
        else:
            own = chain.of({xtables.label(call.owner)})
            yield from _rule_problems(chain, own, rules, mine)
            condition = config.conditions.get(version, "")
            lacking = [one for one in entries if not _is_there(tool, one, chain, condition)]
            guarded = any(localhost_link(config, one) for one in mine)
            if guarded and iptables_rules.guard(found.get(GUARD_TABLE, {})):
                yield f"localhost is not guarded by the iptables table {GUARD_TABLE}"
        yield from (f"chain {DNAT} of the iptables table {TABLE} lacks `{one}`" for one in lacking)
        yield from _shared_problems(config, chains, mine)


def _rule_problems(
    chain: Chain, there: list[str], rules: list[str], mine: list[Published]
) -> Iterator[str]:
    """there: the rules of the chain that may be the attachment's. rules: those that are to be."""
    where = f"chain {chain.name} of the iptables table {TABLE}"
    addresses = {one.container for one in mine}
    held = chain.published(there)
    yield from (
        f"port {shown(one)} is published and should not be"
        for one in held
        # The reference's may be another interface's.
        if not any(same_port(one, other) for other in mine)
        and (one.container in addresses or iptables_rules.owner_of(there[0]))
    )
    yield from (
        f"port {shown(one)} is not published by {where}"
        for one in mine
        if not any(same_port(one, other) for other in held)
    )
    for rule in rules:
        if not any(same(rule, one) for one in there):
            yield f"{where} lacks `{rule}`"


def _is_there(tool: Tool, entry: str, chain: Chain, condition: str) -> bool:
    """Whether an entry is there; one with conditions iptables itself has to compare."""
    if not condition:
        return any(same(entry, one) for one in chain.entries)
    try:
        tool.restore({TABLE: [f"-C {DNAT} {entry}"]})
    except IptablesError:
        return False
    return True


def _shared_problems(config: Config, chains: Chains, mine: list[Published]) -> Iterator[str]:
    for one in mine:
        if rule := iptables_rules.shadow(chains, one):
            yield f"port {shown(one)} is led elsewhere first, by the iptables rule `{rule}`"
    for _how, name, rule in iptables_rules.missing(config, chains):
        yield f"chain {name} of the iptables table {TABLE} lacks `{rule}`"
