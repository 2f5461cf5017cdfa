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
from hostnet import forwarding
from hostnet.iptables_look import FAMILY, LEGACY, Blob, Here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni_firewall.config import Config
    from hostnet.forwarding import ForwardChain
    from hostnet.iptables import Changes, Ruleset
    from hostnet.netfilter import Netfilter

CHAIN = "CNI-PASS"
_TABLE, _HOOK = "filter", "FORWARD"
_ISOLATION = "CNI-ISOLATION-STAGE-1"
_DOCKER = "docker-bridges"
"""Docker's own table by nftables, whose rules are about its own bridges."""


def require_way(nl: Netfilter, versions: Iterable[int]) -> None:
    """Raise CniError(IN_THE_WAY) where a chain of somebody else's is certain to drop containers'
    packets of one of these IP versions; NetlinkError.
    """
    for version in versions:
        for chain in forwarding.chains(nl, version):
            if chain.drops and not _is_known(chain) and _is_shut(nl, chain):
                raise CniError(
                    IN_THE_WAY,
                    f"{chain} drops what it does not know (policy drop), and has no rule that "
                    f"lets containers through: nft insert rule {chain.family} {chain.table} "
                    f"{chain.name} meta mark and {PASS:#x} == {PASS:#x} accept{_hint(chain)}",
                )


def _is_known(chain: ForwardChain) -> bool:
    """Ours, or iptables', which is opened."""
    return chain.table == NAME or (chain.table, chain.name) == (_TABLE, _HOOK)


def _is_shut(nl: Netfilter, chain: ForwardChain) -> bool:
    rules = forwarding.rules(nl, chain)
    if any(forwarding.knows_mark(rule, PASS) for rule in rules):
        return False
    return chain.table == _DOCKER or not any(map(forwarding.may_accept_new, rules))


def _hint(chain: ForwardChain) -> str:
    return ", or start dockerd with --ip-forward-no-drop" if chain.table == _DOCKER else ""


def open_iptables(nl: Netfilter, config: Config, versions: Iterable[int]) -> None:
    """Let marked packets of these IP versions through iptables' FORWARD, where it may drop any.

    Does nothing where it is done, or iptables is not in use. Raises IptablesError, LockTimeout,
    NetlinkError, OSError.
    """
    here = Here(nl)
    wanted = set(versions)
    shut = [
        (version, kind)
        for version, kind in here.with_table(_TABLE)
        if version in wanted and not _is_open(nl, version, kind, config)
    ]
    if not shut:
        return
    from hostnet import iptables

    tools = [iptables.Tool(*one) for one in shut]
    iptables.edit(tools, lambda _tool, found: _opening(found, config), _TABLE)


def _is_open(nl: Netfilter, version: int, kind: str, config: Config) -> bool:
    """Whether nothing is dropped there, or marked packets are let through."""
    if kind == LEGACY:
        # Who jumps where cannot be told cheaply there.
        return Blob(version, _TABLE).forward_is_plain
    mine = FAMILY[version], _TABLE, _HOOK
    for chain in forwarding.chains(nl, version):
        if chain.place == mine:
            rules = forwarding.rules(nl, chain)
            if not chain.drops and not rules:
                return True
            passes = forwarding.ForwardChain(chain.family, _TABLE, CHAIN, drops=False)
            inside = forwarding.rules(nl, passes)
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
