"""One container's attachment, driven as libcni drives a conflist: a process for each plugin."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeAlias

from bench.field import Suite
from bench.process import Timed, run

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"
Config: TypeAlias = dict[str, Json]

# The newest that both suites speak: Debian's containernetworking-plugins 1.1.1 ends there.
SPEC_VERSION = "1.0.0"


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
    """A container on a network. plugins: the conflist's configs. container_id: any of CNI's."""

    suite: Suite
    plugins: list[Config]
    container_id: str = "bench"
    network: str = "bench"
    _result: Json = field(default=None, init=False)

    def add(self) -> Timed:
        """ADD, first to last; each plugin sees the result of the one before it."""
        self._result = None
        total = Timed(0, 0, b"")
        for config in self.plugins:
            total += self._call("ADD", config)
            self._result = json.loads(total.output)
        return total

    def delete(self) -> Timed:
        """DEL, last to first, with the result of ADD where there is one."""
        total = Timed(0, 0, b"")
        for config in reversed(self.plugins):
            total += self._call("DEL", config)
        self._result = None
        return total

    def version(self) -> Timed:
        """VERSION of the first plugin."""
        return self._call("VERSION", self.plugins[0])

    def _call(self, command: str, config: Config) -> Timed:
        document = {"cniVersion": SPEC_VERSION, "name": self.network, **config}
        if self._result is not None:
            document["prevResult"] = self._result
        name = config["type"]
        if name == "host-local":  # IPAM plugins read their part of a bigger config
            document = {"cniVersion": SPEC_VERSION, "name": self.network, "ipam": config}
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": str(self.suite.container.path),
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "",
            "CNI_PATH": str(self.suite.directory),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        self.suite.host.enter()
        return run(self.suite.directory / str(name), environ, json.dumps(document).encode())
