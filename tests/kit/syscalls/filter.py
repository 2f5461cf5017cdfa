"""The seccomp filter: which system calls are listened to, as a BPF program.

<linux/seccomp.h>, <linux/bpf_common.h>, seccomp(2), seccomp_unotify(2). For x86-64.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

CALLS = {
    "write": 1,
    "open": 2,
    "ioctl": 16,
    "pwrite64": 18,
    "writev": 20,
    "connect": 42,
    "sendto": 44,
    "recvfrom": 45,
    "sendmsg": 46,
    "recvmsg": 47,
    "clone": 56,
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "kill": 62,
    "flock": 73,
    "fsync": 74,
    "fdatasync": 75,
    "truncate": 76,
    "ftruncate": 77,
    "rename": 82,
    "mkdir": 83,
    "rmdir": 84,
    "creat": 85,
    "link": 86,
    "unlink": 87,
    "symlink": 88,
    "chmod": 90,
    "fchmod": 91,
    "chown": 92,
    "fchown": 93,
    "mount": 165,
    "umount2": 166,
    "tgkill": 234,
    "openat": 257,
    "mkdirat": 258,
    "unlinkat": 263,
    "renameat": 264,
    "linkat": 265,
    "symlinkat": 266,
    "fchmodat": 268,
    "unshare": 272,
    "recvmmsg": 299,
    "sendmmsg": 307,
    "setns": 308,
    "renameat2": 316,
    "execveat": 322,
    "pidfd_send_signal": 424,
    "clone3": 435,
    "openat2": 437,
}
"""The calls that are listened to; of open and openat only those that may write, of ioctl only those
that are no mere question (about a terminal, a namespace)."""
NAMES = {number: name for name, number in CALLS.items()}

_ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
_SECCOMP = 317
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
_WAIT_KILLABLE_RECV = 1 << 5
_ALLOW = 0x7FFF0000
_NOTIFY = 0x7FC00000

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_FLAGS_OF = {"open": 1, "openat": 2}
_QUESTIONS = (0x5401, 0x5421, 0x5450, 0x5451, 0xB703)  # TCGETS, FIO…, NS_GET_NSTYPE


class _Instruction(NamedTuple):
    """struct sock_filter. yes and no: how many instructions are skipped."""

    code: int
    value: int
    yes: int = 0
    no: int = 0

    def pack(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.yes, self.no, self.value)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def program() -> bytes:
    """The filter."""
    allow, notify = _Instruction(_RETURN, _ALLOW), _Instruction(_RETURN, _NOTIFY)
    lines = [
        _Instruction(_LOAD, _ARCHITECTURE_AT),
        _Instruction(_EQUAL, _ARCHITECTURE, yes=1),
        allow,
        _Instruction(_LOAD, _NUMBER_AT),
    ]
    for name, number in CALLS.items():
        if name in _FLAGS_OF:
            at = _ARGUMENTS_AT + 8 * _FLAGS_OF[name]
            block = [_Instruction(_LOAD, at), _Instruction(_ANY_BIT, _WRITING, no=1), notify, allow]
        elif name == "ioctl":
            block = [_Instruction(_LOAD, _ARGUMENTS_AT + 8)]
            for left, request in zip(range(len(_QUESTIONS), 0, -1), _QUESTIONS, strict=True):
                block.append(_Instruction(_EQUAL, request, yes=left))
            block += [notify, allow]
        else:
            block = [notify]
        lines += [_Instruction(_EQUAL, number, no=len(block)), *block]
    return b"".join(one.pack() for one in (*lines, allow))


_libc = ctypes.CDLL(None, use_errno=True)


def install(instructions: bytes) -> int:
    """Put the filter on the calling thread and all it starts; gives the listener's descriptor."""
    filled = _Program(len(instructions) // 8, instructions)
    flags = _NEW_LISTENER | _WAIT_KILLABLE_RECV
    fd: int = _libc.syscall(_SECCOMP, _SET_MODE_FILTER, flags, ctypes.byref(filled))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
    return fd
