"""Where the host drops what it forwards: let containers' packets through, or say what to change.

Docker sets the policy of iptables' FORWARD to DROP, administrators have chains of their own. What
this plugin's nftables table has marked as a container's (`tables.PASS`), one rule for the whole
host lets through iptables, in a chain of ours that FORWARD jumps to:

    FORWARD   -j CNI-PASS
    CNI-PASS  -j CNI-ADMIN, -m mark --mark 0x1000/0x1000 -j ACCEPT

Chains of nftables that are somebody else's are left alone: their owner decides. Where such a chain
is certain to drop everything new, an ADD fails and says which rule it lacks.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, CniError
from cni_firewall.tables import NAME, PASS
from hostnet import forwarding, nfchain
from hostnet.iptables_look import FAMILY, LEGACY, Blob, Here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni_firewall.config import Config
    from hostnet.iptables import Changes, Ruleset
    from hostnet.netfilter import Netfilter
    from hostnet.nfchain import NfChain

CHAIN = "CNI-PASS"
_TABLE, _HOOK = "filter", "FORWARD"
_ISOLATION = "CNI-ISOLATION-STAGE-1"
_DOCKER = "docker-bridges"
"""Docker's own table by nftables, whose rules are about its own bridges."""


def require_way(nl: Netfilter, versions: Iterable[int]) -> None:
    """Raise CniError(IN_THE_WAY) where a chain of somebody else's is certain to drop containers'
    packets of one of these IP versions; NetlinkError.
    """
    for words in _closed(nl, versions):
        raise CniError(IN_THE_WAY, words)


def _closed(nl: Netfilter, versions: Iterable[int]) -> Iterator[str]:
    """The chains that are certain to drop, each in words, with the command that mends it."""
    for version in versions:
        for chain in forwarding.chains(nl, version):
            if chain.drops and not _is_known(chain) and _is_shut(nl, chain):
                yield (
                    f"{chain} drops what it does not know (policy drop), and has no rule that "
                    f"lets containers through: nft insert rule {chain.family} {chain.table} "
                    f"{chain.name} meta mark and {PASS:#x} == {PASS:#x} accept{_hint(chain)}"
                )


def problems(nl: Netfilter, config: Config, versions: Iterable[int]) -> Iterator[str]:
    """What does not let containers' packets of these IP versions through, in words. For CHECK.

    Of iptables that is a policy DROP, or what is left of what an ADD has opened: rules of somebody
    else's alone need not drop anything. Raises IptablesError, NetlinkError, OSError.
    """
    yield from _closed(nl, versions)
    for version, kind in _shut(nl, config, versions):
        from hostnet.iptables import Tool

        found = Tool(version, kind).save(_TABLE)
        chains = found.get(_TABLE, {})
        lacking = _opening(found, config).get(_TABLE, [])
        if lacking and (chains.get(_HOOK, ["ACCEPT"])[0] == "DROP" or CHAIN in chains):
            yield (
                f"containers' packets of IPv{version} do not pass the iptables table {_TABLE}: it "
                f"lacks {', '.join(f'`{one}`' for one in lacking)}"
            )


def _is_known(chain: NfChain) -> bool:
    """Ours, or iptables', which is opened."""
    return chain.table == NAME or (chain.table, chain.name) == (_TABLE, _HOOK)


def _is_shut(nl: Netfilter, chain: NfChain) -> bool:
    rules = nfchain.rules(nl, chain)
    if any(forwarding.knows_mark(rule, PASS) for rule in rules):
        return False
    return chain.table == _DOCKER or not any(map(forwarding.may_accept_new, rules))


def _hint(chain: NfChain) -> str:
    return ", or start dockerd with --ip-forward-no-drop" if chain.table == _DOCKER else ""


def open_iptables(nl: Netfilter, config: Config, versions: Iterable[int]) -> bool:
    """Let marked packets of these IP versions through iptables' FORWARD, where it may drop any.

    False where it is done, or iptables is not in use. Raises IptablesError, LockTimeout,
    NetlinkError, OSError.
    """
    shut = _shut(nl, config, versions)
    if not shut:
        return False
    from hostnet import iptables

    tools = [iptables.Tool(*one) for one in shut]
    return iptables.edit(tools, lambda _tool, found: _opening(found, config), _TABLE)


def _shut(nl: Netfilter, config: Config, versions: Iterable[int]) -> list[tuple[int, str]]:
    """IP version and variant of the iptables in use that may drop what is marked."""
    wanted = set(versions)
    return [
        (version, kind)
        for version, kind in Here(nl).with_table(_TABLE)
        if version in wanted and not _is_open(nl, version, kind, config)
    ]


def _is_open(nl: Netfilter, version: int, kind: str, config: Config) -> bool:
    """Whether nothing is dropped there, or marked packets are let through."""
    if kind == LEGACY:
        # Who jumps where cannot be told cheaply there.
        return Blob(version, _TABLE).forward_is_plain
    mine = FAMILY[version], _TABLE, _HOOK
    for chain in forwarding.chains(nl, version):
        if chain.place == mine:
            rules = nfchain.rules(nl, chain)
            if not chain.drops and not rules:
                return True
            passes = nfchain.NfChain(chain.family, _TABLE, CHAIN)
            inside = nfchain.rules(nl, passes)
            return (
                any(CHAIN.encode() + b"\0" in rule for rule in rules)
                and any(forwarding.knows_mark(rule, PASS) for rule in inside)
                and any(config.admin_chain.encode() + b"\0" in rule for rule in inside)
            )
    return True


def _opening(found: Ruleset, config: Config) -> Changes:
    from hostnet.iptables import leads_to
    from wiring import xtables

    chains = found.get(_TABLE, {})
    hook, inside = chains.get(_HOOK, ["ACCEPT"]), chains.get(CHAIN, ["-"])
    if hook == ["ACCEPT"]:
        return {}
    admin = config.admin_chain
    commands = [f":{name} - [0:0]" for name in (CHAIN, admin) if name not in chains]
    mark = f"--mark {PASS:#x}/{PASS:#x} -j ACCEPT"
    if not any(leads_to(rule, admin) for rule in inside):
        comment = xtables.comment("CNI firewall plugin admin overrides")
        commands.append(f"-I {CHAIN} {comment} -j {admin}")
    if not any(mark in rule for rule in inside):
        commands.append(f"-A {CHAIN} -m mark {mark}")
    if not any(leads_to(rule, CHAIN) for rule in hook):
        # Behind what keeps networks apart, which is the reference's.
        at = next((n for n, rule in enumerate(hook) if leads_to(rule, _ISOLATION)), 0) + 1
        comment = xtables.comment("CNI firewall plugin rules")
        commands.append(f"-I {_HOOK} {at} {comment} -j {CHAIN}")
    return {_TABLE: commands}
