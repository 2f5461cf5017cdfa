"""Hosts on one underlay: network namespaces at a switch, each with files and a name of its own.

A `Node` is a host as plugins see one: a network namespace whose `eth0` hangs on the switch, and
beside it a mount namespace (/run, /etc and /var/lib/cni are its own) and a UTS namespace (its host
name), so that files at default paths, unix sockets and "node" stay apart without any setting.
What runs by `Node.run`, `command` or `popen` is in all three; `Node.runtime` calls plugins there
through the door, in this process.

Containers are bound below one directory that all of them share (a mount of its own, MS_SHARED):
the path of a container's namespace is the same for the test and for every host.

The calling process must have private mounts (conftest sees to that).
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tests.kit import leaks
from tests.kit.calls import Document, Runtime
from tests.kit.namespace import (
    CLONE_NEWNS,
    MNT_DETACH,
    MS_BIND,
    Namespace,
    in_thread,
    libc,
    mount,
)
from tests.kit.probe import wait_reach

T = TypeVar("T")

CLONE_FS = 0x00000200
CLONE_NEWUTS = 0x04000000
MS_SHARED = 1 << 20

ROUTER = ("192.0.2.254", "2001:db8::fe")
"""The switch's own addresses, the gateway of every host's default routes."""
PREFIX = (24, 64)
STATE = (Path("/run/cni"), Path("/var/lib/cni"), Path("/etc/cni/net.d"))
"""Directories in which a plugin may leave something on a host."""

_SWITCH_RULES = """
table bridge underlay {
    set cut { type ifname; }
    chain in { type filter hook prerouting priority 0; iifname @cut drop; }
    chain out { type filter hook postrouting priority 0; oifname @cut drop; }
}
"""


class Node(Namespace):
    """One host. `four` and `six` are its underlay addresses (TEST-NET-1, 2001:db8::/32)."""

    def __init__(self, underlay: Underlay, number: int, four: str, six: str) -> None:
        self.number = number
        self.name = name = f"node{number}"
        self.four, self.six = four, six
        self.stays = False
        self.containers: list[Namespace] = []
        self._underlay = underlay
        self._directory = underlay.directory / name
        self._directory.mkdir()
        self._mac = f"02:00:5e:00:00:{number:02x}"  # a reboot does not change it
        self._inside: list[tuple[int, int]] = []
        super().__init__(self._directory / "net")
        self._inside = in_thread(self._furnish)
        self.runtime = _RuntimeInside(self, self._directory)
        self._plug()
        self.before = self.state()

    def _furnish(self) -> list[tuple[int, int]]:
        """Make the mount and UTS namespaces; descriptors that keep them, and their kinds."""
        libc("unshare", CLONE_FS | CLONE_NEWNS | CLONE_NEWUTS)
        libc("sethostname", self.name.encode(), len(self.name))
        mount("none", Path("/run"), "tmpfs")
        for name in ("upper", "work", "cni"):
            Path("/run", name).mkdir()
        mount(
            "none",
            Path("/etc"),
            "overlay",
            0,
            "lowerdir=/etc,upperdir=/run/upper,workdir=/run/work",
        )
        Path("/etc/cni/net.d").mkdir(parents=True, exist_ok=True)
        for directory in STATE[1:]:
            mount("none", directory, "tmpfs")
        return [
            (os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind)
            for name, kind in (("mnt", CLONE_NEWNS), ("uts", CLONE_NEWUTS))
        ]

    def enter(self) -> None:
        """Move the calling thread into it, for good: its working directory is its own then."""
        super().enter()
        where = os.getcwd()
        libc("unshare", CLONE_FS)
        for fd, kind in self._inside:
            libc("setns", fd, kind)
        os.chdir(where)

    def _plug(self) -> None:
        """Put `eth0` on the switch, with the addresses, and wait until it carries packets."""
        switch, mtu = self._underlay.switch, self._underlay.mtu
        batch(
            switch,
            f"link add {self.name} mtu {mtu} type veth"
            f" peer name eth0 mtu {mtu} address {self._mac} netns {self.path}",
            f"link set {self.name} master switch up",
        )
        self.enable()

    def enable(self) -> None:
        """Give `eth0` its addresses and default routes, and wait until it carries packets."""
        self.run(Path("/proc/sys/net/ipv6/conf/eth0/accept_dad").write_text, "0")
        batch(
            self,
            *(
                f"address add {address}/{prefix} dev eth0 nodad"
                for address, prefix in zip((self.four, self.six), PREFIX, strict=True)
            ),
            "link set eth0 up",
            *(f"route replace default via {gateway}" for gateway in ROUTER),
        )
        self._wait_carried()
        self.wait_ready("eth0")  # its link-local address too

    def address(self, family: int) -> str:
        """Its underlay address of family 4 or 6."""
        return self.four if family == 4 else self.six

    def drop_ipv4(self) -> None:
        """Leave `eth0` with IPv6 alone; `four` is empty from then on."""
        self.command("ip", "-4", "address", "flush", "dev", "eth0")
        self.four = ""

    def use_loopback(self) -> None:
        """Make `four` an address of `lo`, as routers have it, routed by the one of `eth0`.

        For hosts that are all there; the switch and they reach it.
        """
        before, self.four, self.stays = self.four, f"203.0.113.{self.number}", True
        self.command("ip", "address", "add", f"{self.four}/32", "dev", "lo")
        others = (one for one in self._underlay.nodes if one is not self)
        for one in (self._underlay.switch, *others):
            one.command("ip", "route", "add", self.four, "via", before)

    def container(self, name: str = "") -> Namespace:
        """A new namespace for a container on this host."""
        made = Namespace(self._directory / (name or f"container{len(self.containers)}"))
        self.containers.append(made)
        return made

    def cut(self) -> None:
        """Let the switch drop its packets; the host sees its carrier and notices nothing."""
        self._cut("add")

    def mend(self) -> None:
        """The end of `cut`."""
        self._cut("delete")
        self._wait_carried()

    def _cut(self, how: str) -> None:
        element = f"{how} element bridge underlay cut {{ {self.name} }}"
        self._underlay.switch.command("nft", "-f", "-", stdin=element)

    def unplug(self) -> None:
        """Take its carrier away."""
        self._underlay.switch.command("ip", "link", "set", self.name, "down")

    def plug(self) -> None:
        """The end of `unplug`."""
        self._underlay.switch.command("ip", "link", "set", self.name, "up")
        self._wait_carried()

    def _wait_carried(self) -> None:
        """Wait until the switch answers.

        Where many links change, the kernel acts on a carrier only once a second (linkwatch), but at
        once, since Linux 6.8, for a link that is asked for: so both ends are.
        """
        batch(self._underlay.switch, f"link show dev {self.name}")
        batch(self, "link show dev eth0")
        for gateway in ROUTER:
            wait_reach(self, gateway)

    def renumber(self, four: str, six: str) -> None:
        """Change the underlay's addresses under whatever runs, as DHCP would."""
        for address in (self.four, self.six):
            family = "-6" if ":" in address else "-4"
            self.command("ip", family, "address", "flush", "dev", "eth0", "scope", "global")
        self.four, self.six = four, six
        self.enable()

    def crash(self) -> None:
        """End it without a word: everything in the kernel and in /run is gone, /var is not.

        What runs in it keeps its namespace: end that first.
        """
        for one in self.containers:
            one.close()
        self.containers.clear()
        self._underlay.switch.command("ip", "link", "del", self.name)
        self.run(_empty, Path("/run/cni"))
        super().close()

    def boot(self, four: str = "", six: str = "") -> None:
        """The end of `crash`, with other addresses if they are given."""
        self.four, self.six = four or self.four, six or self.six
        Namespace.__init__(self, self.path)
        self._plug()

    def state(self) -> set[str]:
        """What is on the host: links, addresses, routes, rules, nft, files (see `leaks`)."""
        return self.run(lambda: leaks.of_namespace() | leaks.of_directories(STATE))

    def left(self) -> list[str]:
        """What is there and was not at the beginning."""
        return sorted(self.state() - self.before)

    def close(self) -> None:
        for one in self.containers:
            one.close()
        for fd, _ in self._inside:
            os.close(fd)
        self._inside = []
        super().close()


class _RuntimeInside(Runtime):
    """A runtime whose plugins run on a node."""

    def __init__(self, node: Node, directory: Path) -> None:
        super().__init__(directory)
        self._node = node

    def call(self, command: str, config: Document, **how: Any) -> Document | None:
        return self._node.run(super().call, command, config, **how)


class Underlay:
    """`with Underlay(directory) as underlay:` a switch and `hosts` nodes, node1 to nodeN.

    mtu: of the switch and of every `eth0`. snooping: the switch sends a multicast group's packets
    only to the ports that asked for it, and asks them itself (it is the querier); else it floods.
    """

    def __init__(
        self, directory: Path, hosts: int = 3, *, mtu: int = 1500, snooping: bool = False
    ) -> None:
        self.directory = directory / "underlay"
        self.mtu = mtu
        self.nodes: list[Node] = []
        self.directory.mkdir()
        mount(str(self.directory), self.directory, "none", MS_BIND)
        mount("none", self.directory, "none", MS_SHARED)
        self.switch = Namespace(self.directory / "switch")
        try:
            self._build(snooping)
            for _ in range(hosts):
                self.join()
        except BaseException:
            self.close()
            raise

    def _build(self, snooping: bool) -> None:
        on = int(snooping)
        batch(
            self.switch,
            # With a MAC of its own: else it has the lowest of its ports' until another host joins,
            # whereupon what the others have learned is wrong.
            f"link add switch address 02:00:5e:00:00:fe type bridge"
            f" mcast_snooping {on} mcast_querier {on} mcast_igmp_version 3 mcast_mld_version 2",
            *(
                f"address add {address}/{prefix} dev switch nodad"
                for address, prefix in zip(ROUTER, PREFIX, strict=True)
            ),
            f"link set switch mtu {self.mtu} up",
        )
        # Rules, and not the ports' state: the bridge forgets nothing, as a bad cable would have it.
        self.switch.command("nft", "-f", "-", stdin=_SWITCH_RULES)

    def join(self, four: str = "", six: str = "") -> Node:
        """One more host, 192.0.2.N and 2001:db8::N unless told."""
        number = len(self.nodes) + 1
        made = Node(self, number, four or f"192.0.2.{number}", six or f"2001:db8::{number}")
        self.nodes.append(made)
        return made

    def close(self) -> None:
        """Remove everything."""
        for one in (*self.nodes, self.switch):
            one.close()
        libc("umount2", bytes(self.directory), MNT_DETACH)

    def __enter__(self) -> Underlay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def batch(ns: Namespace, *commands: str, program: str = "ip") -> None:
    """Run commands of `ip` or `bridge` in a namespace; AssertionError at the first that fails."""
    ns.command(program, "-batch", "-", stdin="\n".join(commands) + "\n")


def _empty(directory: Path) -> None:
    for path, _, files in os.walk(directory):
        for name in files:
            Path(path, name).unlink()
