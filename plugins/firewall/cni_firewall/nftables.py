"""The native backend: what a container owns in nftables, given and taken back in one transaction.

Whatever the backend, this is also where it is noted whose an address is, so that a DEL finds it.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, TRY_AGAIN_LATER, UNSUPPORTED_FIELD, CniError
from cni_firewall.config import ADMIN_CHAIN
from cni_firewall.guarded import ALONE
from cni_firewall.tables import ADMIN, BRIDGED, NAME, REGISTRY, TABLE, pack, unpack
from hostnet.nfchain import chain_exists
from hostnet.nfchange import ContentionError
from hostnet.nfelement import get
from hostnet.nftable import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni_firewall.config import Config
    from cni_firewall.guarded import Guarded
    from hostnet.netfilter import Netfilter
    from hostnet.nfowner import Owner


def give(
    nl: Netfilter, owner: Owner, config: Config, wanted: list[Guarded], *, thorough: bool = False
) -> bool:
    """Make exactly this the owner's; whether anything changed.

    The thread is in the namespace of `nl`. thorough: as of `nftable.Table.ensure`.
    Raises CniError: UNSUPPORTED_FIELD for a policy that this kernel cannot carry out,
    INVALID_CONFIG for an admin chain that nft does not understand, TRY_AGAIN_LATER; OSError.
    """
    isolating = any(one.flags & ALONE for one in wanted)
    laid = ensure(nl, config, isolating=isolating, thorough=thorough)
    try:
        return REGISTRY.give(nl, owner, [pack(one) for one in wanted]) or laid
    except ContentionError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from error


def ensure(nl: Netfilter, config: Config, *, isolating: bool, thorough: bool = False) -> bool:
    """Lay down the tables where they are damaged, and the jump to the users' own rules.

    Whether anything was. isolating: the table for bridges too. Raises as `give`.
    """
    from hostnet.nft import NftError

    try:
        laid = TABLE.ensure(nl, lambda: _admin(nl, config.admin_chain), thorough=thorough)
    except NftError as error:
        if config.admin_chain == ADMIN_CHAIN or f" {config.admin_chain}" not in error.commands:
            raise
        raise CniError(
            INVALID_CONFIG,
            f'key "iptablesAdminChainName": found "{config.admin_chain}", expected a name that '
            f"nft takes: {error}",
        ) from error
    if not isolating:
        return laid
    try:
        return BRIDGED.ensure(nl, thorough=thorough) or laid
    except NftError as error:
        raise CniError(
            UNSUPPORTED_FIELD,
            'key "ingressPolicy": found "isolated", which needs a kernel with nftables for '
            f'bridges (CONFIG_NF_TABLES_BRIDGE), expected "same-bridge" or "open": {error}',
        ) from error


def _admin(nl: Netfilter, chain: str) -> str:
    """The nft commands for a chain with users' own rules that nobody had before, or has emptied."""
    if chain in rules(nl, NAME, ADMIN):
        return ""
    return (
        f"add chain inet {NAME} {chain}\n"
        f'add rule inet {NAME} {ADMIN} jump {chain} comment "{chain}"\n'
    )


def held(nl: Netfilter, owner: Owner) -> list[Guarded]:
    """What the owner has; nothing where there is no such table. Raises NetlinkError."""
    return [unpack(values) for values in REGISTRY.records(nl, owner)]


def take_back(nl: Netfilter, owner: Owner) -> None:
    """Remove all the owner has, whatever it is. Raises CniError(TRY_AGAIN_LATER), OSError."""
    try:
        REGISTRY.remove(nl, owner)
    except ContentionError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from error


def problems(nl: Netfilter, owner: Owner, config: Config, wanted: list[Guarded]) -> Iterator[str]:
    """What `give` of the same would have to change, in words. Raises NetlinkError."""
    has = held(nl, owner)
    yield from (f"{_shown(one)} and should not be" for one in has if one not in wanted)
    if not wanted:
        return
    yield from TABLE.problems(nl)
    if config.admin_chain not in rules(nl, NAME, ADMIN):
        yield f"chain {ADMIN} of the nftables table inet {NAME} lacks `jump {config.admin_chain}`"
    elif not chain_exists(nl, NAME, config.admin_chain):
        yield f"chain {config.admin_chain} of the nftables table inet {NAME} is missing"
    if any(one.flags & ALONE for one in wanted):
        yield from BRIDGED.problems(nl)
    yield from (f"no record says that {_shown(one)}" for one in wanted if one not in has)
    for element in REGISTRY.held([pack(one) for one in wanted if one in has], owner).values():
        if get(nl, element) is None:
            of = element.map
            key = " . ".join(str(value) for value in element.key)
            yield f"{key} is not in {of.name} of the nftables table {of.family} {of.table}"


def _shown(one: Guarded) -> str:
    what = str(one.address) if one.address is not None else f"what is at {one.port or one.bridge}"
    how = "kept apart" if one.flags & ALONE else "let through"
    where = f" on {one.bridge}" if one.bridge else ""
    return f"{what} is {how}{where}"
