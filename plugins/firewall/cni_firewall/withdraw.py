"""DEL and GC: who it is suffices to find what there is."""

from __future__ import annotations

from cni_firewall import iptables_withdraw, nftables
from cni_firewall.guarded import ZONED
from cni_firewall.tables import REGISTRY
from hostnet import netfilter
from hostnet.iptables_look import Here
from hostnet.nfowner import Owner
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hostnet.netfilter import Netfilter


def remove(environ: Mapping[str, str], owner: str, addresses: Collection[str] = ()) -> None:
    """Take back all the owner has, whatever the config says today, and by whichever backend.

    addresses: the attachment's with their full prefix length, where they are known: the reference's
    rules say nothing else. Raises CniError, OSError.
    """
    nl = netfilter.find()
    if nl is None:
        iptables_withdraw.remove(nl, owner, addresses)
        return
    with nl:
        take_back(nl, environ, Owner(owner))
        iptables_withdraw.remove(nl, owner, addresses)


def sweep(environ: Mapping[str, str], network: str, keep: Collection[str]) -> None:
    """Take back what owners of this network have that are not among `keep`.

    Raises CniError for all that failed.
    """
    steps = Steps()
    nl = netfilter.find()
    if nl is None:
        steps.run(_sweep_iptables, nl, network, keep)
    else:
        with nl:
            steps.run(_sweep_nftables, nl, environ, network, keep, steps)
            steps.run(_sweep_iptables, nl, network, keep)
    steps.finish()


def _sweep_nftables(
    nl: Netfilter,
    environ: Mapping[str, str],
    network: str,
    keep: Collection[str],
    steps: Steps,
) -> None:
    for owner in REGISTRY.strangers(nl, network, keep):
        steps.run(take_back, nl, environ, owner)


def _sweep_iptables(nl: Netfilter | None, network: str, keep: Collection[str]) -> None:
    here = Here.settled(nl)
    if here.any("filter"):
        from cni_firewall import by_iptables

        by_iptables.remove_strangers(here, network, keep)


def take_back(nl: Netfilter, environ: Mapping[str, str], owner: Owner) -> None:
    """Take back all that the owner has. Raises CniError(TRY_AGAIN_LATER), OSError."""
    held = nftables.held(nl, owner)
    if any(one.flags & ZONED for one in held):
        from cni_firewall import firewalld

        # Before: it is by our own table that it is known.
        firewalld.withdraw(nl, environ, held)
    if held:
        nftables.take_back(nl, owner)
