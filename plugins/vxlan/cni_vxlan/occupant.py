"""Who has a UDP port: for the error that says so. Asked only when something went wrong."""

from __future__ import annotations

import os

from hostnet import link, vxlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostnet.netlink import Netlink

_TABLES = ("/proc/thread-self/net/udp", "/proc/thread-self/net/udp6")


def process(port: int) -> str:
    """The process with a socket on this port in the calling thread's namespace; empty for none.

    A tunnel of the kernel's, which other tunnels can share a port with, is no process.
    """
    # The kernel's own sockets have an inode here as well, but nobody has them open.
    return next(filter(None, map(_holder, _inodes(port))), "")


def anybody(nl: Netlink, port: int, own: str) -> str:
    """Who keeps the device `own` from this port, in words."""
    found = process(port)
    if found:
        return found
    others = [
        one.name
        for one in link.dump(nl, kind="vxlan")
        if one.name != own and vxlan.Vxlan(one).port == port
    ]
    if others:
        return f"the VXLAN device {', '.join(others)}, which is not set up to share it"
    return "another socket of the kernel"


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
            return f"process {pid}{_command(pid)}"
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


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
