"""Duplicate address detection of a container's IPv6 addresses: how long an ADD waits for it.

The kernel looks, and then does not use an address that somebody else has. In its own time that
takes one to two seconds, which the reference waits in each ADD and `enabledad` asks for. Who has
the address, though, answers at once. So by default the kernel waits for an answer for a twentieth
of a second: then nobody who is awake has the address, it is in use, and ADD is done.
"""

from __future__ import annotations

from cni.errors import DUPLICATE, TRY_AGAIN_LATER, CniError
from hostnet import duplicates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.netns import NetNS
    from wiring.plan import Plan

_ANSWER_MILLISECONDS = 50  # in a LAN an answer takes one
_SECONDS = 5  # as in the reference


def hurry(ns: NetNS, inner: Link) -> dict[str, str]:
    """Have the kernel look in a hurry on an interface that has no address yet; for `calm`."""
    with ns.entered():
        return duplicates.hurry(inner.name, _ANSWER_MILLISECONDS)


def calm(ns: NetNS, before: dict[str, str]) -> None:
    """Give the kernel its time again."""
    with ns.entered():
        duplicates.calm(before)


def refuse(nl: Netlink, inner: Link, wanted: Plan) -> None:
    """Wait for the kernel's word on the addresses of an interface that is up.

    It must have a carrier, without which nobody can be asked. Raises CniError: DUPLICATE where
    somebody has one of them, TRY_AGAIN_LATER where the kernel takes too long. Raises OSError.
    """
    ours = {one.address for one in wanted.ips if one.address.version == 6}
    try:
        found = duplicates.wait(nl, inner.index, ours, _SECONDS)
    except TimeoutError as error:
        raise CniError(
            TRY_AGAIN_LATER,
            f"the kernel still looks for duplicates of the IPv6 addresses of interface "
            f"{inner.name} after {_SECONDS} s: lower its sysctl dad_transmits, or set "
            '"enabledad" to false',
        ) from error
    if found:
        taken = ", ".join(map(str, found))
        raise CniError(
            DUPLICATE,
            f"somebody else on the network of interface {inner.name} has the address {taken} "
            "(duplicate address detection): give the container another, or take it from there",
        )
