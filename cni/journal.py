"""A daemon's log: one JSON object a line on stderr, where systemd's journal takes it."""

from __future__ import annotations

import os
import select
import time

from cni import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue


def log(message: str, **facts: JsonValue) -> None:
    """Write a line: `time` (RFC 3339, UTC), `msg`, then the facts.

    A full disk, or a reader who does not read, loses it: no call waits for a log.
    """
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
    line = jsontext.dumps({"time": stamp, "msg": message, **facts})
    writable = select.poll()
    writable.register(2, select.POLLOUT)
    try:
        if writable.poll(0):
            os.write(2, line.encode() + b"\n")
    except OSError:
        pass
