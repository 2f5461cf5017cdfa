"""What ADD writes on a device, by which DEL knows whose it is and what it was called on the host.

In two alternative names, since those stay with a device wherever it goes, even when the kernel
brings a physical one back from a namespace that has gone:

- the mark, `cni0123456789a`: the hash of network, container and interface, by which the kernel
  finds the device at once; with a `u` at the end where it was up on the host;
- the record, `cni0123456789a=COOKIE=NAME`: its name on the host, and the number of the container's
  namespace. A device in another namespace has been taken from this attachment without our knowing,
  as the reference does, which leaves both names on it. `COOKIE+2` says that two rules went along.

The alias says the name too, for the reference; but whoever describes an interface in its container
writes there as well. The config says what is wanted now, which need not be what ADD has moved.
"""

from __future__ import annotations

import _socket
import errno
import os

from cni.names import ifname_problem
from cni.record import record
from hostnet import altname, link
from hostnet.netlink import NetlinkError
from wiring.single import label

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link
    from hostnet.netlink import Netlink

_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
_UP = "u"
_DIGITS = 11


@record
class Home:
    """cookie: of the namespace it was moved into, empty where unknown. name: on the host.

    rules: how many went into the container with it.
    """

    cookie: str
    name: str
    rules: int = 0


def marks(of: str) -> tuple[str, str]:
    """The mark of an owner's device that was down on the host, and of one that was up."""
    name = label.temporary_name(of)
    return name, f"{name}{_UP}"


def cookie(nl: Netlink) -> str:
    """The number of a socket's network namespace, which no other gets; empty before Linux 5.14."""
    sock = _socket.socket(fileno=os.dup(nl.fileno()))
    try:
        return sock.getsockopt(_socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)[::-1].hex().lstrip("0")
    except OSError:
        return ""
    finally:
        sock.close()


def put(nl: Netlink, device: Link, of: str, *, up: bool, home: Home) -> None:
    """Mark a device of the host, and take away whatever marks it still has from others.

    Those are stale: it is here. Raises NetlinkError.
    """
    key = label.temporary_name(of)
    rules = f"+{home.rules}" if home.rules else ""
    wanted = (marks(of)[up], f"{key}={home.cookie}{rules}={home.name}")
    try:
        missing = [one for one in wanted if one not in device.altnames]
        if missing:
            altname.add(nl, device.index, *missing)
    except NetlinkError as error:
        if error.errno != errno.EOPNOTSUPP:  # before Linux 5.5: only the alias says it then
            raise
    for text in device.altnames:
        if key_of(text) and text not in wanted:
            altname.remove(nl, device.index, text, missing_ok=True)


def strip(nl: Netlink, device: Link, key: str = "") -> None:
    """Take the marks of one owner, by its key, from a device, or all. Raises NetlinkError."""
    # The mark last: by that a DEL finds the device which this one has not come to the end with.
    for text in sorted(device.altnames, key=lambda text: "=" not in text):
        if key_of(text) and key in ("", key_of(text)):
            altname.remove(nl, device.index, text, missing_ok=True)


def find(nl: Netlink, of: str) -> Link | None:
    """The owner's device in the namespace of `nl`."""
    for mark in marks(of):
        found = link.find(nl, mark)
        if found is not None:
            return found
    return None


def key_of(text: str) -> str:
    """The owner's hash in one of a device's alternative names, empty where it is none of ours."""
    key = text.partition("=")[0].removesuffix(_UP)
    digits = key.removeprefix("cni")
    ours = len(key) == _DIGITS + 3 and len(digits) == _DIGITS
    return key if ours and not digits.strip("0123456789abcdef") else ""


def was_up(device: Link, key: str = "") -> bool:
    """Whether a mark says that it was up on the host: the one of this key, or any."""
    ups = (one for one in device.altnames if one.endswith(_UP) and "=" not in one)
    return any(key_of(one) and key in ("", key_of(one)) for one in ups)


def home(device: Link, key: str = "") -> Home | None:
    """What the record of this key says, or any; None where there is none."""
    for text in device.altnames:
        found, _, rest = text.partition("=")
        if rest and key_of(text) and key in ("", found):
            where, _, name = rest.partition("=")
            there, _, rules = where.partition("+")
            if not ifname_problem(name):
                return Home(there, name, int(rules) if rules.isdecimal() else 0)
    return None


def is_taken(device: Link, here: str) -> bool:
    """Whether a mark says that the device is an attachment's that is in its namespace.

    here: the cookie of the namespace that the device is in.
    """
    for key in filter(None, map(key_of, device.altnames)):
        told = home(device, key)
        if told is None or told.cookie in ("", here):
            return True
    return False
