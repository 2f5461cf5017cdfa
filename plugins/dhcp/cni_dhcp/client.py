"""Ask the daemon: one JSON object in a line there, one back, over its Unix socket.

While it is at work the daemon sends an empty line every second, so silence means that it hangs.
"""

from __future__ import annotations

import _socket

from cni import jsontext
from cni.errors import TRY_AGAIN_LATER, CniError
from cni.jsonvalue import MAX_DOCUMENT, parse_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonObject, JsonValue

SILENCE_SECONDS = 10.0
_CHUNK = 65536


class DaemonGoneError(CniError):
    """Nobody listens at the socket."""


def ask(path: str, question: dict[str, JsonValue]) -> JsonObject:
    """The daemon's answer. Raises CniError: its own, or that it cannot be talked to."""
    try:
        line = _talk(path, jsontext.dumps(question).encode() + b"\n")
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise DaemonGoneError(
            TRY_AGAIN_LATER,
            f"the dhcp daemon does not answer at {path}: {error.strerror}; start it (systemctl "
            'enable --now cni-dhcp.socket cni-dhcp.service, or "dhcp daemon"), or set '
            '"daemonSocketPath" in "ipam" to where it listens',
        ) from error
    except TimeoutError as error:
        raise CniError(
            TRY_AGAIN_LATER,
            f"the dhcp daemon at {path} hangs: nothing was heard of it for {SILENCE_SECONDS:g} s; "
            "restart it, its leases are kept",
        ) from error
    except OSError as error:
        raise CniError(
            TRY_AGAIN_LATER,
            f"the dhcp daemon at {path}: {error.strerror}; see that it runs, and repeat the call",
        ) from error
    return _read(path, line)


def _talk(path: str, question: bytes) -> bytes:
    """The first line that is not empty; what came, where the daemon hangs up before its end."""
    daemon = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        daemon.settimeout(SILENCE_SECONDS)
        daemon.connect(path)
        daemon.sendall(question)
        received = b""
        while not received.endswith(b"\n") and len(received) <= MAX_DOCUMENT:
            more = daemon.recv(_CHUNK)
            if not more:
                break
            received = (received + more).lstrip(b"\n")
        return received
    finally:
        daemon.close()


def _read(path: str, line: bytes) -> JsonObject:
    if line.startswith(b"HTTP/"):
        raise CniError(
            TRY_AGAIN_LATER,
            f"what listens at {path} is another suite's dhcp daemon, which knows nothing of "
            "pycni's: stop it and start this one",
        )
    if not line.endswith(b"\n"):
        raise CniError(
            TRY_AGAIN_LATER,
            f"the dhcp daemon at {path} went away before it answered: see that it runs, and "
            "repeat the call",
        )
    answer = parse_object(line, f"the answer of the dhcp daemon at {path}")
    if answer.has("error"):
        failed = answer.object("error")
        code = failed.integer("code", TRY_AGAIN_LATER, 1, 2**31)
        raise CniError(code, failed.string("msg"), failed.string("details"))
    return answer
