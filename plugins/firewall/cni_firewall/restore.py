"""Healing: guard a running container again where the packet filter has lost it."""

from __future__ import annotations

from cni_firewall import admit, forward, nftables, plan, withdraw
from hostnet.iptables_batch import is_first, is_noted, note, once
from hostnet.iptables_look import Here
from hostnet.netfilter import Netfilter
from hostnet.nfbatch import Apart
from hostnet.nfowner import Owner
from wiring import backend, restoring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_firewall.bus import Bus
    from cni_firewall.config import Config
    from cni_firewall.guarded import Guarded


def restore(call: Call, config: Config, result: Result) -> bool:
    """Whether anything had to be done. Raises CniError, OSError, GoneError."""
    return restoring.restore(
        call,
        lambda: _with_bus(call, config, result),
        lambda: withdraw.remove(call.environ, call.owner),
    )


def _with_bus(call: Call, config: Config, result: Result) -> bool:
    missing = "firewalld", config.backend
    bus = None if is_noted(missing) else admit.find_firewalld(call, config)
    if bus is None:
        note(missing)
    try:
        return _lay(call, config, result, bus)
    finally:
        if bus is not None:
            bus.close()


def _lay(call: Call, config: Config, result: Result, bus: Bus | None) -> bool:
    """By the backend that is chosen today, unless the other one has all of it."""
    wanted = plan.make(config, result, zoned=bus is not None)
    if not wanted:
        return False
    chosen = backend.NFTABLES if bus is not None else config.backend or backend.of_host()
    nl = backend.open_nftables(chosen)
    owner = Owner(call.owner)
    if nl is None:
        from cni_firewall import by_iptables

        if not config.backend and _by_nftables(owner, config):
            return False
        return by_iptables.give(call.owner, config, wanted)
    addresses = [one.address for one in wanted if one.address is not None]
    with nl:
        if not config.backend and bus is None and _by_iptables(nl, owner, config, wanted):
            return False
        if bus is None:
            changed = nftables.give(nl, owner, config, wanted, thorough=True)
        else:
            from cni_firewall import firewalld

            with Apart():  # before: it is by our own table that what is in a zone is known
                changed = nftables.give(nl, owner, config, wanted, thorough=True)
            changed |= firewalld.restore(bus, config.zone, addresses)
        versions = sorted({one.version for one in addresses})
        asked = "firewall", config.admin_chain, *versions
        opened = is_first(asked) and forward.open_iptables(nl, config, versions)
        return opened or changed


def _by_iptables(nl: Netfilter, owner: Owner, config: Config, wanted: list[Guarded]) -> bool:
    """Whether iptables guards it: the backend was another one at its ADD."""
    if not once("filter", lambda: bool(Here(nl).any("filter"))) or nftables.held(nl, owner):
        return False
    from wiring import xtables

    if not Here(nl).with_chain("filter", xtables.own_chain(owner.name)):
        return False
    from cni_firewall import by_iptables

    return not [*by_iptables.problems(owner.name, config, wanted)]


def _by_nftables(owner: Owner, config: Config) -> bool:
    """Whether nftables guards it: the backend was another one at its ADD."""
    with Netfilter.open() as nl:
        held = nftables.held(nl, owner)
        return bool(held) and not [*nftables.problems(nl, owner, config, held)]
