"""What plugins expect on a host, and what is put back between two measurements."""

from __future__ import annotations

import json
import time

from bench.field import Field, Suite
from bench.process import Timed
from hostnet import link

WIRE = "wire0"
DEVICE = "device0"
_SPARE = "spare0"


def wire(suite: Suite, _place: Field) -> None:
    """An interface of the host's that others are made on."""
    _pair(suite, WIRE)


def device(suite: Suite, _place: Field) -> None:
    """An interface of the host's that is given away."""
    _pair(suite, DEVICE)


def move(suite: Suite) -> Timed:
    """A device that is up into the container, and back again, which is not timed."""
    with (
        suite.host.open() as host,
        suite.container.open() as container,
        host.netlink() as outside,
        container.netlink() as inside,
    ):
        if link.find(outside, _SPARE) is None:
            _pair(suite, _SPARE)
        spare = link.get(outside, _SPARE)
        link.change(outside, spare.index, up=True)
        began = time.perf_counter()
        link.change(outside, spare.index, netns_fd=container.fileno())
        wall = time.perf_counter() - began
        link.change(inside, link.get(inside, _SPARE).index, netns_fd=host.fileno())
    return Timed(wall, 0.0, b"")


def _pair(suite: Suite, name: str) -> None:
    """A link of the host's that is up and has a carrier."""
    other = f"{name}-peer"
    suite.host.command("ip", "link", "add", name, "type", "veth", "peer", "name", other)
    for end in (name, other):
        suite.host.command("ip", "link", "set", end, "up")


def main_routes(suite: Suite) -> None:
    """As the bridge left them: sbr moves them to a table of their own, and its DEL the rules only.

    Without this the reference finds routes of its own from last time, and fails. What vrf lets go
    has lost its routes.
    """
    ip = ("ip", "-4", "route")
    suite.container.command(*ip, "flush", "table", "100", check=False)
    suite.container.command(
        *ip, "replace", "10.88.0.0/16", "dev", "eth0", "scope", "link", "src", "10.88.0.2"
    )
    suite.container.command(*ip, "replace", "default", "via", "10.88.0.1", "dev", "eth0")


def without_shaping(suite: Suite) -> None:
    """None, as the bridge left it: bandwidth's DEL leaves the host's end to whoever deletes it.

    Without this the reference finds its own queueing discipline from last time, and fails.
    """
    ports = suite.host.command("ip", "-json", "link", "show", "master", "bench0").stdout
    for port in json.loads(ports):
        for side in ("root", "ingress"):
            suite.host.command("tc", "qdisc", "del", "dev", port["ifname"], side, check=False)
