"""What the watcher says of itself: read by STATUS and by tools, over a unix socket.

Each connection gets one JSON document and is closed:

    {"pid": 4711, "uptime": 86400.0, "memory": 14336, "networks": {"blue": {
        "state": "synced", "synced_seconds_ago": 0.0, "peers": 2, "error": "",
        "device": "vxlan42", "mode": "l3", "engine": "etcd", "node": "node1",
        "address": "192.0.2.1", "subnets": ["10.244.1.0/24"]}}}

memory is in KiB (PSS), uptime in seconds. The states:

    synced    the kernel has what etcd or the configuration says, and the next change will be heard
    absent    no device here: no container has been attached yet
    waiting   etcd has not been read yet since the watcher started
    stale     the kernel has what etcd said last, but etcd does not answer
    failing   the kernel did not take all of it, see `error`; it is tried again
    lost      this host's place in the overlay is gone: its key in etcd, or somebody has its name

`synced_seconds_ago` is 0 while it is synced, and null when it never was. The socket is named after
the network namespace, of which a machine may have several with a watcher each; no watcher, no
socket, so nothing stale is ever read.
"""

from __future__ import annotations

import _socket
import os

from cni import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue

DIRECTORY = "/run/cni"
SYNCED = "synced"
ABSENT = "absent"
WAITING = "waiting"
STALE = "stale"
FAILING = "failing"
LOST = "lost"
PATIENCE_SECONDS = 90.0
"""How old tables may be before they count as a limit: longer than a watcher takes to restart."""
_ANSWER_SECONDS = 2.0


def path() -> str:
    """Of the socket of the watcher in the calling thread's network namespace."""
    return f"{DIRECTORY}/overlay-{os.stat('/proc/thread-self/ns/net').st_ino}.sock"


def read(where: str = "") -> dict[str, JsonValue]:
    """The document of the watcher at a socket, by default this namespace's.

    Raises OSError where none answers.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    parts = []
    try:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(where or path())
        while part := connection.recv(1 << 16):
            parts.append(part)
    finally:
        connection.close()
    try:
        found = jsontext.loads(b"".join(parts).decode())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConnectionError("what answers is no watcher")
    return found


def network(name: str, where: str = "") -> dict[str, JsonValue]:
    """What it says of one network. Raises OSError where none answers or it knows no such one."""
    networks = read(where).get("networks")
    found = networks.get(name) if isinstance(networks, dict) else None
    if not isinstance(found, dict):
        raise ConnectionError(f'it does not watch network "{name}"')
    return found


def problem(name: str) -> str:
    """Why a network with a device here is not kept up with its peers, empty if it is.

    For STATUS: what is wrong with a watcher limits an overlay (51), and does not stop it.
    """
    try:
        found = network(name)
    except OSError as error:
        return (
            f"no watcher keeps up with the other hosts ({error.strerror or error}): "
            "systemctl start cnid, or run `cnid overlay`"
        )
    state, error_text, ago = (found.get(key) for key in ("state", "error", "synced_seconds_ago"))
    if state in (LOST, FAILING):
        return f"the overlay is {state}: {error_text}"
    if state in (WAITING, STALE) and (not isinstance(ago, (int, float)) or ago > PATIENCE_SECONDS):
        since = f"for {ago:.0f} s" if isinstance(ago, (int, float)) else "since it started"
        return f"the watcher has not been in step with etcd {since}: {error_text}"
    return ""
