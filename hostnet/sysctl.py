"""Kernel switches under /proc/sys, of the network namespace in which the calling thread is.

A switch is named by its path, "net/ipv4/ip_forward". The dots of sysctl(8) are not understood,
since an interface's name may hold one.
"""

from __future__ import annotations

import errno
import os

from hostnet import condition

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
"""What makes a host route a family's packets."""

_ROOT = "/proc/sys/"
_REMEDY = {
    errno.EROFS: "/proc/sys is mounted read-only: remount it read-write, or set this beforehand",
    errno.EACCES: "this needs root, and /proc/sys writable",
    errno.EPERM: "this needs CAP_NET_ADMIN in the user namespace of the network namespace",
    errno.ENOENT: "the kernel lacks the feature, or the interface does not exist",
    errno.EINVAL: "the kernel does not take this value",
}


class SysctlError(OSError):
    """A switch could not be read or set; `name` and, when it was to be set, `value`."""

    def __init__(self, code: int, name: str, value: str | None = None) -> None:
        super().__init__(code, os.strerror(code))
        self.name = name
        self.value = value

    def __str__(self) -> str:
        act = f"read sysctl {self.name}"
        if self.value is not None:
            act = f'set sysctl {self.name} to "{self.value}"'
        number = self.errno or 0
        remedy = _REMEDY.get(number, "")
        text = f"cannot {act}: {os.strerror(number)} ({errno.errorcode.get(number, number)})"
        return f"{text}; {remedy}" if remedy else text


def of_interface(family: str, interface: str, key: str) -> str:
    """The path of a link's switch: ("ipv6", "eth0", "accept_dad") gives net/ipv6/conf/eth0/….

    Raises ValueError when `interface` could not be the name of one link ("all" and "default",
    which stand for several, included).
    """
    if interface in ("all", "default") or len(interface) > 15 or any(map(str.isspace, interface)):
        raise ValueError(f"not the name of an interface: {interface!r}")
    return _checked(f"net/{family}/conf/{interface}/{key}", 5)


def read(name: str) -> str:
    """The value without the line's end. Raises SysctlError."""
    try:
        fd = os.open(_ROOT + _checked(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 4096).decode(errors="replace").rstrip("\n")
        finally:
            os.close(fd)
    except OSError as error:
        raise SysctlError(error.errno or errno.EIO, name) from error


def names(directory: str) -> list[str]:
    """What there is in a directory of switches: ("net/ipv6/conf"). Raises SysctlError."""
    try:
        return os.listdir(_ROOT + _checked(directory))
    except OSError as error:
        raise SysctlError(error.errno or errno.EIO, directory) from error


def write(name: str, value: str) -> None:
    """Set it. Raises SysctlError."""
    try:
        fd = os.open(_ROOT + _checked(name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise SysctlError(error.errno or errno.EIO, name, value) from error


def ensure(name: str, value: str, *, missing_ok: bool = False) -> bool:
    """Set it if it is not so already; gives whether it had to be. Raises SysctlError.

    `missing_ok` is for switches of features a kernel may lack, such as all of net/ipv6.

    Works with a read-only /proc/sys when the value is right. Setting some switches has effects
    even when the value stays: net.ipv4.ip_forward resets others.
    """
    try:
        if read(name).split() == value.split():
            return False
    except SysctlError as error:
        if missing_ok and error.errno == errno.ENOENT:
            return False
        raise
    condition.require(f"set sysctl {name} to {value}")
    write(name, value)
    return True


def _checked(name: str, parts: int = 0) -> str:
    split = name.split("/")
    wrong = any(part in ("", ".", "..") or "\0" in part for part in split)
    if wrong or (parts and len(split) != parts):
        raise ValueError(f"not the path of a sysctl: {name!r}")
    return name
