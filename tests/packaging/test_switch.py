"""From the reference suite to this one by one command, and back by one, with containers running.

cnitool is the runtime throughout: it executes what stands in the directory, whoever made it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import iptables
from tests.kit.host import Host
from tests.kit.namespace import MNT_DETACH, MS_BIND, Namespace, libc, mount
from tests.kit.traffic import EchoServer, ask

REFERENCE = Path("/usr/lib/cni")
HOST_CHOICE = Path("/etc/cni")
SECONDS = 120
TYPES = ("bridge", "host-local", "portmap", "loopback", "firewall")
ADDRESS = "192.0.2.9"


@pytest.fixture(autouse=True)
def _choice() -> Iterator[None]:
    """An /etc/cni of the test's own, where the host's backend is written down."""
    HOST_CHOICE.mkdir(exist_ok=True)
    mount("none", HOST_CHOICE, "tmpfs")
    yield
    libc("umount2", bytes(HOST_CHOICE), MNT_DETACH)


class Machine:
    """A host with the reference suite, a network, and a runtime that knows no more than CNI."""

    def __init__(self, host: Host, built: Path, directory: Path) -> None:
        self.host = host
        self.built = built
        self.bindir = directory / "opt/cni/bin"
        self.bindir.mkdir(parents=True)
        for name in TYPES:
            shutil.copy2(REFERENCE / name, self.bindir)
        self.cache = directory / "cache"
        self.net_d = directory / "net.d"
        self.net_d.mkdir()
        ipam = {
            "type": "host-local",
            "subnet": "10.1.0.0/24",
            "dataDir": str(host.state / "networks"),
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        self.plugins: list[dict[str, object]] = [
            {"type": "bridge", "bridge": "b0", "isGateway": True, "ipMasq": True, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        self.configure()

    def configure(self) -> None:
        """Write down the network's plugins."""
        conflist = {"cniVersion": "1.0.0", "name": "net", "plugins": self.plugins}
        (self.net_d / "net.conflist").write_text(json.dumps(conflist))

    def cnitool(self, *arguments: str | Path, port: int = 0) -> subprocess.CompletedProcess[str]:
        """The release's cnitool, wherever the plugins are."""
        mappings = [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}] if port else []
        return subprocess.run(
            [self.built / "cnitool", *arguments, "--cache-dir", self.cache],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "CNI_PATH": str(self.bindir),
                "NETCONFPATH": str(self.net_d),
                "CAP_ARGS": json.dumps({"portMappings": mappings}),
                "CNID_SOCKET": "",
            },
            text=True, capture_output=True, check=False, timeout=SECONDS,
        )  # fmt: skip

    def add(self, ns: Namespace, port: int) -> str:
        """Its address."""
        done = self.cnitool("add", "net", str(ns), port=port)
        assert done.returncode == 0, done.stderr
        address: str = json.loads(done.stdout)["ips"][0]["address"]
        return address.partition("/")[0]

    def delete(self, ns: Namespace, port: int) -> None:
        """As a runtime does it: it may be called again."""
        done = self.cnitool("del", "net", str(ns), port=port)
        assert done.returncode == 0, done.stderr

    def check(self, ns: Namespace, port: int) -> str:
        """What is said against it."""
        return self.cnitool("check", "net", str(ns), port=port).stderr

    def is_the_references(self) -> bool:
        """Whether what stands in the directory is, byte for byte, what stood there at first."""
        return all(
            (self.bindir / name).read_bytes() == (REFERENCE / name).read_bytes() for name in TYPES
        )

    def tables(self) -> str:
        """The tables that nftables has here."""
        return self.host.command("nft", "list", "tables").stdout


@pytest.fixture
def machine(host: Host, built: Path, tmp_path: Path) -> Iterator[Machine]:
    host.share_bridge("b0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *", "link up0 *", "address dev up0 *", "route * dev up0 *")
    iptables.share(host)
    host.command("ip", "link", "add", "up0", "type", "bridge")
    host.command("ip", "address", "add", f"{ADDRESS}/24", "dev", "up0")
    host.command("ip", "link", "set", "up0", "up")
    yield Machine(host, built, tmp_path)
    # host-local's index of addresses, which the reference's DEL knows nothing of: a cache in /run.
    shutil.rmtree("/run/cni/ipam-index", ignore_errors=True)


def answers(machine: Machine, ns: Namespace, address: str, port: int) -> bool:
    """Whether the published port leads to this container."""
    with EchoServer(ns, address, 80, name=str(ns)):
        return ask(machine.host, ADDRESS, port, seconds=20).server == str(ns)


def test_there_and_back_with_running_containers(machine: Machine, host: Host) -> None:
    first, stays, ours = host.container(), host.container(), host.container()
    machine.add(first, 8080)
    kept = machine.add(stays, 8081)
    said = machine.cnitool("install", machine.bindir)
    assert said.returncode == 0, said.stderr
    assert f"kept {', '.join(sorted(TYPES))} of another suite" in said.stdout
    assert not machine.is_the_references()
    assert answers(machine, stays, kept, 8081)
    machine.delete(first, 8080)
    address = machine.add(ours, 8082)
    assert "pycni_portmap" in machine.tables()
    assert answers(machine, ours, address, 8082)

    said = machine.cnitool("uninstall", machine.bindir)
    assert said.returncode == 0, said.stderr
    assert "moved the rules of 2 running attachments to iptables" in said.stdout
    assert machine.is_the_references()
    assert sorted(one.name for one in machine.bindir.iterdir()) == sorted(TYPES)
    assert "pycni_" not in machine.tables()
    assert list(HOST_CHOICE.iterdir()) == []
    assert answers(machine, ours, address, 8082)
    assert answers(machine, stays, kept, 8081)
    machine.delete(ours, 8082)
    machine.delete(stays, 8081)
    rules = host.command("iptables-save").stdout
    assert "CNI-DN-" not in rules
    assert "10.1.0." not in rules


def test_check_goes_on_with_running_containers(machine: Machine, host: Host) -> None:
    host.share("nft chain ip filter CNI-*", "nft rule ip filter *")
    machine.plugins.append({"type": "firewall", "ingressPolicy": "same-bridge"})
    machine.configure()
    first, second = host.container(), host.container()
    machine.add(first, 8080)
    assert machine.cnitool("install", machine.bindir).returncode == 0
    assert machine.check(first, 8080) == ""
    machine.add(second, 8081)  # by nftables, beside the reference's rules
    (HOST_CHOICE / "pycni.json").write_text('{"backend": "iptables"}')
    for ns, port in ((first, 8080), (second, 8081)):
        assert machine.check(ns, port) == ""
    host.command("iptables", "-t", "nat", "-F", "CNI-HOSTPORT-DNAT")
    assert "port" in machine.check(first, 8080)
    for ns, port in ((first, 8080), (second, 8081)):
        machine.delete(ns, port)


def test_rules_alone_are_moved_for_a_package_manager(machine: Machine, host: Host) -> None:
    ours = host.container()
    assert machine.cnitool("install", machine.bindir).returncode == 0
    address = machine.add(ours, 8082)
    said = machine.cnitool("uninstall", "--only-rules", machine.bindir)
    assert said.stdout == "moved the rules of 1 running attachments to iptables\n", said.stderr
    assert "pycni_" not in machine.tables()
    assert not machine.is_the_references()
    assert answers(machine, ours, address, 8082)
    machine.delete(ours, 8082)


def test_back_is_refused_where_rules_would_be_left(machine: Machine, host: Host) -> None:
    """Without iptables there is nowhere to move them to; then nothing is changed."""
    ours = host.container()
    assert machine.cnitool("install", machine.bindir).returncode == 0
    address = machine.add(ours, 8082)
    (HOST_CHOICE / "pycni.json").write_text('{"backend": "nftables"}')
    program = Path(os.path.realpath(shutil.which("iptables-save") or "/usr/sbin/iptables-save"))
    mount("/dev/null", program, "none", MS_BIND)
    try:
        said = machine.cnitool("uninstall", machine.bindir)
    finally:
        libc("umount2", bytes(program), MNT_DETACH)
    assert said.returncode == 1
    assert "--keep-rules" in said.stderr
    assert not machine.is_the_references()
    assert (HOST_CHOICE / "pycni.json").read_text() == '{"backend": "nftables"}'
    assert answers(machine, ours, address, 8082)
    machine.delete(ours, 8082)


def test_rules_come_back_where_iptables_takes_none(
    machine: Machine, host: Host, tmp_path: Path
) -> None:
    """iptables can be read here and not written: then all is as it was."""
    ours = host.container()
    assert machine.cnitool("install", machine.bindir).returncode == 0
    address = machine.add(ours, 8082)
    alternatives = Path("/etc/alternatives")
    links = {one.name: one.readlink() for one in alternatives.iterdir() if "tables" in one.name}
    mount("none", alternatives, "tmpfs")
    try:
        for name, leads in links.items():
            (alternatives / name).symlink_to("/bin/false" if "restore" in name else leads)
        said = machine.cnitool("uninstall", machine.bindir)
    finally:
        libc("umount2", bytes(alternatives), MNT_DETACH)
    assert said.returncode == 1
    assert "expected it to take all of them; nothing was removed, and they are back" in said.stderr
    assert list(HOST_CHOICE.iterdir()) == []
    assert not machine.is_the_references()
    assert answers(machine, ours, address, 8082)
    machine.delete(ours, 8082)


def test_what_only_this_suite_could_delete_is_named(machine: Machine, host: Host) -> None:
    container = host.container()
    assert machine.cnitool("install", machine.bindir).returncode == 0
    only_here = {"type": "dummy", "ipam": {"type": "static", "addresses": []}}
    conflist = {"cniVersion": "1.0.0", "name": "own", "plugins": [only_here]}
    config = machine.net_d / "own.conflist"
    config.write_text(json.dumps(conflist))
    results = machine.cache / "results"
    results.mkdir(parents=True)
    entry = {
        "kind": "cniCacheV1",
        "containerId": "c9",
        "ifName": "eth0",
        "networkName": "own",
        "netns": str(container),
        "config": base64.b64encode(config.read_bytes()).decode(),
    }
    (results / "own-c9-eth0").write_text(json.dumps(entry))
    said = machine.cnitool("uninstall", machine.bindir)
    assert "own c9 eth0: its DEL needs dummy, static, of which there will be none" in said.stdout
    assert machine.is_the_references()
