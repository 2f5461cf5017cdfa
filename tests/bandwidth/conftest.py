"""What bandwidth's tests share: a container on a pair with the host, and the calls for it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace

REFERENCE = Path("/usr/lib/cni/bandwidth")
MBIT = 1_000_000
BOTH: Document = {
    "ingressRate": 20 * MBIT,
    "ingressBurst": 800_000,
    "egressRate": 40 * MBIT,
    "egressBurst": 1_600_000,
}


class Limited:
    """A container's interface and its peer on the host, and the calls for it."""

    def __init__(
        self, host: Host, runtime: Runtime, ns: Namespace, *, ifname: str = "eth0", number: int = 0
    ) -> None:
        self.host = host
        self.runtime = runtime
        self.ns = ns
        self.ifname = ifname
        self.port = f"port{number}"
        self.ip, self.gateway = f"10.{number}.0.2", f"10.{number}.0.1"
        host.command(
            *("ip", "link", "add", self.port, "mtu", "1500", "type", "veth"),
            *("peer", "name", ifname, "netns", str(ns)),
        )
        host.command("ip", "address", "add", f"{self.gateway}/24", "dev", self.port)
        host.command("ip", "link", "set", self.port, "up")
        ns.command("ip", "address", "add", f"{self.ip}/24", "dev", ifname)
        ns.command("ip", "link", "set", ifname, "up")

    def result(self, version: str = "1.1.0") -> Document:
        return {
            "cniVersion": version,
            "interfaces": [
                {"name": "cni0"},
                {"name": self.port},
                {"name": self.ifname, "sandbox": str(self.ns)},
            ],
            "ips": [{"interface": 2, "address": f"{self.ip}/24"}],
        }

    def config(self, **keys: Any) -> Document:
        return {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "bandwidth",
            "prevResult": self.result(),
            **keys,
        }

    def add(self, config: Document, **how: Any) -> Document:
        return self.runtime.add(config, **{"netns": self.ns, "ifname": self.ifname, **how})

    def check(self, config: Document, **how: Any) -> None:
        call = {"netns": self.ns, "ifname": self.ifname, **how}
        assert self.runtime.call("CHECK", config, **call) is None

    def delete(self, config: Document, **how: Any) -> None:
        self.runtime.delete(config, **{"netns": self.ns, "ifname": self.ifname, **how})

    def tc(self, *words: str) -> str:
        """What tc(8) lists on the host."""
        return self.host.command("tc", "-details", *words).stdout

    def root(self, dev: str = "") -> str:
        """The queueing discipline of a device, of the port without one; the ingress hook apart."""
        lines = self.tc("qdisc", "show", "dev", dev or self.port).splitlines()
        return next(one for one in lines if " root " in one)

    def hook(self) -> str:
        """Where what comes in at the port is redirected to; empty if it is not."""
        lines = self.tc("filter", "show", "dev", self.port, "ingress")
        _, found, rest = lines.partition("Egress Redirect to device ")
        return rest.split(")")[0] if found else ""

    @property
    def devices(self) -> list[str]:
        """The ifb devices of the host."""
        kinds = {name: one.get("linkinfo", {}) for name, one in self.host.links().items()}
        return sorted(name for name, one in kinds.items() if one.get("info_kind") == "ifb")

    def is_free(self) -> bool:
        """Whether nothing of a limit is left."""
        queues = self.tc("qdisc", "show", "dev", self.port)
        return "noqueue" in queues and "ingress" not in queues and not self.devices

    def reference(self, command: str, config: Document) -> Document | None:
        """Call the Go-written plugin of Debian."""
        environ = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": self.ifname,
            "CNI_NETNS": str(self.ns),
            "CNI_PATH": str(REFERENCE.parent),
        }
        asked = {**config, "cniVersion": "1.0.0"}
        asked["prevResult"] = {**asked["prevResult"], "cniVersion": "1.0.0"}
        done = self.host.run(
            subprocess.run,
            [REFERENCE],
            input=json.dumps(asked).encode(),
            env=environ,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout) if done.stdout else None

    def close(self) -> None:
        self.host.command("ip", "link", "delete", self.port)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


@pytest.fixture
def limited(host: Host, runtime: Runtime, container: Namespace) -> Iterator[Limited]:
    made = Limited(host, runtime, container)
    yield made
    made.close()
