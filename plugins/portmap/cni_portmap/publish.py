"""ADD: the kernel's part, each step such that the DEL of a call killed after it finds everything.

The owner is on record before anything else is there. For most that is one transaction; an
attachment with conditions is on record (PENDING) before nft is given the rules for them.
"""

from __future__ import annotations

import _socket

from cni.errors import INVALID_CONFIG, CniError
from cni.record import replace
from cni_portmap import flows, ownership, withdraw
from cni_portmap.flows import NO_WAY
from cni_portmap.plan import container_addresses, publish
from cni_portmap.tables import (
    GATE_RULES,
    GATED,
    NAME,
    PENDING,
    REGISTRY,
    TABLE,
    WAITING,
    gate,
    unpack,
)
from hostnet import link, route, sysctl
from hostnet.iptables_look import FAMILY, LEGACY, Here
from hostnet.netlink import Netlink, NetlinkError
from hostnet.nfowner import Owner
from hostnet.nftable import rule_handles, rules
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cni.call import Call
    from cni.ip import Address
    from cni.result import Result
    from cni_portmap.config import Config
    from cni_portmap.tables import Published
    from hostnet.netfilter import Netfilter

_SWITCH = "route_localnet"


def add(nl: Netfilter, call: Call, config: Config, result: Result) -> None:
    """Publish the config's ports by nftables. Raises CniError, OSError."""
    wanted = planned(config, result, call.ifname)
    owner = Owner(call.owner)
    _require_free_of_iptables(nl, call.owner, wanted)
    with Undo() as undo:
        TABLE.ensure(nl)
        before = [unpack(values) for values in REGISTRY.records(nl, owner)]
        gated = any(one.flags & GATED for one in wanted)
        # Noted first: when the kernel's answer gets lost, nobody knows whether it was done.
        undo.push(withdraw.take_back, nl, owner)
        try:
            given = ownership.give(nl, owner, _pending(wanted) if gated else wanted)
        except CniError:
            undo.discard()  # Refused, so the attachment still has what it had before.
            raise
        if gated:
            _lay_conditions(owner, wanted, config.conditions)
            given = ownership.give(nl, owner, wanted)
        route_localhost(undo, config, wanted)  # Of what waits too: it may be its turn any time.
        served = [one for one in given if not one.flags & WAITING]
        flows.forget_older(nl, [one for one in served if one not in before])


def restore(nl: Netfilter, call: Call, config: Config, result: Result) -> bool:
    """Publish again what is lost of what `add` of the same has; whether any was.

    Nothing is undone when this fails: what is there is a running container's. Raises CniError,
    OSError.
    """
    from hostnet.nfbatch import Apart

    wanted = planned(config, result, call.ifname)
    owner = Owner(call.owner)
    changed = TABLE.ensure(nl, thorough=True)
    gates = {one.version for one in wanted if one.flags & GATED}
    if any(rules(nl, NAME, gate(owner, version)) != list(GATE_RULES) for version in gates):
        with Apart():
            ownership.give(nl, owner, _pending(wanted))
            _lay_conditions(owner, wanted, config.conditions)
        nl.forget()
        changed = True
    changed |= ownership.restore(nl, owner, wanted)
    if changed:
        flows.forget_untranslated(nl, wanted)
    return restore_localhost(config, wanted) or changed


def _require_free_of_iptables(nl: Netfilter, owner: str, wanted: list[Published]) -> None:
    """Raise CniError(PORT_TAKEN) for what iptables publishes for another container.

    Since before a host was switched over, or by the reference. No program is run where there is
    nothing of the kind.
    """
    here = Here(nl)
    if not here.any("nat"):
        return
    chain = "CNI-HOSTPORT-DNAT"
    places = [
        (version, kind)
        for version, kind in here.with_chain("nat", chain)
        if kind == LEGACY or rule_handles(nl, FAMILY[version], "nat", chain)
    ]
    if places:
        from cni_portmap import by_iptables

        by_iptables.require_free(places, owner, wanted)


def planned(config: Config, result: Result, ifname: str) -> list[Published]:
    """What is to be published; looks up where the container is."""
    addresses = container_addresses(result, ifname)
    return publish(config, addresses, links_towards(addresses))


def links_towards(addresses: Mapping[int, Address]) -> dict[int, str]:
    """By IP version, the name of the link that leads to the container; absent without a route."""
    found: dict[int, str] = {}
    with Netlink() as nl:
        for version, address in addresses.items():
            try:
                index = route.lookup(nl, address).oif
            except NetlinkError as error:
                if error.errno not in NO_WAY:
                    raise
                continue
            # By ioctl(2): rtnetlink would wait for whoever changes a link, in any namespace.
            found[version] = _socket.if_indextoname(index)
    return found


def _pending(published: Iterable[Published]) -> list[Published]:
    return [replace(one, flags=one.flags | PENDING) for one in published]


def _lay_conditions(
    owner: Owner, published: Iterable[Published], conditions: Mapping[int, str]
) -> None:
    """Fill the attachment's gates: who meets the conditions returns, others leave the table."""
    from hostnet import nft

    for version in sorted({one.version for one in published if one.flags & GATED}):
        where = f"inet {NAME} {gate(owner, version)}"
        nft.run(f"flush chain {where}")
        key, text = f"conditionsV{version}", conditions[version]
        try:
            nft.run(f'add rule {where} {text} return comment "{GATE_RULES[0]}"')
        except nft.NftError as error:
            raise CniError(INVALID_CONFIG, f'key "{key}": {error}') from error
        nft.run(f'add rule {where} accept comment "{GATE_RULES[1]}"')


def route_localhost(undo: Undo, config: Config, published: Iterable[Published]) -> None:
    """Let packets from 127.0.0.1 leave through the container's link, to be masqueraded there.

    What comes from outside with such an address is dropped by the backend's guard. After DEL the
    switch stays, as with the reference.
    """
    for name in _localhost_links(config, published):
        switch = sysctl.of_interface("ipv4", name, _SWITCH)
        was = sysctl.read(switch)
        if was != "1":
            undo.push(_put_back, name, switch, was)
            sysctl.ensure(switch, "1")


def _put_back(name: str, switch: str, was: str) -> None:
    """Set a link's switch as it was, unless others may need it by now: a bridge has many."""
    with Netlink() as nl:
        own = link.get(nl, name).kind == "veth"
    if own:
        sysctl.write(switch, was)


def restore_localhost(config: Config, published: Iterable[Published]) -> bool:
    """As `route_localhost`, once for each link; whether it had to be done."""
    from hostnet.iptables_batch import is_first

    names = _localhost_links(config, published)
    switches = filter(is_first, [sysctl.of_interface("ipv4", one, _SWITCH) for one in names])
    changed = [sysctl.ensure(one, "1") for one in switches]
    return any(changed)


def _localhost_links(config: Config, published: Iterable[Published]) -> list[str]:
    """The links of which `_SWITCH` must be 1 for ports to answer on localhost."""
    return sorted({one.link for one in published if localhost_link(config, one)})


def localhost_link(config: Config, one: Published) -> bool:
    """Whether the published port is to be reached through localhost."""
    if one.version != 4 or not config.snat or not one.link:
        return False
    return one.host is None or one.host.is_loopback
