"""What the tests of healing share: containers that run, and who sees whether they are served."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CniError
from hostnet import netfilter
from libcni.attachment import Attachment
from libcni.cache import Cache
from libcni.conf import NetworkConfigList, network_from_bytes
from libcni.gojson import compact
from libcni.heal import Healer, Report
from libcni.invoke import request, write_result
from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.traffic import EchoServer, ask

UPLINK = "10.2.0.1"
CLIENT = "10.2.0.9"
SERVED = 80
ECHO = 7
_LINK = ("ifindex", "link_index", "ifname", "address", "mtu", "master")


class Container:
    """A container of the world's: attached, and in the cache, until `delete`."""

    def __init__(self, world: World, number: int, network: NetworkConfigList, **given: Any) -> None:
        self.world = world
        self.network = network
        self.host_port = 8000 + number
        self.ns = given.get("ns") or world.host.container(f"c{number}")
        mappings = [{"hostPort": self.host_port, "containerPort": SERVED}]
        self.attachment = Attachment(
            f"c{number}",
            str(self.ns),
            given.get("ifname", "eth0"),
            (),
            given.get("args", {"portMappings": mappings}),
        )
        self.result: Document = {}

    @property
    def address(self) -> str:
        found: str = self.result["ips"][0]["address"].split("/")[0]
        return found

    def call(self, verb: str, plugin: int, previous: Document | None = None) -> Document | None:
        conf = self.network.plugins[plugin]
        config: Document = json.loads(request(self.network, conf, self.attachment, previous))
        return self.world.runtime.call(
            verb, config, container=self.attachment.container_id, netns=self.ns,
            ifname=self.attachment.ifname, environ=self.world.environ,
        )  # fmt: skip

    def add(self) -> Container:
        previous: Document | None = None
        for index in range(len(self.network.plugins)):
            previous = self.call("ADD", index, previous)
        assert previous is not None
        self.result = previous
        self.world.cache.prepare(self.network.name, self.attachment.key)
        self.world.cache.store(self.network, self.attachment, previous)
        return self

    def check(self) -> None:
        for index in range(len(self.network.plugins)):
            self.call("CHECK", index, self.result)

    def delete(self, *, forget: bool = True) -> None:
        for index in reversed(range(len(self.network.plugins))):
            self.call("DEL", index, self.result)
        if forget:
            self.world.cache.remove(self.network.name, self.attachment.key)
        self.world.containers.remove(self)

    # ---- who sees what

    def is_masqueraded(self) -> bool:
        """Whether the client sees the host's address when the container asks it."""
        with EchoServer(self.world.client, CLIENT, ECHO):
            try:
                return ask(self.ns, CLIENT, ECHO, seconds=1).client == UPLINK
            except OSError:  # the client has no way back to the container
                return False

    def is_published(self) -> bool:
        """Whether the client reaches the container by the host's port."""
        with EchoServer(self.ns, self.address, SERVED):
            try:
                return ask(self.world.client, UPLINK, self.host_port, seconds=1).payload == "hello"
            except OSError:
                return False

    def reaches(self, other: Container) -> bool:
        """Whether one container reaches another by its address."""
        with EchoServer(other.ns, other.address, ECHO):
            try:
                return ask(self.ns, other.address, ECHO, seconds=0.6).payload == "hello"
            except OSError:
                return False

    def links(self) -> Any:
        """What must not change: links as they are known, addresses and routes, of both sides."""
        found = []
        for ns in (self.ns, self.world.host):
            links = ns.ip("link")
            known = [[one.get(key) for key in _LINK] for one in links]
            addresses = [ns.addresses(one["ifname"]) for one in links]
            found.append((known, addresses, ns.ip("-4", "route")))
        return found


class World:
    """The throwaway host with an uplink to a client, a runtime and its cache."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.host = host
        self.runtime = runtime
        self.environ: dict[str, str] = {}
        self.cache = Cache(str(host.state / "cache"))
        self.containers: list[Container] = []
        self._count = 0
        self.client = host.container("client")
        host.command("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0",
                     "netns", str(self.client))  # fmt: skip
        host.command("ip", "address", "add", f"{UPLINK}/24", "dev", "uplink")
        host.command("ip", "link", "set", "uplink", "up")
        self.client.command("ip", "link", "set", "eth0", "up")
        self.client.command("ip", "address", "add", f"{CLIENT}/24", "dev", "eth0")
        self.client.wait_ready("eth0")

    def network(self, name: str = "net", bridge: str = "cni0", **keys: Any) -> NetworkConfigList:
        """Bridge, portmap and firewall; keys: `backend` for all, `policy`, and those of bridge."""
        backend = keys.pop("backend", None)
        chosen = {} if backend is None else {"backend": backend}
        subnet = keys.pop("subnet", "10.1.0.0/16")
        policy = keys.pop("policy", "same-bridge")
        more = keys.pop("more", ())
        routes = keys.pop("routes", [{"dst": "0.0.0.0/0"}])
        plugins: list[Document] = [
            {
                "type": "bridge", "bridge": bridge, "isGateway": True, "ipMasq": True,
                **({} if backend is None else {"ipMasqBackend": backend}),
                "ipam": {
                    "type": "host-local", "subnet": subnet,
                    "dataDir": str(self.host.state / "ipam"),
                    "routes": routes,
                },
                **keys,
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, **chosen},
            {"type": "firewall", "ingressPolicy": policy, **chosen},
            *more,
        ]  # fmt: skip
        return self.network_of(*plugins, name=name)

    def network_of(self, *plugins: Document, name: str = "net") -> NetworkConfigList:
        document: Document = {"cniVersion": "1.1.0", "name": name, "plugins": [*plugins]}
        return network_from_bytes(compact(document))

    def container(self, network: NetworkConfigList | None = None, **given: Any) -> Container:
        self._count += 1
        made = Container(self, self._count, network or self.network(), **given)
        self.containers.append(made)
        return made.add()

    def result_of(self, one: Container) -> Document:
        """What the cache says of it."""
        entry = self.cache.load(one.network.name, one.attachment.key)
        assert entry is not None
        assert entry.result is not None
        return write_result(entry.result, "1.1.0")

    def count_from(self, number: int) -> None:
        """The next container has the number after this one."""
        self._count = number

    def healer(self) -> Healer:
        path = [str(self.runtime.path)]
        return Healer(self.runtime.bundle, path, [self.cache.directory], self.environ)

    def heal(self, network: str = "", *, dry_run: bool = False) -> Report:
        return self.healer().look(network, dry_run=dry_run)

    def flush(self) -> None:
        self.host.command("nft", "flush", "ruleset")

    def nft(self, *words: str) -> str:
        return self.host.command("nft", *words).stdout

    def ruleset(self) -> str:
        """All there is, counters and handles left out, in an order of its own."""
        text = self.host.command("nft", "--stateless", "list", "ruleset").stdout
        found: list[str] = []
        for table in re.findall(r"^table .*?^}\n", text, re.DOTALL | re.MULTILINE):
            parts = re.findall(r"^\t\w.*?^\t}\n", table, re.DOTALL | re.MULTILINE)
            found.append("".join((table.partition("\n")[0], "\n", *sorted(parts))))
        return "".join(sorted(found))

    def reservations(self) -> dict[str, bytes]:
        """The files of host-local, with their times."""
        return {
            str(one): b"%d" % one.stat().st_mtime_ns
            for one in sorted((self.host.state / "ipam").rglob("*"))
        }

    def close(self) -> None:
        for one in list(self.containers):
            try:
                one.delete()
            except CniError:
                pass
        self.host.command("ip", "link", "delete", "uplink")


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Everything that can be damaged, and not the sample that `make test` runs."""
    return bool(request.config.getoption("--whole"))


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_bridge("cni0")
    host.share_bridge("cni1")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *", "file */ipam*", "file */cache*")
    made = Runtime(tmp_path)
    (made.path / "cnid").symlink_to("pycni")  # by which a daemon knows which plugins are its own
    return made


@pytest.fixture
def world(host: Host, runtime: Runtime) -> Iterator[World]:
    made = World(host, runtime)
    try:
        yield made
        made.close()
    finally:
        _forget_sockets()


def _forget_sockets() -> None:
    """A healer keeps this process's netlink socket; the next test is on another host."""
    for kept in netfilter._kept or ():
        kept._sock.close()
    netfilter._kept = None
