"""Who has a UDP port: asked before a device is made, and when one cannot come up."""

from __future__ import annotations

import os

from hostnet import link, vxlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.netlink import Netlink

_TABLES = ("/proc/thread-self/net/udp", "/proc/thread-self/net/udp6")


def process_on(nl: Netlink, port: int) -> str:
    """The process with a socket on this port in the calling thread's namespace; empty for none.

    A VXLAN device, which others can share a port with, is no process, though its socket is listed
    like one; where one has the port, nobody else does.
    """
    inodes = list(_inodes(port))
    if not inodes or _devices(nl, port):
        return ""
    return next(filter(None, map(_holder, inodes)), "")


def anybody(nl: Netlink, port: int, own: str) -> str:
    """Who keeps the device `own` from this port, in words."""
    others = [name for name in _devices(nl, port) if name != own]
    if others:
        return f"the VXLAN device {', '.join(others)}, which is not set up to share it"
    return process_on(nl, port) or "another socket of the kernel"


def _devices(nl: Netlink, port: int) -> list[str]:
    """The VXLAN devices that have the port."""
    found = link.dump(nl, kind="vxlan")
    return [one.name for one in found if one.up and vxlan.Vxlan(one).port == port]


def _inodes(port: int) -> Iterator[str]:
    """Of the sockets bound to the port, from /proc/net/udp (proc(5))."""
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as file:
                next(file, "")
                for line in file:
                    words = line.split()
                    if int(words[1].rpartition(":")[2], 16) == port:
                        yield words[9]
        except FileNotFoundError:  # a kernel without IPv6
            continue


def _holder(inode: str) -> str:
    """The process that has the socket open, from its descriptors."""
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if any(target == wanted for target in _descriptors(f"/proc/{pid}/fd")):
            from hostnet import process

            return process.described(pid)
    return ""


def _descriptors(directory: str) -> Iterator[str]:
    try:
        numbers = os.listdir(directory)
    except OSError:  # the process ended
        return
    for number in numbers:
        try:
            yield os.readlink(f"{directory}/{number}")
        except OSError:  # it was closed
            continue
