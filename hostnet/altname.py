"""Alternative names of links (Linux 5.5): up to 127 bytes, unique as names are in a namespace.

A link keeps them when it is renamed or moved into another namespace, and is found by them as by
its name (`link.find`).
"""

from __future__ import annotations

import errno

from hostnet import link
from hostnet.link import IFLA_ALT_IFNAME, IFLA_PROP_LIST
from hostnet.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkError,
    attr_str,
    nested,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink

# <linux/rtnetlink.h>
RTM_NEWLINKPROP = 108
RTM_DELLINKPROP = 109


def add(nl: Netlink, index: int, *names: str) -> None:
    """Give a link more names, in one message.

    Raises NetlinkError, EEXIST when a link has one of them, this one too.
    """
    flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND
    what = f"give interface {index} the name {' and '.join(names)} too"
    nl.request(RTM_NEWLINKPROP, _payload(index, names), flags, what)


def remove(nl: Netlink, index: int, name: str, *, missing_ok: bool = False) -> bool:
    """Take one of its other names from a link; False when it had none such.

    Raises NetlinkError, ENOENT when it had none such and `missing_ok` is not set.
    """
    what = f"take the name {name} from interface {index}"
    try:
        nl.request(RTM_DELLINKPROP, _payload(index, (name,)), 0, what)
    except NetlinkError as error:
        if missing_ok and error.errno in (errno.ENOENT, errno.ENODEV, errno.EINVAL):
            return False
        raise
    return True


def _payload(index: int, names: tuple[str, ...]) -> bytes:
    listed = b"".join(attr_str(IFLA_ALT_IFNAME, name) for name in names)
    return link.header(index) + nested(IFLA_PROP_LIST, listed)
