"""TAP devices: interfaces whose wire is a file descriptor of a program (/dev/net/tun, tuntap(4)).

rtnetlink does not make them; it shows what they are.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from hostnet.link import IFLA_INFO_DATA
from hostnet.netlink import to_u8, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link

DEVICE = "/dev/net/tun"
ID_MAX = 2**32 - 2  # the largest number stands for nobody

# <linux/if_tun.h>
TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOWNER = 0x400454CC
TUNSETGROUP = 0x400454CE
IFF_TAP = 0x0002
IFF_MULTI_QUEUE = 0x0100
IFF_NO_PI = 0x1000
IFF_TUN_EXCL = 0x8000

# <linux/if_link.h>
IFLA_TUN_OWNER = 1
IFLA_TUN_GROUP = 2
IFLA_TUN_TYPE = 3
IFLA_TUN_MULTI_QUEUE = 7

_IFREQ = struct.Struct("=16sH22x")  # the name, then the flags


def create(
    name: str, *, multi_queue: bool = False, owner: int | None = None, group: int | None = None
) -> None:
    """Create a TAP device that stays, in the namespace where the thread is.

    multi_queue: whether programs may attach to it several times at once. owner, group: who may
    attach to it besides root, by number up to ID_MAX. Raises TapError: ENOENT without the kernel's
    tun, EBUSY where there is an interface of this name.
    """
    flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (IFF_MULTI_QUEUE if multi_queue else 0)
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, TUNSETIFF, _IFREQ.pack(name.encode(), flags))
            for request, number in ((TUNSETOWNER, owner), (TUNSETGROUP, group)):
                if number is not None:
                    fcntl.ioctl(fd, request, number - 2**32 if number >= 2**31 else number)
            fcntl.ioctl(fd, TUNSETPERSIST, 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise TapError(error.errno or errno.EIO, name) from error


class TapError(OSError):
    """A TAP device could not be made."""

    def __init__(self, code: int, name: str) -> None:
        super().__init__(code, os.strerror(code))
        self.name = name

    def __str__(self) -> str:
        return f"cannot create the TAP interface {self.name} by {DEVICE}: {self.strerror}"


class Tap:
    """What the kernel says about a device of kind "tun".

    is_tap: whether frames and not packets go through it. owner, group: None for root alone.
    """

    __slots__ = ("group", "is_tap", "multi_queue", "owner")

    def __init__(self, of: Link) -> None:
        found = of.info(IFLA_INFO_DATA)
        self.is_tap = to_u8(found.get(IFLA_TUN_TYPE, b"\0")) == IFF_TAP
        self.multi_queue = bool(to_u8(found.get(IFLA_TUN_MULTI_QUEUE, b"\0")))
        self.owner = to_u32(found[IFLA_TUN_OWNER]) if IFLA_TUN_OWNER in found else None
        self.group = to_u32(found[IFLA_TUN_GROUP]) if IFLA_TUN_GROUP in found else None
