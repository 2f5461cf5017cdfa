"""Runs something with few capabilities: capabilities(7), capset(2), PR_CAPBSET_DROP of prctl(2)."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Collection
from typing import Any

_PR_CAPBSET_DROP = 24
_VERSION_3 = 0x20080522  # <linux/capability.h>

NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
}


def confined(left: Collection[str], act: Callable[[], Any]) -> Any:
    """What `act` gives (JSON) in a child that is root with no capabilities but these.

    No program that it executes has more. Raises AssertionError where the child ends without a word.
    """
    answers, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(answers)
            drop_all_but(left)
            os.write(answer, json.dumps(act()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(answer)
    with os.fdopen(answers, "rb") as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, f"the child ended with {status}"
    return json.loads(said)


def drop_all_but(left: Collection[str]) -> None:
    """Leave the calling process these capabilities, and all that it executes."""
    libc = ctypes.CDLL(None, use_errno=True)
    keep = {NUMBERS[name] for name in left}
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    for number in range(last + 1):
        if number not in keep:
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    bits = sum(1 << number for number in keep)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    sets = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
