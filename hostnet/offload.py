"""Checksum offload of a device (ethtool(8), `tx`).

Off, the kernel computes every checksum itself before a packet reaches the device. The way around
old kernels and network cards that get the checksum of what a tunnel carries wrong; it costs four
fifths of an overlay's throughput.
"""

from __future__ import annotations

import errno
import fcntl
import struct

from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink

# <linux/sockios.h>, <linux/ethtool.h>
SIOCETHTOOL = 0x8946
ETHTOOL_GTXCSUM = 0x16
ETHTOOL_STXCSUM = 0x17
NAME_BYTES = 15

_VALUE = struct.Struct("=II")  # struct ethtool_value: command, data
_IFREQ = struct.Struct("@16sP16x")  # name, address of the command; struct ifreq has 40 bytes


def tx_checksum(nl: Netlink, name: str) -> bool:
    """Whether the checksums of what is sent are left to the device. Raises NetlinkError."""
    return _ethtool(nl, name, ETHTOOL_GTXCSUM, 0, f"read the checksum offload of {name}") != 0


def set_tx_checksum(nl: Netlink, name: str, on: bool) -> None:
    """Leave the checksums of what is sent to the device, or compute them before.

    Raises NetlinkError: ENODEV without such a device, EOPNOTSUPP when it has no such switch.
    """
    verb = "on" if on else "off"
    _ethtool(nl, name, ETHTOOL_STXCSUM, on, f"turn the checksum offload of {name} {verb}")


def _ethtool(nl: Netlink, name: str, command: int, data: int, what: str) -> int:
    import array  # it imports collections.abc: 1.5 ms, for a switch that few turn

    if len(name.encode()) > NAME_BYTES:  # ioctl would cut it off, and so find another device
        raise NetlinkError(errno.ENODEV, what)
    # ioctls about devices are answered on any socket, in the namespace of the socket.
    value = array.array("B", _VALUE.pack(command, data))
    address, _count = value.buffer_info()
    try:
        fcntl.ioctl(nl.fileno(), SIOCETHTOOL, _IFREQ.pack(name.encode(), address))
    except OSError as error:
        raise NetlinkError(error.errno or errno.EIO, what) from error
    found: int = _VALUE.unpack(value.tobytes())[1]
    return found
