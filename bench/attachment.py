"""One container's attachment, driven as libcni drives a conflist: a process for each plugin."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from bench.field import REFERENCE, Suite
from bench.process import Call, Timed, run

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"
Config: TypeAlias = dict[str, Json]

# The newest that both suites speak: Debian's containernetworking-plugins 1.1.1 ends there.
SPEC_VERSION = "1.0.0"
STATUS_VERSION = "1.1.0"
_IPAM = ("host-local", "static", "dhcp")


def bridge(suite: Suite, masquerade: bool) -> Config:
    """The bridge of podman's and containerd's default networks, with host-local."""
    return {
        "type": "bridge",
        "bridge": "bench0",
        "isGateway": True,
        "ipMasq": masquerade,
        "hairpinMode": True,
        "ipam": host_local(suite),
    }


def host_local(suite: Suite) -> Config:
    """A /16, so that 10,000 allocations fit; its files in the suite's own directory."""
    return {
        "type": "host-local",
        "dataDir": str(suite.state / "networks"),
        "ranges": [[{"subnet": "10.88.0.0/16"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }


def portmap(port: int) -> Config:
    """One published TCP port."""
    mapping: Json = {"hostPort": port, "containerPort": 80, "protocol": "tcp"}
    return {
        "type": "portmap",
        "capabilities": {"portMappings": True},
        "runtimeConfig": {"portMappings": [mapping]},
    }


@dataclass
class Attachment:
    """A container on a network. plugins: the conflist's configs. container_id: any of CNI's.

    netns: where it is; the suite's container if nothing is said. ifname: its interface. previous:
    the result of plugins before these in a chain.
    """

    suite: Suite
    plugins: list[Config]
    container_id: str = "bench"
    network: str = "bench"
    netns: Path | None = None
    ifname: str = "eth0"
    previous: Json = None
    _result: Json = field(default=None, init=False)
    _output: bytes = field(default=b"", init=False)

    def add(self) -> Timed:
        """ADD, first to last; each plugin sees the result of the one before it."""
        return self._whole("ADD")

    def check(self) -> Timed:
        """CHECK, first to last, with the result of ADD."""
        return self._whole("CHECK")

    def delete(self) -> Timed:
        """DEL, last to first, with the result of ADD where there is one."""
        return self._whole("DEL")

    def status(self) -> Timed:
        """STATUS of every plugin. The reference of spec 1.0.0 does not know it: its VERSION."""
        return self._whole("VERSION" if self.suite.name == REFERENCE else "STATUS")

    def version(self, executable: Path | None = None) -> Timed:
        """VERSION of the first plugin. executable: what runs as it, if not the plugin itself."""
        return self._timed([replace(self._call("VERSION", self.plugins[0]), executable=executable)])

    def calls(self, command: str) -> Iterator[Call]:
        """The calls of a verb, one after the other; `heard` has to be told each one's output."""
        if command == "ADD":
            self._result = self.previous
        for config in self.plugins[:: -1 if command == "DEL" else 1]:
            yield self._call(command, config)
        if command == "DEL":
            self._result = None

    def heard(self, command: str, output: bytes) -> None:
        """A call of `calls` has answered."""
        if command == "ADD":
            self._result = json.loads(output)

    def _whole(self, command: str) -> Timed:
        def heard() -> Iterator[Call]:
            for call in self.calls(command):
                yield call
                self.heard(command, self._output)

        return self._timed(heard())

    def _timed(self, calls: Iterable[Call]) -> Timed:
        """What these calls cost, the daemons' CPU time included."""
        self.suite.host.enter()
        before = self.suite.cpu()
        total = Timed(0, 0, b"")
        for call in calls:
            total += run(call)
            self._output = total.output
        return replace(total, cpu=total.cpu + self.suite.cpu() - before)

    def _call(self, command: str, config: Config) -> Call:
        version = STATUS_VERSION if command == "STATUS" else SPEC_VERSION
        name = config["type"]
        # IPAM plugins read their part of a bigger config
        keys: Config = {"ipam": config} if name in _IPAM else config
        document = {"cniVersion": version, "name": self.network, **keys}
        if self._result is not None:
            document["prevResult"] = self._result
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": str(self.netns or self.suite.container.path),
            "CNI_IFNAME": self.ifname,
            "CNI_ARGS": "",
            "CNI_PATH": str(self.suite.directory),
            "CNID_SOCKET": self.suite.socket,
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent",  # not the machine's firewalld
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        return Call(self.suite.directory / str(name), environ, json.dumps(document).encode())
