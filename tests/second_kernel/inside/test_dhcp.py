"""`dhcp` under `ipvlan`, whose interfaces have one hardware address."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from tests.dhcp.world import Daemon, Dnsmasq, addresses
from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.second_kernel.inside.segment import wire


class Wire(NamedTuple):
    """The machine at the other end of the host's `up0`."""

    servers: Namespace
    card: str


def test_containers_that_share_a_mac(runtime: Runtime, host: Host, tmp_path: Path) -> None:
    """Each is a client of its own, and asks for answers to everybody: those reach it."""
    scope = "--dhcp-range=10.1.0.50,10.1.0.99,255.255.0.0,1h"
    daemon = Daemon(host, tmp_path)
    ipam = {"type": "dhcp", "daemonSocketPath": str(daemon.socket)}
    config: dict[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "ipvlan"}
    config |= {"master": "up0", "ipam": ipam}
    containers = {"c1": host.container(), "c2": host.container()}
    with wire(host) as segment, daemon, Dnsmasq(Wire(segment, "e"), tmp_path, scope) as server:
        found = [
            addresses(runtime.add(config, netns=ns, container=name))[0]
            for name, ns in containers.items()
        ]
        assert found[0] != found[1]
        assert [ns.addresses("eth0") for ns in containers.values()] == [[one] for one in found]
        server.wait("broadcast response")
        got = server.mark()
        daemon.renew()
        for address in found:
            server.wait(f"DHCPACK.* {address.partition('/')[0]} ", got)
        for name, ns in containers.items():
            runtime.delete(config, netns=ns, container=name)
        released = (f" {address.partition('/')[0]} " for address in found)
        assert server.end(*released, after=got) == ""
