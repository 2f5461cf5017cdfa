"""ADD: let the container through. The DEL of a call killed after any step finds what it left."""

from __future__ import annotations

from cni_firewall import plan
from cni_firewall.config import FIREWALLD
from hostnet import netfilter
from hostnet.undo import Undo
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_firewall.bus import Bus
    from cni_firewall.config import Config
    from cni_firewall.guarded import Guarded
    from hostnet.netfilter import Netfilter


def add(call: Call, config: Config, result: Result) -> None:
    """Guard the container as the config says. Raises CniError, OSError."""
    bus = find_firewalld(call, config)
    try:
        _add(call, config, result, bus)
    finally:
        if bus is not None:
            bus.close()


def find_firewalld(call: Call, config: Config) -> Bus | None:
    """The bus that firewalld is on; None where another backend is to be used.

    As with the reference, it goes before all others where it runs and the config says nothing.
    Raises CniError(NOT_AVAILABLE) where the config says that it has to run, OSError.
    """
    if config.backend and config.backend != FIREWALLD:
        return None
    from cni_firewall import firewalld

    return (firewalld.require if config.backend else firewalld.connect)(call.environ)


def _add(call: Call, config: Config, result: Result, bus: Bus | None) -> None:
    wanted = plan.make(config, result, zoned=bus is not None)
    if not wanted:
        return
    # Whose an address of a zone is, stands in nftables.
    chosen = backend.NFTABLES if bus is not None else config.backend or backend.of_host()
    nl = backend.open_nftables(chosen)
    if nl is None:
        _give_by_iptables(call, config, wanted)
        return
    with nl:
        _give_by_nftables(call, config, wanted, nl, bus)


def _give_by_nftables(
    call: Call, config: Config, wanted: list[Guarded], nl: Netfilter, bus: Bus | None
) -> None:
    from cni_firewall import forward, nftables, withdraw
    from hostnet.nfowner import Owner

    owner = Owner(call.owner)
    addresses = [one.address for one in wanted if one.address is not None]
    versions = sorted({one.version for one in addresses})
    forward.require_way(nl, versions)
    with Undo() as undo:
        # Noted first: when the kernel's answer gets lost, nobody knows whether it was done.
        undo.push(withdraw.take_back, nl, call.environ, owner)
        nftables.give(nl, owner, config, wanted)
        if bus is not None:
            from cni_firewall import firewalld

            firewalld.admit(bus, config.zone, addresses)
        forward.open_iptables(nl, config, versions)


def _give_by_iptables(call: Call, config: Config, wanted: list[Guarded]) -> None:
    from cni_firewall import by_iptables, iptables_withdraw

    def take_back() -> None:
        nl = netfilter.find()
        try:
            iptables_withdraw.remove(nl, call.owner)
        finally:
            if nl is not None:
                nl.close()

    with Undo() as undo:
        undo.push(take_back)
        by_iptables.give(call.owner, config, wanted)
