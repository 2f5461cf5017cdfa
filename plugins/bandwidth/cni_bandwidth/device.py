"""The ifb device of an attachment: what the container sends goes through it, and is shaped there.

The kernel shapes only what a link sends. What comes in at the host's end of the pair is redirected
to the device, which sends it on: it goes its way as if it had just come in.
"""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, CniError
from cni_bandwidth import names
from hostnet import altname, link, tc
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from hostnet.link import Link
    from hostnet.netlink import Netlink

KIND = "ifb"
_ALIAS_LONGEST = 255  # IFALIASZ - 1, linux/if.h
_QUEUE = 1000  # packets; an ifb has 32 by itself, less than one burst
_EVERYTHING = 3  # ETH_P_ALL, linux/if_ether.h


def create(nl: Netlink, call: Call, port: Link) -> Link:
    """Make it, with the MTU of the port; `prepare` does the rest.

    Raises CniError(IN_THE_WAY), NetlinkError.
    """
    name = names.own(call.owner)
    try:
        # Labelled from its birth: one that was not would be nobody's to GC. With its queue, which
        # those of its classes get their length from.
        queue = max(port.tx_queue, _QUEUE)
        return link.create(nl, name, KIND, mtu=port.mtu, alias=_alias(call), tx_queue=queue)
    except NetlinkError as error:
        if error.errno == errno.EEXIST:
            raise CniError(
                IN_THE_WAY,
                f"host interface {name} of this attachment exists already: DEL it before another "
                "ADD",
            ) from error
        # The name is nobody else's: one that is there now was made all the same.
        made = link.find(nl, name)
        if made is not None:
            link.delete(nl, made.index, missing_ok=True)
        raise


def _alias(call: Call) -> str:
    return call.owner[:_ALIAS_LONGEST]


def prepare(nl: Netlink, call: Call, made: Link) -> None:
    """Label a new one, give it the reference's name too, and bring it up. Raises NetlinkError."""
    link.change(nl, made.index, alias=_alias(call), up=True)
    try:
        altname.add(nl, made.index, names.references(call))
    except NetlinkError as error:
        # Another interface of the container has it, or Linux is older than 5.5.
        if error.errno not in (errno.EEXIST, errno.EOPNOTSUPP):
            raise


def find(nl: Netlink, call: Call) -> Link | None:
    """The attachment's device, ours before the reference's; None where there is none."""
    return link.find(nl, names.own(call.owner)) or find_references(nl, call)


def find_references(nl: Netlink, call: Call) -> Link | None:
    """The device that the reference made for the container, whichever interface it is for."""
    name = names.references(call)
    found = link.find(nl, name)
    # One of ours has another name, and this one beside it.
    return found if found is not None and found.kind == KIND and found.name == name else None


def redirect(nl: Netlink, port: Link, to: Link) -> None:
    """Send what comes in at the port through the device, or, raising NetlinkError, do nothing.

    EEXIST where the port has a queueing discipline for that already.
    """
    try:
        tc.add_qdisc(nl, port.index, "ingress", parent=tc.INGRESS, handle=tc.INGRESS_HANDLE)
        tc.add_filter(
            nl,
            port.index,
            tc.INGRESS_HANDLE,
            priority=1,
            protocol=_EVERYTHING,
            redirect=to.index,
        )
    except BaseException as error:
        if not (isinstance(error, NetlinkError) and error.errno == errno.EEXIST):
            stop(nl, port)
        raise


def stop(nl: Netlink, port: Link) -> None:
    """Undo `redirect`. Raises NetlinkError."""
    tc.delete_qdisc(nl, port.index, tc.INGRESS, missing_ok=True)


def leads_to(nl: Netlink, port: Link) -> set[int]:
    """The links that what comes in at the port is redirected to, 0 for one that is gone."""
    found = (one.redirect for one in tc.filters(nl, port.index, tc.INGRESS_HANDLE))
    return {one for one in found if one is not None}


def is_unfinished(nl: Netlink, port: Link) -> bool:
    """Whether the port has what `redirect` begins with, and nothing in it."""
    found = tc.qdisc(nl, port.index, tc.INGRESS)
    return (
        found is not None
        and found.kind == "ingress"
        and not tc.filters(nl, port.index, tc.INGRESS_HANDLE)
    )
