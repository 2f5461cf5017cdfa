"""Self-healing in numbers: how soon a host's containers are served again, and what it costs."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest

from hostnet import masquerade
from hostnet.leaving import host_end
from hostnet.netfilter import Netfilter
from tests.firewall.daemon import Firewalld, SystemBus
from tests.heal.conftest import SERVED, UPLINK, Container, World, runtime, world
from tests.heal.daemon import Healing
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from tests.kit.namespace import Namespace
from tests.kit.tables import Publish
from tests.kit.traffic import EchoServer

__all__ = ["runtime", "world"]

LIMIT = 20.0
"""Seconds; the table has what it takes, this is for a machine that does other things as well."""
_POLL = 0.002
pytestmark = pytest.mark.timeout(1500)  # for the thousand


@pytest.fixture
def crowd(host: Host) -> Namespace:
    """One namespace for any number of attachments, each an interface in it: cheap to make."""
    made = host.container("crowd")
    made.run(Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text, "1")
    return made


def attach(world: World, crowd: Namespace, count: int, backend: str | None = None) -> Container:
    """So many attachments; the one that is healed last."""
    network = world.network(backend=backend, routes=[])
    made = [world.container(network, ns=crowd, ifname=f"e{number}") for number in range(count)]
    crowd.command("ip", "route", "add", "default", "via", "10.1.0.1", "dev", "e0")
    return max(made, key=lambda one: f"net-{one.attachment.container_id}-{one.attachment.ifname}")


def attach_many(
    world: World, crowd: Namespace, count: int, backend: str | None = None
) -> Container:
    """As `attach`, but only the first and the last are made by plugins: so many take minutes.

    The others are what ADD leaves: a pair, an entry in the cache; healing lays down the rest.
    """
    network = world.network(backend=backend, routes=[])
    world.count_from(0)
    first = world.container(network, ns=crowd, ifname="e0")
    crowd.command("ip", "route", "add", "default", "via", "10.1.0.1", "dev", "e0")
    entry = Path(world.cache.results, "net-c1-e0").read_text()
    mac = next(one["mac"] for one in first.result["interfaces"] if one["name"].startswith("veth"))
    links = []
    for number in range(2, count):
        owner = f"net/c{number}/e{number}"
        own_mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
        name = host_end(owner)
        links.append(
            f"link add {name} address {own_mac} type veth peer name e{number} netns {crowd}"
        )
        text = entry.replace('"c1"', f'"c{number}"').replace('"e0"', f'"e{number}"')
        text = text.replace(host_end("net/c1/e0"), name).replace(mac, own_mac)
        text = text.replace("10.1.0.2/16", f"10.1.{128 + (number >> 8)}.{number & 255}/16")
        text = text.replace(f'"hostPort":{first.host_port}', f'"hostPort":{8000 + number}')
        Path(world.cache.results, f"net-c{number}-e{number}").write_text(text)
    world.host.run(
        subprocess.run, ["ip", "-batch", "-"], input="\n".join(links), text=True, check=True
    )
    world.count_from(9990)  # whose entry is the last by name
    return world.container(network, ns=crowd, ifname="e9991") if count > 1 else first


def detach_many(world: World, crowd: Namespace) -> None:
    detach(world, crowd)
    for one in Path(world.cache.results).iterdir():
        one.unlink()
    world.flush()
    names = [one for one in world.host.links() if one.startswith("veth")]
    batch = "\n".join(f"link delete {name}" for name in names)
    world.host.run(subprocess.run, ["ip", "-batch", "-"], input=batch, text=True, check=True)


def daemon_directory(world: World, count: int) -> Path:
    made = world.host.path.parent / f"cnid{count}"
    made.mkdir()
    return made


def detach(world: World, crowd: Namespace) -> None:
    for one in list(world.containers):
        one.delete()
    crowd.command("ip", "route", "flush", "table", "main")


def until_served(world: World, last: Container, damage: list[str]) -> float:
    """Milliseconds from the start of a command until its port answers the client again."""
    assert is_served(world, last)
    start = time.monotonic()
    world.host.command(*damage)
    while not is_served(world, last):
        assert time.monotonic() < start + LIMIT, f"{damage}: not served after {LIMIT} s"
        time.sleep(_POLL)  # nobody tells a client when a port is there
    return (time.monotonic() - start) * 1000


def is_served(world: World, one: Container) -> bool:
    with world.client.run(socket.socket, socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(0.5)
        try:
            client.connect((UPLINK, one.host_port))
            client.sendall(b"hello")
            return client.recv(100).endswith(b"hello")
        except OSError:
            return False


DAMAGE = {
    "`nft flush ruleset`": ["nft", "flush", "ruleset"],
    "`nft delete table inet pycni_portmap`": ["nft", "delete", "table", "inet", "pycni_portmap"],
    "`nft flush chain inet pycni_portmap prerouting`": [
        "nft", "flush", "chain", "inet", "pycni_portmap", "prerouting",
    ],
    "one element deleted": ["nft", "delete", "element", "inet", "pycni_portmap", "any4"],
}  # fmt: skip


def test_served_again_soon(world: World, crowd: Namespace, whole: bool, publish: Publish) -> None:
    """Whatever is damaged, by nftables."""
    took: dict[str, list[object]] = {}
    counts = (1, 100, 1000) if whole else (1,)
    damage = list(DAMAGE.items())[: None if whole else 1]
    for count in counts:
        last = attach_many(world, crowd, count)
        with (
            Healing(world, daemon_directory(world, count)) as daemon,
            EchoServer(crowd, last.address, SERVED),
        ):
            assert daemon.heal()["running"] == count
            for event, command in damage:
                key = [f"{{ tcp . {last.host_port} }}"] if "any4" in command else []
                milliseconds = until_served(world, last, [*command, *key])
                took.setdefault(event, []).append(round(milliseconds))
        detach_many(world, crowd)
    headings = [f"ms, {count:,} attachments" for count in counts]
    publish("heal", ("event", *headings), [(event, *row) for event, row in took.items()])


def test_containers_that_come_and_go_cost_little(
    world: World, whole: bool, publish: Publish
) -> None:
    """What an ADD and a DEL write to nftables; by this process, which has the daemon's name."""
    count = 1000 if whole else 20
    with (
        Healing(world, daemon_directory(world, count)) as daemon,
        Netfilter.open() as nl,
    ):
        state = daemon.heal()
        before = processor_ms(state["pid"])
        for number in range(count):
            owner = f"net/x{number}/eth0"
            address = ip_interface(f"10.9.{number >> 8}.{number & 255}/16")
            masquerade.add(nl, owner, [address])
            masquerade.remove(nl, owner)
        spent = processor_ms(state["pid"]) - before
        assert daemon.heal()["looks"] == state["looks"]
    rows = [(f"{count:,}", f"{2 * count:,}", round(spent))]
    headings = "ADDs and DELs", "transactions", "CPU ms of the heal process"
    publish("heal-cost", headings, rows)


@pytest.fixture
def iptables(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program, which is iptables-nft."""
    world.host.share("nft *")
    tables = HostTables(world.host, tmp_path, "nft")
    tables.install(monkeypatch)
    return str(tables.path / "iptables")


def test_served_again_soon_by_iptables(
    world: World, crowd: Namespace, whole: bool, publish: Publish, iptables: str
) -> None:
    """The programs are called once for all, so it is theirs what it takes."""
    row: list[object] = []
    counts = (1, 100, 1000) if whole else (1,)
    for count in counts:
        last = attach_many(world, crowd, count, "iptables")
        with (
            Healing(world, daemon_directory(world, count)),
            EchoServer(crowd, last.address, SERVED),
        ):
            row.append(round(until_served(world, last, [iptables, "-t", "nat", "-F"])))
        detach_many(world, crowd)
    headings = [f"ms, {count:,} attachments" for count in counts]
    publish("heal-iptables", ("event", *headings), [("`iptables -t nat -F`", *row)])


@pytest.fixture
def firewalld(world: World, tmp_path: Path, whole: bool) -> Iterator[Firewalld]:
    if not whole:
        pytest.skip("tests/heal/test_iptables.py has a sample")
    world.host.share_nft("firewalld")
    with SystemBus(world.host, tmp_path / "dbus") as bus:
        world.environ |= bus.environ
        with Firewalld(world.host, bus, tmp_path) as made:
            yield made


def test_served_again_soon_by_firewalld(
    world: World, crowd: Namespace, whole: bool, publish: Publish, firewalld: Firewalld
) -> None:
    """Its zones are filled one address after the other, each of which it takes its time for."""
    row: list[object] = []
    counts = (1, 100) if whole else (1,)
    for count in counts:
        with Healing(world, daemon_directory(world, count), **world.environ) as daemon:
            last = attach(world, crowd, count)
            with EchoServer(crowd, last.address, SERVED):
                assert is_served(world, last)
                healed = len([one for one in daemon.lines if one["msg"] == "healed"])
                start = time.monotonic()
                firewalld.command("--reload")
                daemon.healed(healed + 1)
                row.append(round((time.monotonic() - start) * 1000))
                assert len(firewalld.sources()) == count
                assert is_served(world, last)
            detach(world, crowd)
    headings = [f"ms, {count:,} attachments" for count in counts]
    publish("heal-firewalld", ("event", *headings), [("`firewall-cmd --reload`", *row)])


def processor_ms(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")
