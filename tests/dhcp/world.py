"""A LAN on the host's bridge with a namespace for servers, real DHCP servers, and our daemon."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

from tests.dhcp.logged import Logged
from tests.kit.calls import Document, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT, ROOT / "plugins" / "dhcp"]
SERVER4 = "10.99.0.1"
SERVER6 = "fd99::1"


class Segment(Protocol):
    """Where servers are: a namespace, and the name of its card."""

    @property
    def servers(self) -> Namespace: ...

    @property
    def card(self) -> str: ...


class Lan:
    """The bridge `lan` of the host, and `servers`, a namespace on it with 10.99.0.1 and fd99::1."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.card = "eth0"
        self.servers = Namespace(directory / "servers")
        # A router announces nothing while its own address is looked over for duplicates.
        self.servers.command("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        host.command("ip", "link", "add", "lan", "type", "bridge")
        host.command("ip", "link", "set", "lan", "up")
        self.plug(self.servers, "eth0", "to-servers")
        for address in (f"{SERVER4}/24", f"{SERVER6}/64"):
            self.servers.command("ip", "address", "add", address, "dev", "eth0", "nodad")
        self.servers.wait_ready("eth0")

    def plug(self, ns: Namespace, name: str, port: str) -> None:
        """Give a namespace an interface whose other end is a port of the bridge."""
        self.host.command(
            *("ip", "link", "add", port, "type", "veth"), *("peer", "name", name, "netns", str(ns))
        )
        self.host.command("ip", "link", "set", port, "master", "lan", "up")
        ns.command("ip", "link", "set", name, "up")

    def close(self) -> None:
        for name in ("to-servers", "lan"):
            self.host.command("ip", "link", "delete", name)
        self.servers.close()


class Dnsmasq(Logged):
    """Debian's dnsmasq on the LAN; options: more of its own."""

    def __init__(self, lan: Segment, directory: Path, *options: str) -> None:
        self.leases = directory / "dnsmasq.leases"
        super().__init__(
            lan.servers,
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"),
            *(f"--interface={lan.card}", "--bind-interfaces", "--user=root", "--pid-file="),
            *("--no-ping", "--log-dhcp", "--log-facility=-", f"--dhcp-leasefile={self.leases}"),
            *options,
        )

    def start(self) -> None:
        after = self.mark()
        super().start()
        self.wait("sockets bound exclusively|RTR-ADVERT", after)

    def end(self, *releases: str, after: int = 0) -> str:
        """Stop it when it has logged a release that matches each of these; the leases it had then.

        A DEL ends when its release is sent, the server logs what it reads before it writes its
        file, and it stops only when that is written.
        """
        for one in releases:
            self.wait(f"DHCPRELEASE.*{one}", after)
        self.stop()
        return self.leases.read_text()

    def forget(self) -> None:
        """Forget all leases, while it is stopped, but not who it is itself (to DHCPv6)."""
        lines = self.leases.read_text().splitlines(keepends=True)
        self.leases.write_text("".join(line for line in lines if line.startswith("duid")))


RANGE4 = "--dhcp-range=10.99.0.10,10.99.0.99,255.255.255.0,1h"
OTHER_RANGE = "--dhcp-range=10.99.0.150,10.99.0.199,255.255.255.0,1h"
QUICK = (
    "range 10.99.0.10 10.99.0.99;",
    "option routers 10.99.0.1;",
    "option dhcp-renewal-time 1;",
    "option dhcp-rebinding-time 2;",
)
"""For Dhcpd, as dnsmasq knows no times of less than 3 seconds."""


class Dhcpd(Logged):
    """ISC's server, for leases of seconds."""

    def __init__(self, lan: Lan, directory: Path, *statements: str) -> None:
        config, leases = directory / "dhcpd.conf", directory / "dhcpd.leases"
        body = "\n".join(statements)
        config.write_text(
            f"authoritative;\nsubnet 10.99.0.0 netmask 255.255.255.0 {{\n{body}\n}}\n"
        )
        leases.touch()
        super().__init__(
            lan.servers,
            *(
                "dhcpd",
                "-4",
                "-f",
                "-d",
                "-cf",
                str(config),
                "-lf",
                str(leases),
                "--no-pid",
                "eth0",
            ),
        )

    def start(self) -> None:
        after = self.mark()
        super().start()
        self.wait("Server starting service", after)


class Daemon(Logged):
    """Our daemon, from source, in the host's namespace."""

    def __init__(self, host: Host, directory: Path, *flags: str) -> None:
        self.socket = directory / "dhcp.sock"
        self.directory = directory / "dhcp"
        program = "import sys; from cni_dhcp.daemon.main import main; sys.exit(main(sys.argv[1:]))"
        super().__init__(
            host,
            *(sys.executable, "-c", program, "-socketpath", str(self.socket), *flags),
            environ={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, SOURCES))},
        )

    def start(self) -> None:
        after = self.mark()
        super().start()
        self.wait('"msg":"serving"', after)

    def add_flags(self, *flags: str) -> None:
        """For the next start."""
        self._argv = (*self._argv, *flags)

    def start_again(self, *flags: str) -> None:
        """With more flags."""
        self.stop()
        self.add_flags(*flags)
        self.start()

    def renew(self) -> None:
        """Have it renew everything now."""
        self.send(signal.SIGHUP)

    @property
    def files(self) -> list[Document]:
        """The leases that are written down; there is nothing else."""
        if not self.directory.exists():
            return []
        return [json.loads(path.read_text()) for path in sorted(self.directory.iterdir())]


IMPATIENT = "-resendtimeout=1s"
"""For tests in which nobody answers."""


class Network:
    """A network of the bridge plugin on the LAN, with `ipam.type` dhcp."""

    def __init__(self, runtime: Runtime, daemon: Daemon) -> None:
        self.runtime = runtime
        self.daemon = daemon
        self.ipam: Document = {"type": "dhcp", "daemonSocketPath": str(daemon.socket)}
        self.version = "1.1.0"
        self.name = "net"

    @property
    def config(self) -> Document:
        return {
            "cniVersion": self.version,
            "name": self.name,
            "type": "bridge",
            "bridge": "lan",
            "ipam": self.ipam,
        }

    @property
    def alone(self) -> Document:
        """The same without the bridge plugin: dhcp itself is called."""
        return {**self.config, "type": "dhcp"}

    def add(self, netns: Namespace, /, **how: Any) -> Document:
        return self.runtime.add(self.config, netns=netns, **how)

    def delete(self, netns: Namespace | str, /, **how: Any) -> None:
        self.runtime.delete(self.config, netns=netns, **how)


def addresses(result: Document) -> list[str]:
    return [one["address"] for one in result["ips"]]
