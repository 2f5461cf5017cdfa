"""`cnid`: run the daemon in the foreground; `cnid status`: ask a running one."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time

from cni import __version__
from cnid import metrics, protocol
from cnid.journal import log
from cnid.pool import Pool
from cnid.server import Server
from cnid.systemd import inherited_socket, notify, watchdog_seconds
from hostnet.lock import Lock, LockTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cni.skel import Plugin
    from cnid.tally import Status

SOCKET = "/run/cni/cnid.sock"
WORKERS = 8
CALLS = 1000
_BACKLOG = 1024
_ANSWER_SECONDS = 5.0


def main(
    plugins: Mapping[str, Callable[[], Plugin]], build: str, arguments: list[str] | None = None
) -> int:
    """The command; gives its exit status. build: what launchers must be of too."""
    asked = _parser().parse_args(arguments)
    path: str = asked.socket
    if asked.command == "status":
        return _show_status(path, as_json=asked.json)
    try:
        return _serve(plugins, build, asked, path)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cnid: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnid", description="Keeps CNI plugins warm.")
    parser.add_argument("--version", action="version", version=f"cnid, pycni {__version__}")
    default = os.environ.get("CNID_SOCKET") or SOCKET
    parser.add_argument("--socket", default=default, help=f"where launchers connect ({default})")
    parser.add_argument("--workers", type=int, default=WORKERS, help="calls served at once")
    parser.add_argument(
        "--calls", type=int, default=CALLS, help="calls after which a worker is replaced"
    )
    parser.add_argument(
        "--metrics", metavar="ADDRESS", help="Prometheus at unix:PATH or 127.0.0.1:PORT"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    status = commands.add_parser("status", help="what a running daemon has done")
    status.add_argument("--json", action="store_true", help="for programs")
    return parser


def _serve(
    plugins: Mapping[str, Callable[[], Plugin]], build: str, asked: argparse.Namespace, path: str
) -> int:
    for load in plugins.values():
        load()
    _import_the_rest()
    lock = Lock(f"{path}.lock", seconds=0)
    listener = inherited_socket()
    if listener is None:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        try:
            lock.acquire()
        except LockTimeout as error:
            raise ValueError(f"another cnid serves {path}: {error}") from error
        listener = _listen(path)
    scrape = metrics.listen(asked.metrics) if asked.metrics else None
    every = watchdog_seconds()
    server = Server(
        listener,
        build,
        lambda close: Pool(plugins, asked.workers, asked.calls, close),
        metrics=scrape,
        alive=(lambda: notify("WATCHDOG=1")) if every else (lambda: None),
    )
    log("serving", socket=path, build=build, workers=asked.workers)
    notify("READY=1")
    server.run()
    notify("STOPPING=1")
    lock.release()
    return 0


def _import_the_rest() -> None:
    """Modules that verbs import when they need them: here once, not in each worker."""
    import traceback  # noqa: F401

    from cni import call, execute, ipam, wire  # noqa: F401
    from hostnet import nft

    try:
        nft.load()
    except OSError as error:
        log("plugins that need nftables will fail", error=str(error))


def _listen(path: str) -> socket.socket:
    """Bind the socket for its user only. The lock says that a file there is a dead daemon's."""
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    return listener


def _show_status(path: str, *, as_json: bool) -> int:
    try:
        found = ask_status(path)
    except OSError as error:
        sys.stderr.write(f"cnid: no daemon answers at {path}: {error.strerror or error}\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    busy = sum(one["busy"] for one in found["workers"])
    started = time.strftime("%H:%M:%S", time.gmtime(found["uptime"]))
    sys.stdout.write(
        f"cnid {found['build']}, process {found['pid']}, up {started}: "
        f"{len(found['workers'])} workers, {busy} busy, {found['waiting']} calls waiting, "
        f"{found['refused']} refused, {found['lost']} lost\n\n"
        f"{'plugin':<14}{'verb':<9}{'calls':>8}{'errors':>8}{'p50 ms':>9}{'p99 ms':>9}\n"
    )
    for row in found["calls"]:
        sys.stdout.write(
            f"{row['plugin']:<14}{row['verb']:<9}{row['calls']:>8}{row['errors']:>8}"
            f"{row['p50']:>9.2f}{row['p99']:>9.2f}\n"
        )
    return 0


def ask_status(path: str) -> Status:
    """What the daemon at this socket says of itself. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(path)
        connection.send(protocol.STATUS_REQUEST)
        answer = connection.recv(protocol.LONGEST)
    if not answer:
        raise ConnectionError("it closed the connection")
    found: Status = json.loads(answer)
    return found
