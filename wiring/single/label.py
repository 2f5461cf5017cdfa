"""How a link inside a container is known as an attachment's: by its alias, else by its name.

The alias is the attachment's owner, so that DEL finds the link when somebody has renamed it, and
never takes another network's of the same name. What the reference made has no alias.
"""

from __future__ import annotations

from _blake2 import blake2s

from hostnet import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_ALIAS_LONGEST = 255  # IFALIASZ - 1, linux/if.h


def temporary_name(owner: str) -> str:
    """The name under which the link is made, before it gets its own.

    Before Linux 6.15 a link that is to appear in another namespace must not have the name of one
    in this namespace. The same on every ADD of the attachment, so that DEL finds what an ADD that
    was killed has left.
    """
    return "cni" + blake2s(owner.encode(), digest_size=8).hexdigest()[:11]


def alias(owner: str) -> str:
    """The alias that says whose the link is."""
    return owner if len(owner) <= _ALIAS_LONGEST else temporary_name(owner)


def find(nl: Netlink, call: Call, kind: str) -> Link | None:
    """The attachment's link of this kind, None where there is none. nl: of the container."""
    ours, unfinished = alias(call.owner), temporary_name(call.owner)
    found = link.dump(nl, kind=kind)
    for one in found:
        if one.alias == ours or one.name == unfinished:
            return one
    for one in found:
        if one.name == call.ifname and not _is_owner(one.alias):
            return one
    return None


def _is_owner(text: str) -> bool:
    """Whether an alias is one that `alias` gives, then of another attachment."""
    return text.count("/") == 2 or (len(text) == 14 and text.startswith("cni"))
