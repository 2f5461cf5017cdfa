"""`dhcp daemon`: start, listen, go on with the leases there are, and stop when told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from cni import __version__
from cni.journal import log
from cni_dhcp import files
from cni_dhcp.config import SOCKET
from cni_dhcp.daemon import flags
from cni_dhcp.daemon.conversation import Limits
from cni_dhcp.daemon.holding import Settings
from cni_dhcp.daemon.registry import Registry
from cni_dhcp.daemon.server import Server
from hostnet import daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_dhcp.daemon.flags import Flags

_USAGE_STATUS = 2  # as Go's flag.ExitOnError


def main(arguments: list[str]) -> int:
    """The command; gives its exit status. arguments: those after `daemon`."""
    try:
        asked = flags.parse(arguments)
    except flags.UsageError as error:
        said = f"{error}\n" if str(error) else ""
        sys.stderr.write(f"{said}{flags.USAGE}")
        return _USAGE_STATUS if said else 0
    try:
        return _run(asked)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"dhcp daemon: {error}\n")
        return 1


def _run(asked: Flags) -> int:
    if asked.pidfile and not asked.pidfile.startswith("/"):
        raise ValueError(f"-pidfile {asked.pidfile}: expected an absolute path")
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    path = asked.hostprefix + (asked.socketpath or SOCKET)
    listener = daemon.inherited_socket(socket.SOCK_STREAM)
    if listener is not None:
        path = listener.getsockname()
    claimed = daemon.claim(path, "dhcp daemon")
    made: list[str] = []
    try:
        if listener is None:
            listener = daemon.listen_unix(path, socket.SOCK_STREAM)
            made.append(path)
        if asked.pidfile:
            with open(asked.pidfile, "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
            made.append(asked.pidfile)
        limits = Limits(asked.timeout, asked.resendmax, asked.resendtimeout, asked.broadcast)
        settings = Settings(asked.hostprefix, files.directory_of(path), limits)
        asyncio.run(_serve(listener, settings, path))
    finally:
        for one in made:
            try:
                os.unlink(one)
            except FileNotFoundError:  # somebody was faster
                pass
        os.close(claimed)
    return 0


async def _serve(listener: socket.socket, settings: Settings, path: str) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    registry = Registry(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    loop.add_signal_handler(signal.SIGHUP, registry.renew)
    registry.resume()
    server = Server(registry, listener)
    await server.start()
    log("serving", socket=path, version=__version__)
    daemon.notify("READY=1")
    await told_to_stop.wait()
    daemon.notify("STOPPING=1")
    log("stopping")
    await server.stop()
    await registry.stop()
