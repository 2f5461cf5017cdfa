"""DEL and GC: who it is suffices to find what there is; what is not needed to find nothing is
loaded when something is found.
"""

from __future__ import annotations

from cni_portmap.tables import REGISTRY, unpack
from hostnet import netfilter
from hostnet.iptables_look import Here
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from hostnet.netfilter import Netfilter
    from hostnet.nfowner import Owner


def remove(owner: Owner, addresses: Collection[str] = ()) -> None:
    """Take back all the owner's ports, whatever the config says today, and whichever suite and
    backend published them.

    addresses: the attachment's, where they are known: what the reference did by nftables says only
    which container it is. Raises CniError, OSError.
    """
    nl = netfilter.find()
    if nl is None:
        _remove_others(nl, owner, addresses)
        return
    with nl:
        take_back(nl, owner)
        _remove_others(nl, owner, addresses)


def _remove_others(nl: Netfilter | None, owner: Owner, addresses: Collection[str]) -> None:
    """What the owner has by iptables, and what the reference left."""
    here = Here.settled(nl)
    if here.any("nat"):
        _remove_by_iptables(nl, here, owner)
    if nl is not None and _has_reference(here):
        from cni_portmap import reference

        reference.remove(nl, owner.name.split("/")[1], addresses)


def _remove_by_iptables(nl: Netfilter | None, here: Here, owner: Owner) -> None:
    from wiring import xtables

    network, container, _ = owner.name.split("/")
    places = here.with_chain("nat", xtables.chain(network, container, "DN-"))
    if places:
        from cni_portmap import by_iptables

        by_iptables.remove(nl, places, owner.name)


def _has_reference(here: Here) -> bool:
    return not here.tables.isdisjoint((("ip", "cni_hostport"), ("ip6", "cni_hostport")))


def sweep(network: str, keep: Collection[str]) -> None:
    """Take back the ports of owners of this network that are not among `keep`.

    What the reference's nftables backend left names no network, and stays. Raises CniError for all
    that failed.
    """
    steps = Steps()
    nl = netfilter.find()
    if nl is None:
        steps.run(_sweep_iptables, nl, network, keep)
    else:
        with nl:
            steps.run(_sweep_nftables, nl, network, keep, steps)
            steps.run(_sweep_iptables, nl, network, keep)
    steps.finish()


def _sweep_nftables(nl: Netfilter, network: str, keep: Collection[str], steps: Steps) -> None:
    for owner in REGISTRY.strangers(nl, network, keep):
        steps.run(take_back, nl, owner)


def _sweep_iptables(nl: Netfilter | None, network: str, keep: Collection[str]) -> None:
    here = Here.settled(nl)
    if here.any("nat"):
        from cni_portmap import by_iptables

        by_iptables.remove_strangers(nl, here, network, keep)


def take_back(nl: Netfilter, owner: Owner) -> None:
    """Take back all that the owner has. Raises CniError(TRY_AGAIN_LATER), OSError."""
    held = [unpack(values) for values in REGISTRY.records(nl, owner)]
    if not held:
        return
    from cni_portmap import flows, ownership

    # Before, so that a call killed in between has it done; and after, for what came meanwhile.
    flows.forget(nl, held)
    ownership.take_back(nl, owner)
    flows.forget(nl, held)
