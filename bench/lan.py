"""A LAN with a DHCP server, for `dhcp`: the container's card is there, and the suite's daemon runs.

What an ADD waits for is then four packets (DISCOVER, OFFER, REQUEST, ACK) between two processes of
this machine: the server looks for no duplicate (`--no-ping`, three seconds otherwise) and keeps its
leases in memory, and neither suite probes the address it was given.

The card is up before, and is nobody's: behind an interface plugin, the reference brings it up
itself, and sends before the kernel lets anything through. It tries again after one to three
seconds, which would be all that one saw.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from bench.field import Field, Suite
from tests.dhcp.logged import Logged
from tests.kit.namespace import Namespace

SERVER = "dnsmasq"
_CARD = "eth0"
_SECONDS = 20


def socket_of(suite: Suite) -> Path:
    """Where the suite's daemon listens; what it writes down is beside it, in /run as ever."""
    return Path("/run/cni") / suite.state.name / "dhcp.sock"


def furnish(suite: Suite, place: Field) -> None:
    """Give the suite's container a card on the LAN, and its host a daemon."""
    servers = place.namespace()
    suite.container.command(
        *("ip", "link", "add", _CARD, "type", "veth"),
        *("peer", "name", _CARD, "netns", str(servers)),
    )
    servers.command("ip", "address", "add", "10.99.0.1/24", "dev", _CARD)
    for end in (servers, suite.container):
        end.command("ip", "link", "set", _CARD, "up")
    for end in (servers, suite.container):
        end.wait_ready(_CARD)
    _start_server(servers, place)
    _start_daemon(suite, place)


def _start_server(servers: Namespace, place: Field) -> None:
    server = Logged(
        servers,
        *(SERVER, "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file="),
        *("--port=0", f"--interface={_CARD}", "--bind-interfaces", "--log-facility=-"),
        *("--no-ping", "--dhcp-authoritative", "--leasefile-ro", "--quiet-dhcp"),
        "--dhcp-range=10.99.0.10,10.99.0.99,255.255.255.0,1h",
    )
    place.at_end(server.stop)
    server.start()
    server.wait("sockets bound exclusively")


def _start_daemon(suite: Suite, place: Field) -> None:
    """For cold and warm it is the same."""
    path = socket_of(suite)
    path.parent.mkdir()
    place.at_end(lambda: shutil.rmtree(path.parent))
    log = suite.state / "dhcp.log"
    with log.open("wb") as stderr:
        daemon = suite.host.popen(
            *(str(suite.directory / "dhcp"), "daemon", "-socketpath", str(path)),
            env={"PATH": os.defpath},
            stderr=stderr,
        )
    place.at_end(lambda: daemon.wait(_SECONDS))
    place.at_end(daemon.terminate)
    suite.residents.append(daemon.pid)
    until = time.monotonic() + _SECONDS
    with socket.socket(socket.AF_UNIX) as asking:
        while daemon.poll() is None and time.monotonic() < until:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                asking.connect(str(path))
                return
            os.sched_yield()
    raise RuntimeError(f"{suite.name}: dhcp daemon does not listen: {log.read_text()}")
