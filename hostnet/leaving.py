"""A sign on a container's link that its DEL has begun, so that nobody restores what DEL removes.

DEL takes away rules first and the link last, and where a chain has several plugins, one process
after the other does it: in between, a container that is about to go looks like one that has lost
its rules. So each DEL that removes rules first sets the sign. It is the number `tag` of the host's
end of the pair (/proc/sys/net/ipv4/conf/<link>/tag, "to be used as required"): a flush of the
ruleset leaves it, it goes with the link, and a new link has none. Writing it takes 10 µs and no
lock of the kernel's.

Why that is enough. DEL sets the sign and then looks for what to remove. Who restores looks for the
sign, lays down, and looks again. If the second look sees no sign, the sign was set after what was
laid down, and DEL, which looks after that, removes it. If it sees the sign, what was laid down is
taken back.

Considered: a lock for each attachment (between two plugins of a chain nobody holds it), a file
(somebody has to remove it), an element of nftables (which a flush takes away).
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import struct
from _blake2 import blake2s

from hostnet import sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SIOCGIFHWADDR = 0x8927  # <linux/sockios.h>
_SIGN = str(int.from_bytes(b"CNID", "big"))


def host_end(owner: str) -> str:
    """The name of the host's end of an attachment's pair, the same on ADD, DEL and GC.

    Derived from the identity and not random, as the reference's is, so that a DEL finds it when the
    container's namespace is gone or was never told. 44 bits: with the kernel's limit of 1,023 ports
    on a bridge, two attachments collide once in 30 million bridges.
    """
    return "veth" + blake2s(owner.encode(), digest_size=8).hexdigest()[:11]


def mark(owner: str, others: Iterable[str] = ()) -> None:
    """Set the sign on the owner's link; nothing where there is none.

    others: links of the host that somebody's ADD has told of, where the owner has no pair of ours;
    the veth pairs among them are the container's. Where /proc/sys is read-only, nothing is set: a
    DEL must not fail for it.
    """
    if not _set(host_end(owner)):
        for name in others:
            if _is_veth(name):
                _set(name)


def is_marked(name: str) -> bool:
    """Whether this link has the sign, or is not there any more."""
    try:
        return sysctl.read(_switch(name)) == _SIGN
    except OSError:
        return True


def mac_of(name: str) -> str:
    """The MAC of a link; empty where there is none of this name.

    By ioctl(2), which takes no lock that all namespaces share, as rtnetlink does: it is asked for
    each container before and after each change.
    """
    asked = struct.pack("16s24x", name.encode(errors="surrogateescape"))
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        return fcntl.ioctl(sock.fileno(), _SIOCGIFHWADDR, asked)[18:24].hex(":")
    except OSError as error:
        if error.errno == errno.ENODEV:
            return ""
        raise
    finally:
        sock.close()


def _switch(name: str) -> str:
    return sysctl.of_interface("ipv4", name, "tag")


def _set(name: str) -> bool:
    try:
        sysctl.write(_switch(name), _SIGN)
    except (OSError, ValueError):
        return False
    return True


def _is_veth(name: str) -> bool:
    from hostnet import link
    from hostnet.netlink import Netlink

    try:
        with Netlink() as nl:
            found = link.find(nl, name)
    except (OSError, ValueError):
        return False
    return found is not None and found.kind == "veth"
