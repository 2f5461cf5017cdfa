"""Containers on the host's own wire: podman's macvlan networks, with addresses of the LAN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tests.clients.conftest import BEYOND
from tests.clients.machine import SECONDS, Machine, fetch, is_silent
from tests.clients.podman import Podman
from tests.dhcp.world import Dnsmasq
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

MACVLAN = ("--driver=macvlan", "--opt=parent=wan0")


class Wire(NamedTuple):
    """Where a DHCP server listens."""

    servers: Namespace
    card: str


def test_addresses_of_the_lan(machine: Machine, outside: Namespace) -> None:
    podman = Podman(machine)
    where = (f"--subnet={BEYOND[0]}/24", f"--gateway={BEYOND[0]}", "--ip-range=192.0.2.128/25")
    assert podman.create("lan", *MACVLAN, *where) == ["macvlan"]
    podman.serve("one", "--network=lan")
    podman.serve("two", "--network=lan", "--ip=192.0.2.177", "--mac-address=02:00:00:00:00:77")
    assert podman.namespace("two").links()["eth0"]["address"] == "02:00:00:00:00:77"
    assert fetch(outside, "192.0.2.129", 80) == "one"
    assert fetch(outside, "192.0.2.177", 80) == "two"
    assert fetch(podman.namespace("one"), "192.0.2.177", 80) == "two"
    podman.restart("two")
    assert fetch(outside, "192.0.2.177", 80) == "two"
    podman.remove("one", "two")
    assert is_silent(outside, "192.0.2.177", 80)


def test_leases_of_the_lan(machine: Machine, outside: Namespace, tmp_path: Path) -> None:
    """podman takes DHCP for a macvlan network without a subnet."""
    podman = Podman(machine)
    daemon = machine.serve("/opt/cni/bin/dhcp", "daemon")
    options = ("--dhcp-range=192.0.2.100,192.0.2.150,255.255.255.0,1h",)
    with Dnsmasq(Wire(outside, "eth0"), tmp_path, *options) as server:
        assert podman.create("lan", *MACVLAN) == ["macvlan"]
        path = machine.path("/etc/cni/net.d/lan.conflist")
        assert json.loads(path.read_text())["plugins"][0]["ipam"] == {"type": "dhcp"}
        podman.serve("one", "--network=lan")
        (address,) = podman.namespace("one").addresses("eth0")
        assert fetch(outside, address.partition("/")[0], 80) == "one"
        podman.restart("one")
        assert ping(podman.namespace("one"), BEYOND[0], SECONDS) is not None
        podman.remove("one")
        assert server.end("") == ""
    machine.end(daemon)
