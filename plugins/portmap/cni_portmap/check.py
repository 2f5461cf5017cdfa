"""CHECK: every element and rule of the attachment, each deviation named."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni.record import replace
from cni_portmap.ownership import of_same_container
from cni_portmap.plan import shown
from cni_portmap.publish import localhost_link, planned
from cni_portmap.tables import (
    GATE_RULES,
    GATED,
    NAME,
    PENDING,
    PRIORITY,
    REGISTRY,
    TABLE,
    WAITING,
    gate,
    pack,
    unpack,
)
from hostnet import natlook, netfilter, sysctl
from hostnet.netfilter import Netfilter
from hostnet.nfelement import get
from hostnet.nfowner import Owner
from hostnet.nftable import rules
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Result
    from cni_portmap.config import Config
    from cni_portmap.tables import Published


def check(call: Call, config: Config, result: Result) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    chosen = config.backend or backend.of_host()
    by_iptables = False
    if config.mappings:
        nl = backend.open_nftables(chosen)
        by_iptables = nl is None
    else:
        nl = netfilter.find()
    found = problems_by(nl, call, config, result) if nl or config.mappings else []
    # Where the config leaves it to the host, an ADD may have chosen otherwise.
    if found and config.mappings and not config.backend:
        try:
            other = Netfilter.open() if by_iptables else None
            found = found if problems_by(other, call, config, result) else []
        except OSError:  # which this host has not
            pass
    if found:
        raise CniError(CHECK_FAILED, "; ".join(found))


def problems_by(nl: Netfilter | None, call: Call, config: Config, result: Result) -> list[str]:
    """What is not as ADD left it by nftables, or without a socket by iptables."""
    if nl is not None:
        with nl:
            wanted = planned(config, result, call.ifname)
            found = _by_nftables(nl, Owner(call.owner), wanted)
    else:
        from cni_portmap import iptables_check

        wanted = planned(config, result, call.ifname)
        found = list(iptables_check.problems(call, config, result))
    return [*found, *_localhost_problems(config, wanted)]


def _by_nftables(nl: Netfilter, owner: Owner, wanted: list[Published]) -> list[str]:
    held = [unpack(values) for values in REGISTRY.records(nl, owner)]
    found = [f"port {shown(one)} is published and should not be" for one in _extra(held, wanted)]
    if wanted:
        found += TABLE.problems(nl)
    for one in wanted:
        waiting = replace(one, flags=one.flags | WAITING)
        if one in held:
            found += _problems(nl, one, owner)
        elif waiting in held:
            found += _problems(nl, waiting, owner)
            found += _problems_of_waiting(nl, waiting, owner)
        else:
            found.append(f"port {shown(one)} is not published{_instead(one, held)}")
    return [*found, *_gate_problems(nl, owner, wanted), *_shadow_problems(nl, wanted)]


def _extra(held: list[Published], wanted: list[Published]) -> list[Published]:
    ports = {(one.key, one.host) for one in wanted}
    return [one for one in held if (one.key, one.host) not in ports or one.flags & PENDING]


def _instead(wanted: Published, held: list[Published]) -> str:
    """How the port is published instead, where it is."""
    for one in held:
        if (one.key, one.host) != (wanted.key, wanted.host):
            continue
        if (one.container, one.container_port) != (wanted.container, wanted.container_port):
            return f" to {_endpoint(wanted)}, but to {_endpoint(one)}"
        if one.link != wanted.link:
            return f" through {wanted.link or 'a route'}, but through {one.link or 'none'}"
        return ' with the "snat", "masqAll" and "conditions" of the config, but with others'
    return ""


def _endpoint(one: Published) -> str:
    return f"{one.container} port {one.container_port}"


def _problems(nl: Netfilter, one: Published, owner: Owner) -> Iterator[str]:
    """The elements of a published port that are missing or lead elsewhere."""
    for element in REGISTRY.held([pack(one)], owner).values():
        found = get(nl, element)
        where = f"{element.map.name} of the nftables table inet {NAME}"
        if found is None:
            yield f"port {shown(one)} is not in {where}"
        elif found.data != element.data:
            leads = ":".join(str(value) for value in found.data)
            yield f"port {shown(one)} leads to {leads} in {where}"


def _problems_of_waiting(nl: Netfilter, one: Published, owner: Owner) -> Iterator[str]:
    """Nobody of the container has the port, so that it is not reached at all."""
    target = one.target()
    found = get(nl, target)
    if found is None or not of_same_container(owner, found.comment):
        state = "is missing" if found is None else f'belongs to "{found.comment}"'
        yield (
            f"port {shown(one)}, which another attachment of the container has, {state} in "
            f"{target.map.name} of the nftables table inet {NAME}"
        )


def _gate_problems(nl: Netfilter, owner: Owner, wanted: list[Published]) -> Iterator[str]:
    for version in sorted({one.version for one in wanted if one.flags & GATED}):
        chain = gate(owner, version)
        if rules(nl, NAME, chain) != list(GATE_RULES):
            yield f"chain {chain} of the nftables table inet {NAME} lacks the conditionsV{version}"


def _shadow_problems(nl: Netfilter, wanted: list[Published]) -> Iterator[str]:
    """Ports that somebody else's rules lead away before ours are asked."""
    others = natlook.redirections(nl, PRIORITY, NAME) if wanted else []
    for one in wanted:
        for other in others:
            if other.takes(*one.key):
                yield f"port {shown(one)} is led elsewhere first, by {other.where}"


def _localhost_problems(config: Config, wanted: list[Published]) -> Iterator[str]:
    for name in sorted({one.link for one in wanted if localhost_link(config, one)}):
        switch = sysctl.of_interface("ipv4", name, "route_localnet")
        if (value := sysctl.read(switch)) != "1":
            yield f"sysctl {switch} is {value}, expected 1"
