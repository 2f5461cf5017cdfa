"""Whose a host port is: given whole or not at all, and refused with the owner's name.

Runtimes ask for the same ports on each network of a container (podman does). The first attachment
has them, the others wait: `hostnet.nfowner` passes a port on when its attachment goes. They wait
for what another of their own container has, and for nothing else, so whoever else wants it is
refused by what is published, with no look at who waits. At all addresses and at a single one are
two ports to a container: the rules ask for the single one first.
"""

from __future__ import annotations

from cni.errors import PORT_TAKEN, TRY_AGAIN_LATER, CniError
from cni.record import replace
from cni_portmap.config import PROTOCOLS
from cni_portmap.tables import ADDR, ANY, PENDING, REGISTRY, WAITING, pack
from hostnet.nfchange import ContentionError
from hostnet.nfdraft import Draft
from hostnet.nfelement import Element, dump
from hostnet.nfowner import TakenError, is_anothers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni_portmap.tables import Published
    from hostnet.netfilter import Netfilter
    from hostnet.nfelement import Values
    from hostnet.nfowner import Held, Owner

_NAMES = ("network", "container", "interface")  # of which an owner's name is made


def give(nl: Netfilter, owner: Owner, published: list[Published]) -> list[Published]:
    """Make exactly these the owner's, in one transaction.

    Those that another attachment of the same container has come back as WAITING. Raises CniError:
    PORT_TAKEN if one is another container's, TRY_AGAIN_LATER; OSError.
    """
    settled: list[Published] = []
    _give(nl, owner, published, settled)
    return settled


def restore(nl: Netfilter, owner: Owner, published: list[Published]) -> bool:
    """As `give`; gives whether anything had to be done."""
    return _give(nl, owner, published, [])


def _give(
    nl: Netfilter, owner: Owner, published: list[Published], settled: list[Published]
) -> bool:
    def settle(draft: Draft, old: Held) -> list[Values]:
        settled[:] = [_settled(draft, one, owner, old) for one in published]
        return [pack(one) for one in settled]

    try:
        return REGISTRY.give(nl, owner, [], settle)
    except TakenError as error:
        raise _taken(error) from error
    except ContentionError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from error


def require_free(nl: Netfilter, owner: Owner, published: list[Published]) -> None:
    """Raise CniError(PORT_TAKEN) where another container has one of these ports by nftables.

    For who publishes them by iptables. Raises OSError.
    """
    draft = Draft(nl)
    try:
        for one in published:
            _settled(draft, one, owner, {})
    except TakenError as error:
        raise _taken(error) from error


def take_back(nl: Netfilter, owner: Owner) -> None:
    """Remove all that is the owner's, in one transaction.

    Raises CniError(TRY_AGAIN_LATER), OSError.
    """
    try:
        REGISTRY.remove(nl, owner)
    except ContentionError as error:
        raise CniError(TRY_AGAIN_LATER, str(error)) from error


def of_same_container(owner: Owner, comment: str) -> bool:
    """Whether a comment names an attachment of the owner's container.

    One in which the container's name is cut short does not.
    """
    names = comment.split("/")
    return len(names) == len(_NAMES) and names[1] == owner.name.split("/")[1]


def _settled(draft: Draft, one: Published, owner: Owner, old: Held) -> Published:
    """The port as the owner can have it now. Raises TakenError where another container has it."""
    if one.flags & PENDING:
        return one
    target = one.target()
    target.comment = owner.name
    found = draft.get(target)
    if target.identity in old and (found is None or not is_anothers(found, target)):
        return one
    if found is not None and found.comment != owner.name:
        if of_same_container(owner, found.comment):
            return replace(one, flags=one.flags | WAITING)
        raise TakenError(target, found)
    for other in _overlapping(draft, one, target):
        if other.identity not in old and not of_same_container(owner, other.comment):
            raise TakenError(target, other)
    return one


def _overlapping(draft: Draft, one: Published, target: Element) -> Iterator[Element]:
    """What is published at all addresses, where `one` is for a single one, and the other way."""
    if one.host is not None:
        at_all = draft.get(Element(ANY[one.version], (one.protocol, one.host_port)))
        if at_all is not None:
            yield at_all
    elif REGISTRY.holders_of(draft, one.split()):
        for found in dump(draft.nl, ADDR[one.version]):
            if found.key[1:] == target.key:
                yield found


def _taken(error: TakenError) -> CniError:
    """The error that says whose the port is."""
    wanted, found = error.element, error.found
    *host, protocol, port = wanted.key
    name = next((name for name, one in PROTOCOLS.items() if one == protocol), str(protocol))
    at = f" at {host[0]}" if host else ""
    other = f" at {found.key[0]}" if len(found.key) == 3 else " at all addresses"
    owner = found.comment.split("/")
    whose = f'of "{found.comment}"'
    if len(owner) == len(_NAMES):
        whose = f'interface {owner[2]} of container {owner[1]} on network "{owner[0]}"'
    leads = ":".join(str(value) for value in found.data)
    return CniError(
        PORT_TAKEN,
        f"host port {port}/{name}{at} is taken: it leads{other} to {leads}, {whose}; choose "
        'another "hostPort" or "hostIP", or remove that container',
    )
