"""`cnid status`: what a running daemon says of itself, for people and for programs."""

from __future__ import annotations

import datetime as dt
import json
import socket
import sys

from cnid import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cnid.tally import HealState, OverlayState, Status

_ANSWER_SECONDS = 5.0


def ask(path: str) -> Status:
    """What the daemon at this socket says of itself. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(path)
        connection.send(protocol.STATUS_REQUEST)
        answer = connection.recv(protocol.LONGEST)
    if not answer:
        raise ConnectionError("it closed the connection")
    try:
        found: Status = json.loads(answer)
    except ValueError:
        raise ConnectionError("it is another program") from None
    return found


def show(path: str, *, as_json: bool) -> int:
    """Print it; gives the exit status."""
    try:
        found = ask(path)
    except OSError as error:
        sys.stderr.write(f"cnid: no daemon answers at {path}: {error.strerror or error}\n")
        return 1
    sys.stdout.write((json.dumps(found) if as_json else as_text(found)) + "\n")
    return 0


def as_text(found: Status) -> str:
    """For a person."""
    busy = sum(one["busy"] for one in found["workers"])
    up = dt.timedelta(seconds=int(found["uptime"]))
    head = (
        f"cnid {found['build']}, process {found['pid']}, up {up}: "
        f"{len(found['workers'])} workers, {busy} busy, {found['waiting']} calls waiting, "
        f"{found['refused']} refused, {found['lost']} lost"
    )
    lines = [
        head,
        "",
        f"{'plugin':<14}{'verb':<9}{'calls':>8}{'errors':>8}{'p50 ms':>9}{'p99 ms':>9}",
    ]
    lines += (
        f"{row['plugin']:<14}{row['verb']:<9}{row['calls']:>8}{row['errors']:>8}"
        f"{row['p50']:>9.2f}{row['p99']:>9.2f}"
        for row in found["calls"]
    )
    lines += ["", f"{'worker':<14}{'state':<9}{'calls':>8}"]
    lines += (
        f"{one['pid']:<14}{'busy' if one['busy'] else 'idle':<9}{one['calls']:>8}"
        for one in found["workers"]
    )
    return "\n".join(lines + _overlay(found.get("overlay")) + _heal(found.get("heal")))


def _overlay(found: OverlayState | None) -> list[str]:
    """Nothing where no configuration needs it."""
    if not found or not found["wanted"]:
        return []
    if not found["pid"]:
        return ["", f"overlay: its process does not run; it was started {found['starts']} times"]
    up = dt.timedelta(seconds=int(found["uptime"]))
    line = (
        f"overlay: process {found['pid']}, up {up}, {found['memory'] / 1024:.0f} MiB, "
        f"started {found['starts']} times; `cnitool overlay state NETWORK` asks it"
    )
    return ["", line]


def _heal(found: HealState | None) -> list[str]:
    """Nothing where it is switched off."""
    if not found or not found["wanted"]:
        return []
    if not found["pid"]:
        return ["", f"heal: its process does not run; it was started {found['starts']} times"]
    line = (
        f"heal: process {found['pid']}, {found['memory'] / 1024:.0f} MiB, {found['looks']} looks, "
        f"the last in {found['seconds'] * 1000:.0f} ms at {found['running']} attachments; "
        f"{found['healed']} healed, {found['problems']} problems"
    )
    return ["", line]
