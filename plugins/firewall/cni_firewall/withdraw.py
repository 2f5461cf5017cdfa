"""DEL and GC: who it is suffices to find what there is."""

from __future__ import annotations

from cni_firewall import nftables
from cni_firewall.tables import REGISTRY, ZONED
from hostnet import netfilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostnet.netfilter import Netfilter
    from hostnet.nfowner import Owner


def remove(environ: Mapping[str, str], owner: Owner) -> None:
    """Take back all the owner has, whatever the config says today. Raises CniError, OSError."""
    nl = netfilter.find()
    if nl is not None:
        with nl:
            take_back(nl, environ, owner)


def sweep(environ: Mapping[str, str], network: str, keep: Iterable[str]) -> None:
    """Take back what owners of this network have that are not among `keep`.

    Raises CniError, OSError.
    """
    nl = netfilter.find()
    if nl is not None:
        with nl:
            for owner in REGISTRY.strangers(nl, network, keep):
                take_back(nl, environ, owner)


def take_back(nl: Netfilter, environ: Mapping[str, str], owner: Owner) -> None:
    """Take back all that the owner has. Raises CniError(TRY_AGAIN_LATER), OSError."""
    held = nftables.held(nl, owner)
    if any(one.flags & ZONED for one in held):
        from cni_firewall import firewalld

        # Before: it is by our own table that it is known.
        firewalld.withdraw(nl, environ, held)
    if held:
        nftables.take_back(nl, owner)
