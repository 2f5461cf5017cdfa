"""The veth pair of an attachment: named after its identity, made, found again, removed.

Whatever the host's end is plugged into: a bridge's port, or the host itself.
"""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, CniError
from hostnet import leaving, link
from hostnet.netlink import Netlink, NetlinkError
from hostnet.netns import NetNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.call import Call
    from hostnet.link import Link

_ALIAS_LONGEST = 255  # IFALIASZ - 1, linux/if.h


host_veth = leaving.host_end
"""The host end's name for an attachment."""


def create(
    nl: Netlink, *, owner: str, ns: NetNS, ifname: str, mac: str = "", mtu: int = 0, master: int = 0
) -> Link:
    """The pair: our end, which is given, and the other in the container; both down.

    Our end is labelled from its birth: one that was not would be nobody's to GC.
    mac: the container's, empty for a random one. mtu: of both ends, 0 for the kernel's choice.
    master: index of the bridge that our end is a port of. Raises CniError(IN_THE_WAY) where the
    attachment exists already.
    """
    name = host_veth(owner)
    try:
        return link.create_veth(
            nl,
            name,
            ifname,
            mac=link.random_mac(),
            peer_mac=mac or link.random_mac(),
            mtu=mtu,
            master=master,
            peer_netns_fd=ns.fileno(),
            alias=label(owner),
        )
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            _delete_unfinished(nl, name, ns, ifname, error)
            raise
        if link.find(nl, name) is None:
            raise exists_inside(ifname, ns.path) from error
        raise CniError(
            IN_THE_WAY,
            f"host interface {name} of this attachment exists already: DEL it before another ADD",
        ) from error


def _delete_unfinished(nl: Netlink, name: str, ns: NetNS, ifname: str, error: NetlinkError) -> None:
    """Delete the pair if it was made all the same: the kernel's answer may have been lost.

    A pair of this name that ends elsewhere is of the same attachment in another namespace.
    """
    try:
        found = link.find(nl, name)
        if found is not None:
            with ns.netlink() as inside:
                inner = link.find(inside, ifname)
            if inner is not None and (inner.index, found.index) == (found.peer, inner.peer):
                link.delete(nl, found.index, missing_ok=True)
    except OSError as problem:
        error.add_note(f"while undoing: {problem}")


def exists_inside(ifname: str, netns: str) -> CniError:
    """The error for a container that has an interface of this name."""
    return CniError(
        IN_THE_WAY,
        f"interface {ifname} already exists in {netns}: choose another CNI_IFNAME, or DEL first",
    )


def find(nl: Netlink, owner: str, candidates: Iterable[str], inner: int) -> Link | None:
    """The host end of an attachment, None where there is none.

    By its name, else (added by the reference) the one of the candidates, names of the host's
    interfaces, that has the other end for its peer. inner: that one's index, 0 where it is missing.
    """
    found = link.find(nl, host_veth(owner))
    if found is not None or not inner:
        return found
    for name in candidates:
        candidate = link.find(nl, name)
        if candidate is not None and candidate.kind == "veth" and candidate.peer == inner:
            return candidate
    return None


def missing(nl: Netlink, call: Call, inner: Link | None) -> str:
    """Why `find` finds nothing, in words: somebody has renamed the host end, or it is gone."""
    end = None if inner is None else _other_end(nl, inner)
    if end is not None and end.alias == label(call.owner):
        return f"host interface {host_veth(call.owner)} is named {end.name}"
    return f"the host end of {call.ifname} does not exist"


def label(owner: str) -> str:
    """The alias of a host end: the owner, cut short where the kernel takes no more."""
    return owner[:_ALIAS_LONGEST]


def delete(call: Call) -> None:
    """Delete the attachment's pair, if there is one. Raises OSError, CniError for the namespace.

    Either end takes the other with it; the inner one is also how the reference's is found.
    """
    from hostnet import removal

    with Netlink() as outside:
        found = link.find(outside, host_veth(call.owner))
        if found is not None and removal.delete(outside, found.index):
            return
        if not call.netns:
            return
        with NetNS.open(call.netns) as ns, ns.netlink() as inside:
            found = link.find(inside, call.ifname)
            if found is None or found.kind != "veth":
                return
            end = _other_end(outside, found)
            if end is None or not _is_anothers(call, end):
                removal.delete(inside, found.index, ns)


def _is_anothers(call: Call, end: Link) -> bool:
    """Whether a host end is labelled with another attachment's name.

    A runtime sends a DEL after an ADD that was refused because another network's interface has the
    name. The reference labels nothing, and its own label has one that somebody has renamed.
    """
    return end.alias.count("/") == 2 and end.alias != label(call.owner)


def _other_end(outside: Netlink, inner: Link) -> Link | None:
    """The host end of a pair, None where it is in another namespace."""
    try:
        end = link.by_index(outside, inner.peer)
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return end if end.kind == "veth" and end.peer == inner.index else None
