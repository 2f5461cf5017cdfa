"""What sbr's tests share: a container with a management network and one to be routed by source."""

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

ADDRESSES = ("10.1.0.2/24 10.1.0.1", "fd00:1::2/64 fd00:1::1")


class Sourced:
    """`eth0` with the default routes and `net1`, which sbr is called for."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.host = host
        self.runtime = runtime
        self.ns = host.container()
        for name, number in (("eth0", 0), ("net1", 1)):
            self._link(name, number)
        for family, via in (("-4", "10.0.0.1"), ("-6", "fd00:0::1")):
            self.ns.command("ip", family, "route", "add", "default", "via", via)
        self.before = self.routes()

    def _link(self, name: str, number: int) -> None:
        port = f"port{number}"
        four, six = f"10.{number}.0", f"fd00:{number}:"
        self.host.command(
            *("ip", "link", "add", port, "type", "veth"),
            *("peer", "name", name, "netns", str(self.ns)),
        )
        for where, dev, last in ((self.host, port, "1"), (self.ns, name, "2")):
            where.command("ip", "link", "set", dev, "addrgenmode", "none", "up")
            where.command("ip", "address", "add", f"{four}.{last}/24", "dev", dev)
            where.command("ip", "address", "add", f"{six}:{last}/64", "dev", dev, "nodad")

    def close(self) -> None:
        for number in (0, 1):
            self.host.command("ip", "link", "delete", f"port{number}")

    # ---- calls ---------------------------------------------------------------------------------

    def result(self, *addresses: str, routes: Any = (), version: str = "1.1.0") -> Document:
        ips = []
        for one in addresses or ADDRESSES:
            address, _, gateway = one.partition(" ")
            ips.append({"interface": 1, "address": address, "gateway": gateway})
            if not gateway:
                del ips[-1]["gateway"]
        return {
            "cniVersion": version,
            "interfaces": [{"name": "port1"}, {"name": "net1", "sandbox": str(self.ns)}],
            "ips": ips,
            "routes": list(routes),
        }

    def config(self, **keys: Any) -> Document:
        return {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": "sbr",
            "prevResult": self.result(),
            **keys,
        }

    def add(self, config: Document, **how: Any) -> Document:
        return self.runtime.add(config, **{"netns": self.ns, "ifname": "net1", **how})

    def check(self, config: Document, **how: Any) -> None:
        call = {"netns": self.ns, "ifname": "net1", **how}
        assert self.runtime.call("CHECK", config, **call) is None

    def delete(self, config: Document, **how: Any) -> None:
        self.runtime.delete(config, **{"netns": self.ns, "ifname": "net1", **how})

    def reference(self, command: str, config: Document) -> None:
        """Call the Go-written plugin of Debian."""
        environ = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "net1",
            "CNI_NETNS": str(self.ns),
            "CNI_PATH": "/usr/lib/cni",
        }
        done = self.host.run(
            subprocess.run,
            ["/usr/lib/cni/sbr"],
            input=json.dumps(config).encode(),
            env=environ,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout

    # ---- what is there -------------------------------------------------------------------------

    def routes(self, table: str = "main", dev: str = "net1") -> list[str]:
        """The routes of a table out of an interface, as `ip route` prints them."""
        found: list[str] = []
        for family in ("-4", "-6"):
            listed = self.ns.command(
                *("ip", family, "route", "show", "table", table, "dev", dev), check=False
            ).stdout
            found += (" ".join(line.split()) for line in listed.splitlines())
        return found

    def rules(self) -> dict[str, str]:
        """The tables of the rules with a source, by that."""
        found = [*self.ns.ip("-4", "rule", "show"), *self.ns.ip("-6", "rule", "show")]
        return {one["src"]: one["table"] for one in found if one["src"] != "all"}

    def leaves_by(self, address: str, source: str = "") -> str:
        """The interface and gateway by which a packet leaves: `net1 via 10.1.0.1`."""
        words = ("from", source) if source else ()
        (found,) = self.ns.ip("route", "get", address, *words)
        return f"{found['dev']} via {found.get('gateway', '-')}"

    def state(self) -> tuple[dict[str, str], list[str]]:
        """The rules with a source, and all routes out of net1."""
        return self.rules(), sorted(line for line in self.all_routes() if "net1" in line)

    def put_back(self) -> None:
        """Give net1 the routes it had at the start."""
        for family in ("-4", "-6"):
            self.ns.command("ip", family, "route", "flush", "table", "all", "dev", "net1", "proto",
                            "boot")  # fmt: skip
        for last in ("10.1.0.2/24", "fd00:1::2/64"):
            self.ns.command("ip", "address", "delete", last, "dev", "net1")
            self.ns.command("ip", "address", "add", last, "dev", "net1", "nodad")
        for table in ("100", "101"):
            for family in ("-4", "-6"):
                self.ns.command("ip", family, "route", "flush", "table", table, check=False)

    def is_as_before(self) -> bool:
        return (
            not self.rules()
            and self.routes() == self.before
            and not [line for line in self.all_routes() if "table 1" in line]
        )

    def all_routes(self) -> list[str]:
        """Of every table but the kernel's own."""
        found: list[str] = []
        for family in ("-4", "-6"):
            listed = self.ns.command("ip", family, "route", "show", "table", "all").stdout
            found += (line for line in listed.splitlines() if "table local" not in line)
        return found


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


@pytest.fixture
def sourced(host: Host, runtime: Runtime) -> Iterator[Sourced]:
    made = Sourced(host, runtime)
    yield made
    made.close()
