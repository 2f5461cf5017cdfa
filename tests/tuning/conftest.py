"""What tuning's tests share: a container on a veth, a chain's result, an allowlist of their own."""

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
from tests.kit.namespace import MNT_DETACH, libc, mount

REFERENCE = Path("/usr/lib/cni/tuning")
MAC = "02:00:00:00:00:77"
ADDRESSES = ("10.1.0.2/24", "fd00:1::2/64")


class Tuned:
    """A container's eth0, as a plugin before tuning has left it, and the calls for it."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.host = host
        self.runtime = runtime
        self.ns = host.container()
        host.command(
            *("ip", "link", "add", "port0", "type", "veth", "peer", "name", "eth0"),
            *("netns", str(self.ns)),
        )
        host.command("ip", "link", "set", "port0", "up")
        self.ns.command("ip", "link", "set", "eth0", "up")
        self.ns.command("ip", "address", "add", ADDRESSES[0], "dev", "eth0")
        self.before = self.attributes()

    def attributes(self) -> Document:
        """Of eth0, by the config's keys."""
        eth0 = self.ns.links()["eth0"]
        return {
            "mac": eth0["address"],
            "mtu": eth0["mtu"],
            "promisc": "PROMISC" in eth0["flags"],
            "allmulti": "ALLMULTI" in eth0["flags"],
            "txQLen": eth0.get("txqlen", 0),
        }

    def sysctl(self, name: str) -> str:
        return self.ns.command("sysctl", "-n", name).stdout.strip()

    def result(self, *addresses: str) -> Document:
        return {
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "port0", "mac": self.host.links()["port0"]["address"]},
                {"name": "eth0", "mac": self.before["mac"], "mtu": 1500, "sandbox": str(self.ns)},
                {"name": "eth0", "mac": "02:00:00:00:00:01"},
            ],
            "ips": [{"interface": 1, "address": one} for one in addresses or ADDRESSES],
        }

    def config(self, **keys: Any) -> Document:
        return {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "tuning",
            "dataDir": str(self.host.state),
            "prevResult": self.result(),
            **keys,
        }

    def add(self, config: Document, **how: Any) -> Document:
        return self.runtime.add(config, netns=self.ns, **how)

    def check(self, config: Document, **how: Any) -> None:
        assert self.runtime.call("CHECK", config, netns=self.ns, **how) is None

    def delete(self, config: Document, **how: Any) -> None:
        self.runtime.delete(config, **{"netns": self.ns, **how})

    @property
    def backups(self) -> list[Path]:
        return sorted(self.host.state.iterdir())

    def reference(self, command: str, config: Document) -> Document | None:
        """Call the Go-written plugin of Debian."""
        environ = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": str(self.ns),
            "CNI_PATH": str(REFERENCE.parent),
        }
        done = self.host.run(
            subprocess.run,
            [REFERENCE],
            input=json.dumps({**config, "cniVersion": "1.0.0"}).encode(),
            env=environ,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout) if done.stdout else None

    def close(self) -> None:
        self.host.command("ip", "link", "delete", "port0")


@pytest.fixture
def tuned(host: Host, tmp_path: Path) -> Iterator[Tuned]:
    made = Tuned(host, Runtime(tmp_path))
    yield made
    made.close()


@pytest.fixture
def allowlist() -> Iterator[Path]:
    """The host's allowlist, to be written; empty of files before and after."""
    directory = Path("/etc/cni/tuning")
    directory.mkdir(parents=True, exist_ok=True)
    mount("none", directory, "tmpfs")
    yield directory / "allowlist.conf"
    libc("umount2", bytes(directory), MNT_DETACH)
