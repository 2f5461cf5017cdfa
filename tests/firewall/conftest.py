"""What firewall's tests share: a host that routes, two bridges with containers, a client beyond."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostnet import nft
from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask
from tests.portmap.conftest import World as Routed

TABLE = "pycni_firewall"
PORT = 7


class World(Routed):
    """The throwaway host with the bridges br0 and br1 and an uplink to a client; a runtime."""

    def __init__(self, host: Host, runtime: Runtime, with_client: bool = True) -> None:
        super().__init__(host, runtime, with_client)
        self.links.append("br1")
        host.command("ip", "link", "add", "br1", "type", "bridge", "mcast_snooping", "0")
        host.command("ip", "link", "set", "br1", "up")
        for one in ("10.3.0.1/24", "fd00:3::1/64"):
            host.command("ip", "address", "add", one, "dev", "br1", "nodad")

    def on(self, bridge: str, network: str = "") -> Guarded:
        """A container on one of the bridges: .2, .3, …; and ::2, ::3, …"""
        self._containers += 1
        number = self._containers + 1
        subnet = {"br0": 1, "br1": 3}[bridge]
        name = f"c{self._containers}"
        ns = self.host.container(name)
        four, six = f"10.{subnet}.0.{number}/24", f"fd00:{subnet}::{number}/64"
        port = f"port{number}"
        self.connect(ns, port, four, six, bridge=bridge)
        ns.wait_ready("eth0")
        made = Guarded(self.runtime, name, ns)
        made.bridge, made.port, made.addresses = bridge, port, (four, six)
        made.network = network or f"net-{bridge}"
        return made


class Guarded:
    """A container, and the firewall calls a runtime makes for it."""

    bridge: str
    port: str
    addresses: tuple[str, ...]
    network: str

    def __init__(self, runtime: Runtime, name: str, ns: Namespace) -> None:
        self.runtime = runtime
        self.name = name
        self.ns = ns

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(one.split("/")[0] for one in self.addresses)

    def result(self) -> Document:
        """The previous result, as bridge gives it."""
        return {
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": self.bridge},
                {"name": self.port},
                {"name": "eth0", "sandbox": str(self.ns)},
            ],
            "ips": [{"interface": 2, "address": one} for one in self.addresses],
        }

    def config(self, policy: str = "", **keys: Any) -> Document:
        return {
            "cniVersion": "1.1.0",
            "name": self.network,
            "type": "firewall",
            "prevResult": self.result(),
            **({"ingressPolicy": policy} if policy else {}),
            **keys,
        }

    def add(self, policy: str = "", **keys: Any) -> Document:
        """ADD; gives the config."""
        config = self.config(policy, **keys)
        result = self.runtime.add(config, container=self.name, netns=self.ns)
        assert result == config["prevResult"]
        return config

    def check(self, config: Document) -> None:
        call = self.runtime.call("CHECK", config, container=self.name, netns=self.ns)
        assert call is None

    def delete(self, **keys: Any) -> None:
        """DEL with nothing but the identity, as when everything else is lost."""
        config = {"cniVersion": "1.1.0", "name": self.network, "type": "firewall", **keys}
        self.runtime.delete(config, container=self.name)

    def reaches(self, other: Guarded) -> tuple[bool, ...]:
        """Whether the other answers, for each family."""
        return tuple(answers(self.ns, other.ns, one) for one in other.ips)

    def forget_neighbours(self) -> None:
        """Whom it asked for in vain it would ask for again only after a second."""
        for family in ("-4", "-6"):
            self.ns.command("ip", family, "neighbour", "flush", "all")


def answers(asker: Namespace, server: Namespace, address: str, at: str = "", port: int = 0) -> bool:
    """Whether a server at this address answers, asked for at another one and port, if given."""
    with EchoServer(server, address, PORT):
        try:
            return ask(asker, at or address, port or PORT, seconds=0.6).payload == "hello"
        except OSError:
            return False


def listed() -> str:
    """The tables as nft prints them."""
    tables = nft.run("list tables")
    return "".join(nft.run(f"list {one}") for one in tables.splitlines() if TABLE in one)


def elements() -> str:
    """What is left of the tables when everything shared is taken away."""
    return "\n".join(line for line in listed().splitlines() if "elements" in line)


def switch(name: str, value: str) -> None:
    Path(f"/proc/sys/{name}").write_text(value)


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_nft(TABLE)
    host.share("sysctl *")
    return Runtime(tmp_path)


@pytest.fixture
def world(host: Host, runtime: Runtime, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(host, runtime, with_client=not getattr(request.module, "NO_CLIENT", False))
    yield made
    made.close()
