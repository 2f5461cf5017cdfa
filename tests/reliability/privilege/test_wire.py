"""What comes from a wire: addresses of localhost, packets in transit, and router advertisements.

The worlds are portmap's: containers on the bridge `br0`, and a client beyond the host's uplink.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostnet import nft
from tests.kit import iptables
from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask
from tests.portmap.conftest import CLIENT, GATEWAY, UPLINK, Container, World, one, two, world
from tests.reliability.privilege import frames

__all__ = ["one", "two", "world"]

BACKENDS = ("nftables", *(f"iptables-{one}" for one in iptables.VARIANTS))
SECRET = 7000
"""The port of what the host has on its localhost alone."""


@pytest.fixture
def runtime(backend: str, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    host.share_nft()
    host.share("sysctl *")
    kind, _, variant = backend.partition("-")
    if kind == "iptables":
        HostTables(host, tmp_path, variant).install(monkeypatch)
    return Runtime(tmp_path)


def web(**keys: object) -> dict[str, object]:
    return {"hostPort": 8080, "containerPort": 80, "protocol": "udp", **keys}


def keys_of(backend: str) -> dict[str, str]:
    return {"backend": backend.partition("-")[0]}


@contextmanager
def listening(
    ns: Namespace, family: int, *addresses: tuple[str, int]
) -> Iterator[list[socket.socket]]:
    kind = (socket.AF_INET, socket.AF_INET6)[family]
    made = [ns.run(socket.socket, kind, socket.SOCK_DGRAM) for _ in addresses]
    try:
        for one_socket, address in zip(made, addresses, strict=True):
            one_socket.settimeout(20)
            one_socket.bind(address)
        yield made
    finally:
        for one_socket in made:
            one_socket.close()


def said_before(server: socket.socket, last: bytes) -> list[bytes]:
    """What came before the last, which was sent behind it and over the same wire."""
    seen = []
    while (text := server.recv(99)) != last:
        seen.append(text)
    return seen


@pytest.mark.parametrize("way", [(side, v) for side in ("container", "uplink") for v in (0, 1)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_localhost_from_the_wire(
    backend: str, way: tuple[str, int], world: World, one: Container, two: Container
) -> None:
    """Neither as the destination nor as the source: of the host's own service, and of a mapping."""
    side, family = way
    one.add(web(), **keys_of(backend))
    sender, interface, mine, honest = {
        "container": (two.ns, "br0", two.ips[family], GATEWAY[family]),
        "uplink": (world.client, "uplink", CLIENT[family], UPLINK[family]),
    }[side]
    # What makes it dangerous, wherever it was set; portmap has set the first for the bridge.
    for key in ("route_localnet", "accept_local"):
        Path(f"/proc/sys/net/ipv4/conf/{interface}/{key}").write_text("1")
    for name in ("all", interface):
        Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    localhost = ("127.0.0.1", "::1")[family]
    to = frames.mac_of(world.host, interface)
    everywhere = ("0.0.0.0", "::")[family]
    with (
        listening(world.host, family, (everywhere, SECRET)) as (secret,),
        listening(one.ns, family, (everywhere, 80)) as (mapped,),
    ):

        def forge() -> tuple[list[bytes], list[bytes]]:
            for port in (SECRET, 8080):
                for source, destination in (
                    (mine, localhost),
                    (localhost, honest),
                    (localhost, localhost),
                    *(((mine, "127.9.9.9"), ("127.9.9.9", honest)) if family == 0 else ()),
                ):
                    text = f"{source} {destination}".encode()
                    frames.send(sender, "eth0", to, frames.udp(source, destination, port, text))
                frames.send(sender, "eth0", to, frames.udp(mine, honest, port, b"honest"))
            return said_before(secret, b"honest"), said_before(mapped, b"honest")

        assert forge() == ([], [])
        if family == 0 and backend == "nftables":
            # It was the guard, and nothing else in the way.
            nft.run("flush chain inet pycni_portmap guard")
            assert f"{mine} {localhost}".encode() in forge()[0]
    one.delete(**keys_of(backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_transit_meets_no_mapping(
    backend: str, world: World, one: Container, two: Container
) -> None:
    """GHSA-jv3w-x3r3-g6rm: the port of a mapping, at an address that is not the host's."""
    one.add(web(), web(hostPort=8081, protocol="tcp"), **keys_of(backend))
    for family in (0, 1):
        for protocol, port in (("udp", 8080), ("tcp", 8081)):
            with (
                EchoServer(one.ns, one.ips[family], 80, protocol, "mapped"),
                EchoServer(two.ns, two.ips[family], port, protocol, "inside"),
                EchoServer(world.client, CLIENT[family], port, protocol, "outside"),
            ):
                # Through the host: in, out, and from one container to another.
                assert ask(world.client, two.ips[family], port, protocol).server == "inside"
                assert ask(two.ns, CLIENT[family], port, protocol).server == "outside"
                assert ask(one.ns, CLIENT[family], port, protocol).server == "outside"
                assert ask(one.ns, two.ips[family], port, protocol).server == "inside"
                # And from the host itself, to others.
                assert ask(world.host, CLIENT[family], port, protocol).server == "outside"
                assert ask(world.client, UPLINK[family], port, protocol).server == "mapped"
    one.delete(**keys_of(backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mapping_of_localhost_stays_there(
    backend: str, world: World, one: Container, two: Container
) -> None:
    """A port that is published at 127.0.0.1 is the host's own affair."""
    one.add(web(hostIP="127.0.0.1"), **keys_of(backend))
    with EchoServer(one.ns, one.ips[0], 80, "udp", "mapped"):
        assert ask(world.host, "127.0.0.1", 8080, "udp").server == "mapped"
        for asker, address in ((two.ns, GATEWAY[0]), (world.client, UPLINK[0])):
            with pytest.raises(ConnectionRefusedError):
                ask(asker, address, 8080, "udp")
    one.delete(**keys_of(backend))


BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "cni0", "isGateway": True}
CHAINS: dict[str, dict[str, Any]] = {
    "bridge": BRIDGE,
    "bridge without a gateway": {**BRIDGE, "isGateway": False},
    "ptp": {"type": "ptp"},
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_containers_advertisement_routes_nothing(
    chain: str, host: Host, container: Namespace, tmp_path: Path
) -> None:
    """CVE-2020-10749: a container that says it is a router must not become the host's."""
    host.share("sysctl *", "link cni0 *", "address dev cni0 *", "route *")
    ipam = {"type": "static", "addresses": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1"}]}
    config = {"cniVersion": "1.1.0", "name": "net", **CHAINS[chain], "ipam": ipam}
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    runtime = Runtime(tmp_path)
    result = runtime.add(config, netns=container)
    towards = result["interfaces"][0]["name"]
    _advertise(host, towards, container)
    # A pair that nobody has protected, on which the same words are believed.
    plain = host.container("plain")
    pair = ("ip", "link", "add", "plain", "type", "veth", "peer", "name", "eth0", "netns")
    host.command(*pair, str(plain))
    host.command("ip", "link", "set", "plain", "up")
    plain.command("ip", "link", "set", "eth0", "up")
    _advertise(host, "plain", plain)
    deadline = time.monotonic() + 20
    while "plain" not in _believed(host):
        assert time.monotonic() < deadline
    assert _believed(host) == {"plain"}
    host.command("ip", "link", "delete", "plain")
    runtime.delete(config, netns=container)


def _advertise(host: Host, name: str, ns: Namespace) -> None:
    host.wait_ready(name, 20)
    packet = frames.advertisement("fe80::bad", "2001:db8:bad::")
    frames.send(ns, "eth0", bytes.fromhex("333300000001"), packet)


def _believed(host: Host) -> set[str]:
    """The interfaces by which the host has a route that it was told of."""
    return {one["dev"] for one in host.ip("-6", "route", "show", "proto", "ra") or ()}
