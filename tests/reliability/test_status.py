"""Promise 5, STATUS: each plugin by each thing that may be wrong with its host or its config.

What is missing in a kernel is told by `ip`, which is asked first, so that the matrix is right on
any; a kernel without nftables is in tests/second_kernel. A `LIMITED` (51) is a network that takes
containers which then reach nobody.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cni.errors import LIMITED, NOT_AVAILABLE
from tests.host_local.network import remove_indexes
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import MNT_DETACH, libc, mount
from tests.kit.tables import Publish
from wiring import backend

LINKS = (
    "link add eth0 mtu 1500 type veth peer name wire",
    "address add 192.0.2.1/24 dev eth0",
    "link set wire up",
    "link set eth0 up",
    "link add bond7 type bridge",
    "link add cni9 type veth peer name other",
)
_NODES = [{"address": f"192.0.2.{n}", "subnets": [f"10.244.{n}.0/24"]} for n in (1, 2)]
_OVERLAY = {
    "vni": 42,
    "network": ["10.244.0.0/16"],
    "peers": {"type": "static", "nodes": _NODES},
}
_RATE = {"egressRate": 1_000_000, "egressBurst": 800_000}


class World:
    """A host with an underlay and one IPAM plugin of each sort, and how STATUS is asked there."""

    def __init__(self, host: Host, runtime: Runtime, directory: Path) -> None:
        self.host = host
        self.runtime = runtime
        self.data = directory / "addresses"
        self.fake = FakeIpam(runtime, directory)
        self.undo: list[Callable[[], None]] = []

    @property
    def local(self) -> Document:
        subnet = [[{"subnet": "10.1.0.0/29"}]]
        return {"type": "host-local", "dataDir": str(self.data), "ranges": subnet}

    def config(self, plugin: str) -> Document:
        """A network on which this plugin works, as far as the kernel has what it needs."""
        keys: dict[str, Document] = {
            "bridge": {"bridge": "cni0", "ipMasq": True, "ipam": self.local},
            "ptp": {"ipMasq": True, "ipam": self.local},
            "macvlan": {"master": "eth0", "ipam": self.local},
            "ipvlan": {"master": "eth0", "ipam": self.local},
            "vlan": {"master": "eth0", "vlanId": 5, "ipam": self.local},
            "host-device": {"device": "wire", "ipam": self.local},
            "tap": {"ipam": self.local},
            "dummy": {"ipam": self.local},
            "vxlan": {**_OVERLAY, "ipam": {"type": "host-local", "dataDir": str(self.data)}},
            "host-local": {"ipam": self.local},
            "static": {"ipam": {"type": "static", "addresses": [{"address": "10.1.0.2/29"}]}},
            "dhcp": {"ipam": {"type": "dhcp", "daemonSocketPath": str(self.data / "no.sock")}},
            "etcd-ipam": {
                "ipam": {
                    "type": "etcd-ipam",
                    "endpoints": ["http://127.0.0.1:1"],
                    "node": "n1",
                    "ranges": [[{"subnet": "10.1.0.0/24"}]],
                }
            },
            "tuning": {"dataDir": str(self.data), "mtu": 1400},
            "bandwidth": _RATE,
            "vrf": {"vrfname": "blue"},
        }
        return {
            "cniVersion": "1.1.0",
            "name": "net",
            "type": plugin,
            **copy.deepcopy(keys.get(plugin, {})),
        }

    def ip(self, *command: str) -> None:
        self.host.command("ip", *command)

    def file_in_the_way(self) -> None:
        self.data.write_text("a file")

    def read_only(self) -> None:
        self.data.mkdir()
        mount("none", self.data, "tmpfs", flags=1)  # MS_RDONLY
        self.undo.append(lambda: libc("umount2", bytes(self.data), MNT_DETACH))

    def fill(self) -> None:
        """Hold every address of the range."""
        directory = self.data / "net"
        directory.mkdir(parents=True)
        for number in range(2, 7):
            (directory / f"10.1.0.{number}").write_text("c1\r\neth0")

    def no_tun(self) -> None:
        mount("none", Path("/dev/net"), "tmpfs")
        self.undo.append(lambda: libc("umount2", b"/dev/net", MNT_DETACH))


@pytest.fixture
def world(host: Host, tmp_path: Path) -> Iterator[World]:
    made = World(host, Runtime(tmp_path), tmp_path)
    host.command("ip", "-batch", "-", stdin="\n".join(LINKS))
    host.share("*")  # what this fixture has made goes with the namespace
    yield made
    for undo in made.undo:
        undo()
    remove_indexes("net")


class Case(NamedTuple):
    """One thing that is wrong. words: what the error must name, empty where nothing is wrong.

    change: of the config, by path. arrange: of the host, a method of `World`.
    """

    plugin: str
    what: str
    words: tuple[str, ...] = ()
    change: dict[str, Any] = {}  # noqa: RUF012 - of a NamedTuple, and nobody changes it
    arrange: str = ""
    code: int = NOT_AVAILABLE
    kind: str = ""
    """The kind of link that the kernel must have for the case to make sense."""


WITH_IPAM = ("bridge", "ptp", "macvlan", "host-device", "tap")
KINDS = {
    "macvlan": "macvlan",
    "ipvlan": "ipvlan",
    "vlan": "vlan",
    "dummy": "dummy",
    "vrf": "vrf",
    "bandwidth": "ifb",
    "bridge": "bridge",
    "ptp": "veth",
    "vxlan": "vxlan",
}
HEALTHY = ("host-device", "tap", "host-local", "static", "portmap", "firewall", "tuning", "sbr")
_ENTRY = "addresses"


def _cases() -> Iterator[Case]:
    for plugin in HEALTHY:
        yield Case(plugin, "nothing")
    for plugin in (*WITH_IPAM, "host-local"):
        bad = {"ipam.ranges": [[{"subnet": "banana"}]]}
        yield Case(plugin, "IPAM: a subnet that is none", ("subnet", "banana"), bad)
        yield Case(
            plugin,
            "IPAM: a file in the place of the data directory",
            (_ENTRY,),
            {},
            "file_in_the_way",
        )
        yield Case(
            plugin,
            "IPAM: the data directory is read-only",
            (_ENTRY, "not writable"),
            {},
            "read_only",
        )
        yield Case(plugin, "IPAM: no address is free, and nobody asked", (), {}, "fill")
        full = {"ipam.reportExhaustion": True}
        yield Case(
            plugin,
            "IPAM: no address is free, and `reportExhaustion`",
            ("no IP addresses available", "c1"),
            full,
            "fill",
        )
    for plugin in WITH_IPAM:
        yield Case(
            plugin,
            "the IPAM plugin is not installed",
            ("nowhere", "CNI_PATH"),
            {"ipam": {"type": "nowhere"}},
        )
        yield Case(plugin, "another suite's IPAM plugin fails", ("told to fail",), {"ipam": "fake"})
    for plugin in ("bridge", "ptp", "portmap", "firewall"):
        key = "ipMasqBackend" if plugin in ("bridge", "ptp") else "backend"
        if plugin != "firewall":  # to which any other word means the default, as to the reference
            yield Case(plugin, f"`{key}` that is none", (key, "ipchains"), {key: "ipchains"})
        yield Case(
            plugin,
            "the host's choice of a backend is none",
            ("pycni.json", "ipchains"),
            {},
            "wrong_choice",
        )
        yield Case(
            plugin,
            "iptables is asked for and not installed",
            ("iptables", "not installed"),
            {key: "iptables"},
            "no_programs",
        )
    yield Case(
        "firewall",
        "firewalld is asked for and does not run",
        ("firewalld",),
        {"backend": "firewalld"},
    )
    yield Case(
        "bridge",
        "the bridge's name is another link's",
        ("cni9", "expected a bridge"),
        {"bridge": "cni9"},
    )
    yield Case("bridge", "the bridge is there", (), {"bridge": "bond7"})
    for plugin in ("macvlan", "ipvlan", "vlan"):
        yield Case(
            plugin, "`master` is missing", ("master", "eth5"), {"master": "eth5"}, kind=plugin
        )
        code = NOT_AVAILABLE if plugin == "vlan" else LIMITED  # a VLAN does not even come up
        yield Case(plugin, "`master` is down", ("eth0 is down",), {}, "master_down", code, plugin)
        yield Case(
            plugin, "`mtu` is more than the master's", ("mtu", "1500"), {"mtu": 9000}, kind=plugin
        )
    yield Case("vxlan", "the underlay is down", ("underlay", "eth0 is down"), {}, "master_down")
    yield Case("vxlan", "this host is none of the peers", ("192.0.2",), {"peers.nodes": _NODES[1:]})
    yield Case("dhcp", "the daemon is gone", ("no.sock", "daemon"))
    yield Case("etcd-ipam", "etcd cannot be reached", ("127.0.0.1:1",))
    yield Case("tap", "the kernel has no tun", ("modprobe tun",), {}, "no_tun")
    yield Case(
        "tuning", "a file in the place of the data directory", (_ENTRY,), {}, "file_in_the_way"
    )
    for plugin, key in (
        ("tuning", "mtu"),
        ("bandwidth", "egressRate"),
        ("sbr", "table"),
        ("vrf", "vrfname"),
        ("static", "ipam.addresses"),
        ("loopback", ""),
    ):
        if key:
            yield Case(plugin, "a key is wrong", (key.split(".")[-1],), {key: [-1]})


CASES = list(_cases())
_rows: list[tuple[object, ...]] = []


def _set(config: Document, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    at: Any = config
    for name in parents:
        at = at[name]
    at[last] = value


def _arrange(world: World, what: str, patch: pytest.MonkeyPatch, directory: Path) -> None:
    if what == "wrong_choice":
        patch.setattr(backend, "FILE", str(directory / "pycni.json"))
        Path(backend.FILE).write_text('{"backend": "ipchains"}')
    elif what == "no_programs":
        patch.setenv("PATH", str(directory))
        patch.setattr("hostnet.spawn.DIRECTORIES", ())
    elif what == "master_down":
        world.ip("link", "set", "eth0", "down")
    elif what:
        getattr(world, what)()


def _kernel_has(host: Host, kind: str) -> bool:
    """Asked of `ip`, in a namespace of the test's own."""
    more = {"vrf": ("table", "9"), "vxlan": ("id", "9", "dstport", "4789"), "vlan": ("id", "9")}
    below = ("link", "eth0") if kind in ("macvlan", "ipvlan", "vlan") else ()
    command = ("ip", "link", "add", "probe0", *below, "type", kind, *more.get(kind, ()))
    made = host.command(*command, check=False)
    if made.returncode == 0:
        host.command("ip", "link", "delete", "probe0")
    return made.returncode == 0


@pytest.mark.parametrize("case", CASES, ids=[f"{one.plugin}: {one.what}" for one in CASES])
def test_status(case: Case, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.kind and not _kernel_has(world.host, case.kind):
        pytest.skip(f"this kernel has no {case.kind} interfaces")
    config = world.config(case.plugin)
    for path, value in case.change.items():
        _set(config, path, world.fake.section(fail=["STATUS"]) if value == "fake" else value)
    _arrange(world, case.arrange, monkeypatch, tmp_path)
    if not case.words:
        world.runtime.status(config)
        _rows.append((case.plugin, case.what, "0", ""))
        return
    with pytest.raises(PluginError) as raised:
        world.runtime.status(config)
    assert raised.value.code == case.code, raised.value
    told = f"{raised.value.msg} {raised.value.document.get('details', '')}"
    for word in case.words:
        assert word in told
    _rows.append((case.plugin, case.what, raised.value.code, ", ".join(case.words)))


@pytest.mark.parametrize("plugin", KINDS)
def test_what_the_kernel_lacks(plugin: str, world: World) -> None:
    kind = KINDS[plugin]
    module = "8021q" if kind == "vlan" else kind
    before = _links(world.host)
    if _kernel_has(world.host, kind):
        world.runtime.status(world.config(plugin))
        _rows.append((plugin, f"nothing, the kernel has {kind}", "0", ""))
    else:
        with pytest.raises(PluginError, match=f"no {kind} interfaces: modprobe {module}") as raised:
            world.runtime.status(world.config(plugin))
        assert raised.value.code == NOT_AVAILABLE
        _rows.append((plugin, f"the kernel has no {kind}", raised.value.code, f"modprobe {module}"))
    assert _links(world.host) == before, "nothing was made for the question"


def _links(host: Host) -> list[str]:
    return [one["ifname"] for one in json.loads(host.command("ip", "-json", "link").stdout)]


def test_the_table(publish: Publish) -> None:
    """The last of the module: what the tests before it have seen."""
    rows: dict[tuple[object, ...], list[object]] = {}
    for plugin, *rest in _rows:
        rows.setdefault(tuple(rest), []).append(plugin)
    lines = [
        (what, ", ".join(map(str, who)), code, names) for (what, code, names), who in rows.items()
    ]
    publish("status", ("wrong", "plugins", "answer", "the error names"), lines)
