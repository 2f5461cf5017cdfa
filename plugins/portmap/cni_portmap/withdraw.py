"""DEL and GC: who it is suffices to find what there is; what is not needed to find nothing is
loaded when something is found.
"""

from __future__ import annotations

from cni_portmap.tables import REGISTRY, unpack
from hostnet import netfilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostnet.netfilter import Netfilter
    from hostnet.nfowner import Owner


def remove(owner: Owner) -> None:
    """Take back all the owner's ports, whatever the config says today. Raises CniError, OSError."""
    nl = netfilter.find()
    if nl is not None:
        with nl:
            take_back(nl, owner)


def sweep(network: str, keep: Iterable[str]) -> None:
    """Take back the ports of owners of this network that are not among `keep`.

    Raises CniError, OSError.
    """
    nl = netfilter.find()
    if nl is not None:
        with nl:
            take_back(nl, *REGISTRY.strangers(nl, network, keep))


def take_back(nl: Netfilter, *owners: Owner) -> None:
    """Take back all that these owners have. Raises CniError(TRY_AGAIN_LATER), OSError."""
    held = [unpack(values) for owner in owners for values in REGISTRY.records(nl, owner)]
    if not held:
        return
    from cni_portmap import flows, ownership

    # Before, so that a call killed in between has it done; and after, for what came meanwhile.
    flows.forget(nl, held)
    for owner in owners:
        ownership.take_back(nl, owner)
    flows.forget(nl, held)
