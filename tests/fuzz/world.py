"""The host on which plugins meet hostile input: interfaces to take, a container, a guard.

One world serves a whole campaign. After each input what must never change is looked at by the
cheapest means: the links of every namespace, the tables of nftables, the files written.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import socket
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from cni.skel import serve
from hostnet.netlink import NETLINK_NETFILTER, Netlink, parse
from tests.fuzz import verdict
from tests.fuzz.sandbox import SANDBOX
from tests.kit import leaks
from tests.kit.calls import Document, Runtime
from tests.kit.host import SYSTEM_DIRECTORIES, Host

_GETTABLE = 0xA01  # <linux/netfilter/nf_tables.h>
_IPTABLES = frozenset({"nat", "filter", "mangle", "raw", "security"})
_SHARED_KINDS = frozenset({"bridge", "vxlan"})
_GUARD = """
table inet foreign {
  counter seen { packets 7 bytes 7 }
  set some { type ipv4_addr; elements = { 192.0.2.7 }; }
  chain own { type filter hook input priority 5; policy accept; ip saddr 192.0.2.99 drop; }
}
"""
_SCRIPT = '#!/bin/sh\ncat "$FUZZ_ANSWER" 2>/dev/null\nexit "${FUZZ_STATUS:-0}"\n'


class World:
    """host, container: as in every test. attached: a container that has an interface already."""

    def __init__(self, host: Host, runtime: Runtime) -> None:
        self.host, self.runtime = host, runtime
        self.container = host.container("blue")
        self.attached = host.container("green")
        self.answer = host.state / "answer.json"
        script = runtime.path / "foreign"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        self._netfilter = Netlink(NETLINK_NETFILTER)
        host.command("nft", "-f", "-", stdin=_GUARD)
        self._guard = self._foreign()
        for command in (
            "link add up0 type veth peer name up1",
            "link add dev0 type veth peer name dev1",
            "address add 192.0.2.1/24 dev up0",
            "link set up0 up",
            "link set up1 up",
            "route add default via 192.0.2.254 dev up0",
        ):
            host.command("ip", *command.split())
        self._attach()
        self._base = self._links()

    def close(self) -> None:
        """Remove all that the leak check of the test would find."""
        self._netfilter.close()
        for one in (self.container, self.attached):
            one.command("ip", "link", "set", "lo", "up")  # `loopback` took it down
        self.host.command("nft", "flush", "ruleset")
        for name in sorted(self._now_host() - {"lo"}):
            self.host.command("ip", "link", "delete", "dev", name, check=False)
        for top in (self.host.state, *SYSTEM_DIRECTORIES):
            subprocess.run(["find", str(top), "-mindepth", "1", "-delete"], check=True)

    def _attach(self) -> None:
        """Give `attached` its eth0 anew, and the host its end of it."""
        host = self.host
        host.command("ip", "link", "delete", "dev", "vethgreen", check=False)
        host.command("ip", "link", "delete", "dev", "br0", check=False)
        self.attached.command("ip", "link", "delete", "dev", "eth0", check=False)
        host.command("ip", "link", "add", "br0", "type", "bridge")
        host.command("ip", "address", "add", "10.1.0.1/16", "dev", "br0")
        host.command("ip", "link", "set", "br0", "up")
        peer = ["eth0", "netns", str(self.attached)]
        host.command("ip", "link", "add", "vethgreen", "type", "veth", "peer", "name", *peer)
        host.command("ip", "link", "set", "vethgreen", "up", "master", "br0")
        for command in (
            "link set eth0 up",
            "address add 10.1.0.2/16 dev eth0",
            "address add 2001:db8::2/64 dev eth0 nodad",
            "route add default via 10.1.0.1",
        ):
            self.attached.command("ip", *command.split())

    # ---- calls

    def call(
        self, name: str, environ: dict[str, str], stdin: bytes, *, foreign: bool = False
    ) -> verdict.Answer:
        """Serve a call in this process, judged. AssertionError for a broken promise.

        foreign: an error may be somebody else's, handed on with its code.
        """
        stdout, stderr = io.BytesIO(), io.StringIO()
        with SANDBOX.around(self.host.state.parent), contextlib.redirect_stderr(stderr):
            status = serve(name, self.runtime.bundle, environ, io.BytesIO(stdin), stdout)
        SANDBOX.check()
        assert "Traceback" not in stderr.getvalue(), stderr.getvalue()[-3000:]
        return verdict.judge(
            status, stdout.getvalue(), environ.get("CNI_COMMAND", ""), foreign=foreign
        )

    def environ(self, command: str, netns: os.PathLike[str] | None) -> dict[str, str]:
        """A good one."""
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "" if command in ("GC", "STATUS") else "c1",
            "CNI_IFNAME": "" if command in ("GC", "STATUS") else "eth0",
            "CNI_NETNS": os.fspath(netns) if netns is not None else "",
            "CNI_PATH": str(self.runtime.path),
            "CNI_ARGS": "",
            "FUZZ_ANSWER": str(self.answer),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }

    # ---- what must not change

    def links(self) -> dict[str, frozenset[str]]:
        """The names of all links, to compare with later."""
        return self._links()

    def check_tables(self) -> None:
        """nftables holds tables of ours and the guard, and nothing else."""
        for _, body in self._netfilter.dump(_GETTABLE, b"\0\0\0\0", "the tables"):
            name = parse(body, 4)[1].rstrip(b"\0").decode()
            ours = name == "foreign" or name.startswith("pycni_") or name in _IPTABLES
            assert ours, f"there is a table {name!r}"

    def check_failed(self, before: dict[str, frozenset[str]]) -> None:
        """An ADD that failed has left every link as it was."""
        now = self._links()
        if now != before:
            self._mend()
        assert now == before, _difference(before, now)

    def check_deleted(self) -> None:
        """After a DEL nothing is there but what attachments share, which goes now."""
        now = self._links()
        if now != self._base:
            found = self.host.ip("-details", "link", "show")
            kinds = {one["ifname"]: one.get("linkinfo", {}).get("info_kind") for one in found}
            extra = now["host"] - self._base["host"]
            shared = {name for name in extra if kinds.get(name) in _SHARED_KINDS}
            now = {**now, "host": now["host"] - shared}
            self._mend()
        assert now == self._base, _difference(self._base, now)

    def look(self) -> None:
        """Now and then: elements, reservations and the guard, by tools that are not ours."""
        assert self._foreign() == self._guard, "somebody else's table has changed"
        lines = self.host.run(leaks.of_namespace)
        left = [one for one in lines if one.startswith("nft element") and not _is_shared(one)]
        left += [one for one in lines if _is_strange_chain(one)]
        files = leaks.of_directories((self.host.state, *SYSTEM_DIRECTORIES))
        left += [one for one in files if not any(fnmatchcase(one, each) for each in _SHARED_FILES)]
        if left:
            self.host.command("nft", "-f", "-", stdin="flush ruleset\n" + _GUARD)
            for one in left:
                if one.startswith("file ") and not one.endswith("/"):
                    Path(one.removeprefix("file ")).unlink(missing_ok=True)
        assert not left, f"left: {left[:6]}"

    def _foreign(self) -> str:
        return self.host.command("nft", "list", "table", "inet", "foreign").stdout

    def _mend(self) -> None:
        """Put back what an input has destroyed.

        With "dev": without, ip takes the name "br" for the word "broadcast".
        """
        for name in self._now_host() - self._base["host"]:
            self.host.command("ip", "link", "delete", "dev", name, check=False)
        if "dev0" not in self._now_host():
            self.host.command("ip", "link", "delete", "dev", "dev1", check=False)
            add = ["link", "add", "dev0", "type", "veth", "peer", "name", "dev1"]
            self.host.command("ip", *add, check=False)
        for name in self.container.run(_names) - self._base["blue"]:
            self.container.command("ip", "link", "delete", "dev", name, check=False)
        for name in self.attached.run(_names) - self._base["green"]:
            self.attached.command("ip", "link", "delete", "dev", name, check=False)
        if self._links() != self._base:
            self._attach()

    def _links(self) -> dict[str, frozenset[str]]:
        found = {"host": self._now_host()}
        try:
            for one in (self.container, self.attached):
                one.enter()
                found[one.path.name] = _names()
        finally:
            self.host.enter()
        return found

    def _now_host(self) -> frozenset[str]:
        return _names()


_SHARED_FILES = (
    "*/answer.json",
    "*/lock",
    "*/.lock",
    "*/last_reserved_ip.*",
    "*/ipam-index/*",
    "*/",
)


def _names() -> frozenset[str]:
    return frozenset(name for _, name in socket.if_nameindex())


def _difference(before: dict[str, frozenset[str]], now: dict[str, frozenset[str]]) -> str:
    told = [
        f"{where}: left {sorted(now[where] - names)}, lost {sorted(names - now[where])}"
        for where, names in before.items()
        if names != now[where]
    ]
    return "; ".join(told)


def _is_shared(line: str) -> bool:
    """The guard's element, and those of an overlay's device, which stays."""
    return line.startswith(("nft element inet foreign ", "nft element inet pycni_vxlan "))


def _is_strange_chain(line: str) -> bool:
    """A chain that is neither the suite's nor of a name that a config may give one."""
    words = line.split()
    if words[:2] != ["nft", "chain"] or words[3] not in _IPTABLES:
        return False
    return len(words) != 5 or not all(one.isalnum() or one in "-_." for one in words[4])


# ---- good configs, to be spoilt ----------------------------------------------------------------


def previous(version: str = "1.1.0") -> Document:
    """The result that a chained plugin gets, of the container that is attached."""
    if version in ("0.1.0", "0.2.0"):
        return {
            "cniVersion": version,
            "ip4": {"ip": "10.1.0.2/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
            "ip6": {"ip": "2001:db8::2/64"},
            "dns": {"nameservers": ["10.1.0.1"]},
        }
    return {
        "cniVersion": version,
        "interfaces": [
            {"name": "br0"},
            {"name": "vethgreen"},
            {"name": "eth0", "sandbox": "NETNS", "mac": "02:00:00:00:00:09", "mtu": 1500},
        ],
        "ips": [
            {"address": "10.1.0.2/16", "gateway": "10.1.0.1", "interface": 2, "version": "4"},
            {"address": "2001:db8::2/64", "interface": 2, "version": "6"},
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400}, {"dst": "::/0"}],
        "dns": {"nameservers": ["10.1.0.1"], "search": ["a.example"], "options": ["ndots:2"]},
    }


_STATIC: Document = {
    "type": "static",
    "addresses": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1"}, {"address": "fd09::2/64"}],
    "routes": [{"dst": "10.8.0.0/16"}, {"dst": "::/0", "gw": "fd09::1", "mtu": 1400}],
    "dns": {"nameservers": ["10.9.0.1"], "domain": "example", "search": ["a.example"]},
}
_PORTS = [
    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
    {"hostPort": 8053, "containerPort": 53, "protocol": "UDP", "hostIP": "192.0.2.1"},
]
_RATES = {"ingressRate": 1000000, "ingressBurst": 80000, "egressRate": 1000000, "egressBurst": 9000}


def templates(world: World) -> dict[str, list[Document]]:
    """Good configs of each plugin. Chained ones have a prevResult, which says where they work."""
    local = {
        "type": "host-local",
        "dataDir": str(world.host.state / "addresses"),
        "ranges": [
            [{"subnet": "10.7.0.0/24", "rangeStart": "10.7.0.10", "gateway": "10.7.0.1"}],
            [{"subnet": "fd07::/64", "exclude": ["fd07::7"]}],
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }
    etcd = {
        "type": "etcd-ipam",
        "endpoints": ["http://127.0.0.1:9"],
        "prefix": "/pycni",
        "ranges": [[{"subnet": "10.6.0.0/24"}]],
    }
    dhcp = {"type": "dhcp", "daemonSocketPath": str(world.host.state / "none.sock"), "priority": 5}
    nodes = [{"address": f"192.0.2.{n}", "subnets": [f"10.244.{n}.0/24"]} for n in (1, 2)]
    run = {"ips": ["10.7.0.55"], "mac": "02:00:00:00:00:11"}
    args = {"cni": {"ips": ["10.7.0.56"], "mac": "02:00:00:00:00:12"}}
    interface: dict[str, list[Document]] = {
        "bridge": [
            {"bridge": "brx", "isGateway": True, "ipMasq": True, "ipam": local},
            {"bridge": "brx", "macspoofchk": True, "mtu": 1400, "ipam": _STATIC, "args": args},
            {"isDefaultGateway": True, "hairpinMode": True, "ipam": local, "runtimeConfig": run},
            {"bridge": "brx", "ipam": {"type": "foreign"}, "portIsolation": True},
            {"bridge": "brx", "disableContainerInterface": True, "vlan": 0},
        ],
        "ptp": [{"ipMasq": True, "mtu": 1400, "ipam": local}, {"ipam": _STATIC}],
        "macvlan": [{"master": "up0", "mode": "bridge", "mtu": 1400, "ipam": _STATIC}],
        "ipvlan": [{"master": "up0", "mode": "l2", "ipam": _STATIC}],
        "vlan": [{"master": "up0", "vlanId": 5, "ipam": _STATIC}],
        "host-device": [{"device": "dev0", "ipam": _STATIC}, {"device": "dev0"}],
        "tap": [{"multiQueue": True, "owner": 1, "group": 1, "bridge": "br0", "ipam": _STATIC}],
        "dummy": [{"ipam": _STATIC}],
        "vxlan": [
            {
                "vni": 42,
                "network": ["10.244.0.0/16"],
                "isDefaultGateway": True,
                "ipMasq": True,
                "peers": {"type": "static", "nodes": nodes},
                "ipam": {"type": "host-local", "dataDir": local["dataDir"]},
            },
            {"vni": 43, "mode": "l2", "peers": {"type": "static", "nodes": nodes}, "ipam": _STATIC},
        ],
        "loopback": [{}],
        "host-local": [{"ipam": local}, {"ipam": local, "runtimeConfig": run}],
        "static": [{"ipam": _STATIC}, {"ipam": _STATIC, "args": args}],
        "dhcp": [{"ipam": dhcp}],
        "etcd-ipam": [{"ipam": etcd}],
    }
    rules = {"conditionsV4": ["ip", "saddr", "192.0.2.0/24"], "masqAll": True, "snat": True}
    chained: dict[str, list[Document]] = {
        "portmap": [
            {"runtimeConfig": {"portMappings": _PORTS}},
            {"runtimeConfig": {"portMappings": _PORTS}, **rules},
        ],
        "firewall": [{"ingressPolicy": "same-bridge"}, {"backend": "nftables"}],
        "tuning": [
            {
                "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1"},
                "mtu": 1400,
                "txQLen": 2000,
                "promisc": True,
                "dataDir": str(world.host.state / "tuning"),
            }
        ],
        "bandwidth": [{"runtimeConfig": {"bandwidth": _RATES}}, {**_RATES}],
        "sbr": [{}, {"table": 77, "gateways": ["10.1.0.1"]}],
        "vrf": [{"vrfname": "blue"}],
    }
    found: dict[str, list[Document]] = {}
    for name, configs in interface.items():
        found[name] = [_named(name, one) for one in configs]
    for name, configs in chained.items():
        found[name] = [_named(name, {**one, "prevResult": _in(world, p)}) for one in configs
                       for p in (previous(), previous("1.0.0"))]  # fmt: skip
    return copy.deepcopy(found)


def _named(plugin: str, keys: Document) -> Document:
    return {"cniVersion": "1.1.0", "name": "net", "type": plugin, **keys}


def _in(world: World, result: Document) -> Document:
    """The result with the path of the attached container."""
    for one in result.get("interfaces", []):
        if "sandbox" in one:
            one["sandbox"] = str(world.attached)
    return result


@contextlib.contextmanager
def inhabited(host: Host, directory: Path) -> Iterator[World]:
    """A world, and nothing of it afterwards."""
    deep = directory / "a" / "b" / "c" / "d" / "e"  # what `../x` leads to is still the test's own
    deep.mkdir(parents=True)
    home = os.open(".", os.O_PATH)
    os.chdir(deep)
    made = World(host, Runtime(directory))
    try:
        yield made
    finally:
        made.close()
        os.fchdir(home)
        os.close(home)
