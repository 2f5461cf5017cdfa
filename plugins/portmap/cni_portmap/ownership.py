"""Whose a host port is: given whole or not at all, and refused with the owner's name."""

from __future__ import annotations

from cni.errors import PORT_TAKEN, TRY_AGAIN_LATER, CniError
from cni_portmap.config import PROTOCOLS
from cni_portmap.tables import ADDR, ANY, PENDING, REGISTRY, pack
from hostnet.nfchange import ContentionError
from hostnet.nfelement import Element, dump, get
from hostnet.nfowner import TakenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_portmap.tables import Published
    from hostnet.netlink import Netlink
    from hostnet.nfowner import Held, Owner


def give(nl: Netlink, owner: Owner, published: list[Published]) -> None:
    """Make exactly these the owner's, in one transaction.

    Raises CniError: PORT_TAKEN if one is another's, TRY_AGAIN_LATER; OSError.
    """

    def guard(old: Held) -> None:
        for one in published:
            if not one.flags & PENDING:
                _require_free(nl, one, old)

    try:
        REGISTRY.give(nl, owner, [pack(one) for one in published], guard)
    except TakenError as error:
        raise _taken(error) from error
    except ContentionError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from error


def take_back(nl: Netlink, owner: Owner) -> None:
    """Remove all that is the owner's, in one transaction.

    Raises CniError(TRY_AGAIN_LATER), OSError.
    """
    try:
        REGISTRY.remove(nl, owner)
    except ContentionError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from error


def _require_free(nl: Netlink, one: Published, old: Held) -> None:
    """Raise TakenError where the port is another's in a way that no equal key shows: at all
    addresses against at a single one.
    """
    target, split = one.target(), one.split()
    if target.identity in old:
        return
    if one.host is not None:
        at_all = Element(ANY[one.version], (one.protocol, one.host_port))
        found = get(nl, at_all)
        if found is not None and at_all.identity not in old:
            raise TakenError(target, found)
    elif REGISTRY.holders_of(nl, split) > (split.identity in old):
        for found in dump(nl, ADDR[one.version]):
            if found.key[1:] == target.key and found.identity not in old:
                raise TakenError(target, found)


def _taken(error: TakenError) -> CniError:
    """The error that says whose the port is."""
    wanted, found = error.element, error.found
    *host, protocol, port = wanted.key
    name = next((name for name, one in PROTOCOLS.items() if one == protocol), str(protocol))
    at = f" at {host[0]}" if host else ""
    other = f" at {found.key[0]}" if len(found.key) == 3 else " at all addresses"
    owner = found.comment.split("/")
    whose = f'of "{found.comment}"'
    if len(owner) == 3:
        whose = f'interface {owner[2]} of container {owner[1]} on network "{owner[0]}"'
    leads = ":".join(str(value) for value in found.data)
    return CniError(
        PORT_TAKEN,
        f"host port {port}/{name}{at} is taken: it leads{other} to {leads}, {whose}; choose "
        'another "hostPort" or "hostIP", or remove that container',
    )
