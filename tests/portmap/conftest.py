"""What portmap's tests share: a host that routes, containers on its bridge, a client beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from hostnet import link, nft
from hostnet.monitor import RTNLGRP_LINK, Monitor
from hostnet.netlink import Netlink
from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace

TABLE = "pycni_portmap"
UPLINK = ("10.2.0.1", "fd00:2::1")
"""The host's addresses towards the client."""
GATEWAY = ("10.1.0.1", "fd00:1::1")
"""The host's addresses on the bridge."""
CLIENT = ("10.2.0.9", "fd00:2::9")


def _switch(name: str, value: str) -> None:
    Path(f"/proc/sys/net/{name}").write_text(value)


def _batch(ns: Namespace, *commands: str) -> None:
    ns.command("ip", "-batch", "-", stdin="\n".join(commands) + "\n")


def _is_ready(one: link.Link) -> bool | None:
    """True when packets pass: the kernel opens a port some time after its peer is up."""
    state = one.info(link.IFLA_INFO_SLAVE_DATA).get(1)  # IFLA_BRPORT_STATE, <linux/if_link.h>
    return True if one.carrier and state in (None, b"\x03") else None


class World:
    """The throwaway host with a bridge `br0` and an uplink to `client`, and a runtime on it."""

    def __init__(self, host: Host, runtime: Runtime, with_client: bool = True) -> None:
        self.host = host
        self.runtime = runtime
        self._client = host.container("client") if with_client else None
        self.links = ["br0"]
        self._containers = 0
        host.run(_switch, "ipv6/conf/default/accept_dad", "0")
        _switch("ipv4/ip_forward", "1")
        _switch("ipv6/conf/all/forwarding", "1")
        _batch(
            host,
            "link add br0 type bridge mcast_snooping 0",
            "link set br0 up",
            *(f"address add {one} dev br0 nodad" for one in ("10.1.0.1/24", "fd00:1::1/64")),
        )
        self.show_bridged_packets(False)
        if self._client is not None:
            self.connect(self._client, "uplink", "10.2.0.9/24", "fd00:2::9/64", bridge="")

    @property
    def client(self) -> Namespace:
        """A namespace beyond the uplink."""
        assert self._client is not None, "this module has NO_CLIENT"
        return self._client

    def connect(self, ns: Namespace, name: str, *addresses: str, bridge: str = "br0") -> None:
        """A veth from the host to `ns`; the host is the first address of each subnet."""
        ns.run(_switch, "ipv6/conf/default/accept_dad", "0")
        gateways = [
            (ip_interface(one).network[1], ip_interface(one).network.prefixlen) for one in addresses
        ]
        mine = [f"address add {one}/{size} dev {name} nodad" for one, size in gateways]
        _batch(
            self.host,
            f"link add {name} type veth peer name eth0 netns {ns}",
            *([f"link set {name} master {bridge}"] if bridge else mine),
            f"link set {name} up",
            *([f"link set {name} type bridge_slave hairpin on"] if bridge else []),
        )
        _batch(
            ns,
            "link set eth0 up",
            *(f"address add {one} dev eth0 nodad" for one in addresses),
            *(f"route add default via {one}" for one, _size in gateways),
        )
        self.links.append(name)
        with Monitor(RTNLGRP_LINK) as monitor, Netlink() as nl:
            monitor.until(lambda: _is_ready(link.get(nl, name)), 5, f"{name} to forward")

    def container(self) -> Container:
        """A container on the bridge: .2, .3, …; and ::2, ::3, …"""
        self._containers += 1
        number = self._containers + 1
        ns = self.host.container(f"c{self._containers}")
        four, six = f"10.1.0.{number}/24", f"fd00:1::{number}/64"
        self.connect(ns, f"port{number}", four, six)
        return Container(self, f"c{self._containers}", ns, four, six)

    def show_bridged_packets(self, shown: bool) -> None:
        """Whether what stays inside a bridge meets netfilter all the same (br_netfilter)."""
        for tables in ("iptables", "ip6tables"):
            _switch(f"bridge/bridge-nf-call-{tables}", str(int(shown)))

    def close(self) -> None:
        _batch(self.host, *(f"link del {name}" for name in reversed(self.links)))


class Container:
    """A container, and the portmap calls a runtime makes for it."""

    def __init__(self, world: World, name: str, ns: Namespace, four: str, six: str) -> None:
        self.world = world
        self.runtime = world.runtime
        self.name = name
        self.ns = ns
        self.four, self.six = four, six

    @property
    def ips(self) -> tuple[str, str]:
        return self.four.split("/")[0], self.six.split("/")[0]

    def result(self, *addresses: str) -> Document:
        """The previous result; with both addresses unless others are given."""
        return {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": str(self.ns)}],
            "ips": [{"interface": 1, "address": one} for one in addresses or (self.four, self.six)],
        }

    def config(self, *mappings: Any, **keys: Any) -> Document:
        """portmap's config with these mappings; a number is an abbreviation for N -> 80/tcp."""
        return {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "portmap",
            "runtimeConfig": {"portMappings": [mapping(one) for one in mappings]},
            "prevResult": self.result(),
            **keys,
        }

    def add(self, *mappings: Any, **keys: Any) -> Document:
        """ADD; gives the config."""
        config = self.config(*mappings, **keys)
        result = self.runtime.add(config, container=self.name, netns=self.ns)
        assert result == config["prevResult"]
        return config

    def check(self, config: Document) -> None:
        call = self.runtime.call("CHECK", config, container=self.name, netns=self.ns)
        assert call is None

    def delete(self, name: str = "net", **keys: Any) -> None:
        """DEL with nothing but the identity, as when everything else is lost."""
        config = {"cniVersion": "1.1.0", "name": name, "type": "portmap", **keys}
        self.runtime.delete(config, container=self.name)


def mapping(one: Any) -> Document:
    if isinstance(one, int):
        return {"hostPort": one, "containerPort": 80, "protocol": "tcp"}
    assert isinstance(one, dict)
    return one


def listed() -> str:
    """The table as nft prints it."""
    return nft.run(f"list table inet {TABLE}")


def elements() -> str:
    """What is left of the table when everything shared is taken away."""
    return "\n".join(line for line in listed().splitlines() if "elements" in line)


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


@pytest.fixture
def one(world: World) -> Container:
    """The first container."""
    return world.container()


@pytest.fixture
def two(one: Container, world: World) -> Container:
    """The second container."""
    return world.container()
