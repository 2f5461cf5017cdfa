"""Masquerade rules of the reference's nftables backend, which containers that it added leave to us.

    table inet cni_plugins_masquerade
        masq_checks: … masquerade comment "HASH-HASH, net: mynet, if: eth0, id: c1"

The hashes are of the network, and of interface and container.
"""

from __future__ import annotations

from hostnet import nft
from hostnet.nftable import rule_handles
from wiring import xtables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostnet.iptables_look import Here

TABLE = "cni_plugins_masquerade"
_CHAIN = "masq_checks"
_DIGITS = 16


def remove(here: Here, owner: str) -> None:
    """Remove the owner's. Raises NftError, NetlinkError."""
    start = _start(owner)
    _remove(here, lambda comment: comment.startswith(start))


def remove_strangers(here: Here, network: str, keep: Iterable[str]) -> None:
    """Remove those of this network's owners that are not among `keep`.

    Raises NftError, NetlinkError.
    """
    ours = xtables.hashed(network, _DIGITS) + "-"
    valid = tuple(_start(one) for one in keep)
    _remove(here, lambda comment: comment.startswith(ours) and not comment.startswith(valid))


def _start(owner: str) -> str:
    network, container, ifname = owner.split("/")
    instance = xtables.hashed(f"{ifname}:{container}", _DIGITS)
    return f"{xtables.hashed(network, _DIGITS)}-{instance}"


def _remove(here: Here, is_gone: Callable[[str], bool]) -> None:
    if here.nl is None:
        return
    rules = rule_handles(here.nl, "inet", TABLE, _CHAIN)
    commands = [
        f"delete rule inet {TABLE} {_CHAIN} handle {handle}"
        for handle, comment in rules
        if is_gone(comment)
    ]
    if commands:
        nft.run("\n".join(commands))
