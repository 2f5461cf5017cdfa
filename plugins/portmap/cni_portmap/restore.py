"""Healing: publish again what a running container's ports have lost, by the backend they are in."""

from __future__ import annotations

from cni_portmap import by_iptables, iptables_check, iptables_rules, publish, withdraw
from cni_portmap.tables import REGISTRY
from hostnet import netfilter
from hostnet.iptables_batch import once
from hostnet.iptables_look import Here
from hostnet.nfowner import Owner
from wiring import backend, restoring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_portmap.config import Config
    from hostnet.netfilter import Netfilter


def restore(call: Call, config: Config, result: Result) -> bool:
    """Whether anything had to be done. Raises CniError, OSError, GoneError."""
    if not config.mappings:
        return False
    return restoring.restore(
        call,
        lambda: _lay(call, config, result),
        lambda: withdraw.remove(Owner(call.owner)),
    )


def _lay(call: Call, config: Config, result: Result) -> bool:
    """By the backend that is chosen today, unless the other one has all of it."""
    nl = backend.open_nftables(config.backend or backend.of_host())
    if nl is None:
        if not config.backend and _by_nftables(call, config, result):
            return False
        return by_iptables.restore(call, config, result)
    with nl:
        if not config.backend and _by_iptables(nl, call, config, result):
            return False
        return publish.restore(nl, call, config, result)


def _by_nftables(call: Call, config: Config, result: Result) -> bool:
    """Whether nftables publishes all of it: the backend was another one at its ADD."""
    from cni_portmap import check

    nl = netfilter.find()
    if nl is None or not REGISTRY.records(nl, Owner(call.owner)):
        return False
    return not check.problems_by(nl, call, config, result)


def _by_iptables(nl: Netfilter, call: Call, config: Config, result: Result) -> bool:
    """Whether iptables does."""
    if not once("nat", lambda: bool(Here(nl).any("nat"))):
        return False
    if REGISTRY.records(nl, Owner(call.owner)):
        return False
    if not Here(nl).with_chain("nat", iptables_rules.chain_of(call.owner)):
        return False
    return not [*iptables_check.problems(call, config, result)]
