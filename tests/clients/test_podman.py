"""podman with its CNI backend runs containers on the built executables.

Containers have a directory with busybox for a root: no image, no registry.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import UPLINK
from tests.clients.machine import SERVE, Filesystem, Machine, Signal, fetch
from tests.kit import leaks
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

REFERENCE = Path("/usr/lib/cni")
CONFIG = """\
[network]
network_backend = "cni"
network_config_dir = "/etc/cni/net.d"
cni_plugin_dirs = [{directories}]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""  # the limits: podman's own are above what root may set where CAP_SYS_RESOURCE is missing


class Podman:
    """podman on a machine, with `/opt/cni/bin` and other plugin directories after it."""

    def __init__(self, machine: Machine, *directories: Path) -> None:
        self.machine = machine
        listed = ", ".join(f'"{one}"' for one in ("/opt/cni/bin", *directories))
        machine.path("/run/containers.conf").write_text(CONFIG.format(directories=listed))
        self._environ = {"CONTAINERS_CONF": "/run/containers.conf"}
        self._ready: dict[str, Signal] = {}
        self._options = ("--root=/run/p/root", "--runroot=/run/p/run", "--tmpdir=/run/p/tmp")
        info = machine.attempt(*self._argv("info"), environ=self._environ)
        if "cni support is not enabled" in info.stderr:
            pytest.skip(f"this podman has no CNI backend: {info.stderr.strip()}")
        assert info.returncode == 0, f"podman does not run: {info.stderr}"

    def _argv(self, *arguments: str) -> list[str]:
        return ["podman", *self._options, *arguments]

    def __call__(self, *arguments: str) -> str:
        """Run a podman command; its output."""
        return self.machine.run(*self._argv(*arguments), environ=self._environ)

    def refused(self, *arguments: str) -> str:
        """Run a podman command that must fail; what it said."""
        done = self.machine.attempt(*self._argv(*arguments), environ=self._environ)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def network(self, name: str, *plugins: dict[str, Any], **keys: Any) -> None:
        """Write a conflist by hand, for what `podman network create` does not say."""
        document = {"cniVersion": "1.0.0", "name": name, "plugins": plugins, **keys}
        self.machine.path(f"/etc/cni/net.d/{name}.conflist").write_text(json.dumps(document))

    def arguments(self, name: str, *options: str) -> list[str]:
        """The arguments to run a web server in a container."""
        filesystem = Filesystem(self.machine.directory, name)
        self._ready[name] = Signal(filesystem.path / "up")
        where = ("--cgroup-parent", f"/{self.machine.cgroup}", "--rootfs", str(filesystem.path))
        named = ("--detach", "--name", name)
        return ["run", *named, *options, *where, "/bin/sh", "-c", SERVE.format("/up")]

    def serve(self, name: str, *options: str) -> dict[str, Any]:
        """Run a web server; what `inspect` says of its network when it listens."""
        argv = self.arguments(name, *options)
        with self._ready[name].awaited():
            self(*argv)
        return self.settings(name)

    def restart(self, name: str) -> None:
        """Restart a web server."""
        with self._ready[name].awaited():
            self("restart", "--time", "0", name)

    def settings(self, name: str) -> dict[str, Any]:
        """What `inspect` says of a container's network."""
        settings = json.loads(self("inspect", name))[0]["NetworkSettings"]
        assert isinstance(settings, dict)
        return settings

    def namespace(self, name: str) -> Namespace:
        """A container's network namespace."""
        return self.machine.namespaces()[os.path.basename(self.settings(name)["SandboxKey"])]

    def remove(self, *names: str) -> None:
        self("rm", "--force", "--time", "0", *names)


@pytest.fixture
def podman(machine: Machine) -> Podman:
    """podman with one network `podman`, of this suite's plugins only, for IPv4 and IPv6."""
    made = Podman(machine)
    ranges = [[{"subnet": "10.88.0.0/16"}], [{"subnet": "fd00:88::/64"}]]
    bridge = {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipMasq": True,
              "hairpinMode": True, "capabilities": {"ips": True},
              "ipam": {"type": "host-local", "ranges": ranges}}  # fmt: skip
    made.network("podman", bridge, {"type": "portmap", "capabilities": {"portMappings": True}})
    machine.host.share_bridge("cni0")
    return made


@pytest.fixture
def mixed(machine: Machine) -> Iterator[Podman]:
    """podman as it comes: its networks also ask for firewall and tuning, which are others'."""
    assert (REFERENCE / "firewall").exists(), "no reference suite: see packaging/prepare test"
    yield Podman(machine, REFERENCE)
    host = machine.host
    host.share("nft * ip filter *", "nft * ip6 filter *", "nft table ip* filter")
    left = [one for one in host.run(leaks.of_namespace) if "filter" in one and "10.89." in one]
    assert not left, "\n".join(left)


def test_two_containers_publish_and_vanish(podman: Podman, outside: Namespace) -> None:
    podman.serve("one", "--publish", "8080:80")
    podman.serve("two", "--publish", f"{UPLINK[0]}:8081:80")
    one, two = podman.namespace("one"), podman.namespace("two")
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    assert fetch(outside, UPLINK[0], 8081) == "two"
    assert fetch(podman.machine.host, "127.0.0.1", 8080) == "one"
    assert fetch(one, UPLINK[0], 8080) == "one"  # to itself, by way of the host
    for address in ("10.88.0.2", "fd00:88::2", UPLINK[0]):
        assert fetch(two, address, 8080 if address in UPLINK else 80) == "one"
    for address in ("192.0.2.2", "2001:db8::2"):  # which has no route back but to the host
        assert ping(one, address) is not None
    podman.remove("one")
    with pytest.raises(OSError, match=r"refused|timed out"):
        fetch(outside, UPLINK[0], 8080)
    assert fetch(outside, UPLINK[0], 8081) == "two"
    podman.remove("two")


def test_static_addresses(podman: Podman) -> None:
    options = "ip=10.88.3.4,ip=fd00:88::34,mac=02:00:00:00:00:42"
    found = podman.serve("one", "--network", f"podman:{options}")
    assert (found["IPAddress"], found["GlobalIPv6Address"]) == ("10.88.3.4", "fd00:88::34")
    assert found["MacAddress"] == "02:00:00:00:00:42"
    inside = podman.namespace("one")
    assert inside.addresses("eth0") == ["10.88.3.4/16", "fd00:88::34/64"]
    assert inside.links()["eth0"]["address"] == "02:00:00:00:00:42"
    said = podman.refused(*podman.arguments("two", "--ip", "10.88.3.4"))
    assert "10.88.3.4" in said
    podman.remove("one", "two")


def test_a_port_that_is_taken(podman: Podman, outside: Namespace) -> None:
    podman.serve("one", "--publish", "8080:80")
    said = podman.refused(*podman.arguments("two", "--publish", "8080:80"))
    assert "host port 8080/tcp is taken" in said
    assert podman("inspect", "--format", "{{.ID}}", "one").strip() in said
    assert fetch(outside, UPLINK[0], 8080) == "one"
    podman.remove("two")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    podman.remove("one")


def test_reload_restores_what_a_firewall_flushed(podman: Podman, outside: Namespace) -> None:
    before = podman.serve("one", "--publish", "8080:80")
    podman.machine.host.command("nft", "flush", "ruleset")
    podman("network", "reload", "--all")
    assert podman.settings("one")["IPAddress"] == before["IPAddress"]
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    assert ping(podman.namespace("one"), "192.0.2.2") is not None
    podman.remove("one")


def test_networks_of_podmans_own_making(mixed: Podman, outside: Namespace) -> None:
    """Chains of both suites: bridge and portmap of this one, firewall and tuning of the other."""
    subnets = ("--subnet", "10.89.1.0/24", "--ipv6", "--subnet", "fd00:89::/64")
    mixed("network", "create", *subnets, "--ip-range", "10.89.1.64/26", "first")
    mixed.machine.host.share_bridge("cni-podman?")
    found = mixed.serve("one", "--network", "first", "--publish", "8080:80")
    assert found["Networks"]["first"]["IPAddress"] == "10.89.1.65"
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    mixed.restart("one")
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    mixed.remove("one")


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")], ids=" then ".join)
def test_a_container_on_several_networks(
    order: tuple[str, str], mixed: Podman, outside: Namespace
) -> None:
    """podman publishes the container's ports on each of them; they answer until the last goes."""
    mixed("network", "create", "--subnet", "10.89.1.0/24", "first")
    mixed("network", "create", "--subnet", "10.89.2.0/24", "--opt", "mtu=1400", "second")
    mixed.machine.host.share_bridge("cni-podman?")
    mixed.serve("one", "--network", "first", "--publish", "8080:80")
    mixed("network", "connect", "second", "one")
    inside = mixed.namespace("one")
    assert inside.addresses("eth0") + inside.addresses("eth1") == ["10.89.1.2/24", "10.89.2.2/24"]
    assert [inside.links()[one]["mtu"] for one in ("eth0", "eth1")] == [1500, 1400]
    assert ping(inside, "192.0.2.2") is not None
    assert fetch(outside, UPLINK[0], 8080) == "one"
    said = mixed.refused(*mixed.arguments("two", "--network", "second", "--publish", "8080:80"))
    assert "host port 8080/tcp is taken" in said
    mixed.remove("two")
    mixed("network", "disconnect", order[0], "one")
    assert ("eth0" in inside.links()) is (order[0] != "first")
    assert ping(inside, "192.0.2.2") is not None
    assert fetch(outside, UPLINK[0], 8080) == "one"
    mixed("network", "disconnect", order[1], "one")
    with pytest.raises(OSError, match=r"refused|timed out"):
        fetch(outside, UPLINK[0], 8080)
    mixed("network", "connect", order[1], "one")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    mixed.remove("one")


def test_several_networks_from_the_start(mixed: Podman, outside: Namespace) -> None:
    for number, name in enumerate(("first", "second"), 1):
        mixed("network", "create", "--subnet", f"10.89.{number}.0/24", name)
    mixed.machine.host.share_bridge("cni-podman?")
    mixed.serve("one", "--network", "first,second", "--publish", "8080:80")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    mixed.restart("one")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    mixed.machine.host.command("nft", "flush", "ruleset")
    mixed("network", "reload", "--all")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    mixed.remove("one")
