"""This suite and the Go-written one beside each other: in one chain, and one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import BEYOND, UPLINK
from tests.clients.containerd import Containerd, pod, web
from tests.clients.machine import SECONDS, Machine, fetch, is_silent
from tests.clients.podman import Podman
from tests.clients.suites import (
    OTHER,
    OURS,
    THEIRS,
    Tool,
    choose_backend,
    of_containers,
    pick,
    share_chains,
)
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping

CHAIN = ("bridge", "portmap", "firewall", "tuning", "bandwidth")
MAC = "02:00:00:00:00:42"
ADDRESSES = ("10.88.*", "10.89.*")
"""Of all containers here."""
SUBNET = "10.88.0.0/16"
BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": True,
    "ipMasq": True,
    "hairpinMode": True,
    "capabilities": {"ips": True, "mac": True},
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": SUBNET}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}
CHAINED: tuple[dict[str, Any], ...] = (
    {"type": "portmap", "capabilities": {"portMappings": True}},
    {"type": "firewall"},
    {"type": "tuning", "mtu": 1400, "allmulti": True,
     "sysctl": {"net.ipv4.conf.all.log_martians": "1"}},
    {"type": "bandwidth", "ingressRate": 100_000_000, "ingressBurst": 1_000_000,
     "egressRate": 100_000_000, "egressBurst": 1_000_000},
)  # fmt: skip


@pytest.fixture
def shared(machine: Machine) -> Iterator[Machine]:
    """The machine, where the shared chains of iptables may stay, but no container's rules."""
    share_chains(machine.host)
    machine.host.share_bridge("cni0")
    yield machine
    left = of_containers(machine.host, *ADDRESSES)
    assert not left, "\n".join(left)


def theirs_at(*places: int) -> dict[str, str]:
    """The chain with the other suite's plugins at these places; host-local is always the other's
    than the bridge's.
    """
    suites = {name: THEIRS if at in places else OURS for at, name in enumerate(CHAIN)}
    return {**suites, "host-local": OTHER[suites["bridge"]]}


@pytest.mark.parametrize(
    ("places", "backend"),
    [((0,), "nftables"), ((1, 2, 3, 4), "iptables"), ((0, 2, 4), "iptables"), ((1, 3), "nftables")],
)
def test_both_in_one_chain(
    places: tuple[int, ...], backend: str, shared: Machine, outside: Namespace
) -> None:
    choose_backend(shared, backend)
    podman = Podman(shared, pick(shared, "mixed", theirs_at(*places)))
    podman.network("podman", BRIDGE, *CHAINED, cniVersion="0.4.0")
    found = podman.serve("one", "--publish=8080:80", "--ip=10.88.0.7", f"--mac-address={MAC}")
    assert (found["IPAddress"], found["MacAddress"]) == ("10.88.0.7", MAC)
    assert podman.namespace("one").links()["eth0"]["mtu"] == 1400
    assert fetch(outside, UPLINK[0], 8080) == "one"
    assert ping(podman.namespace("one"), BEYOND[0], SECONDS) is not None
    podman.restart("one")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    podman.remove("one")
    assert is_silent(outside, UPLINK[0], 8080)


@pytest.mark.parametrize("first", [THEIRS, OURS])
def test_another_suite_under_running_containers(
    first: str, shared: Machine, outside: Namespace
) -> None:
    """An upgrade, and the way back: the one container is attached anew, the other only goes."""
    choose_backend(shared, "iptables")
    chain = [one for one in CHAINED if first == THEIRS or one["type"] != "firewall"]
    podman = Podman(shared, first)
    podman.network("podman", BRIDGE, *chain, cniVersion="0.4.0")
    podman.serve("one", "--publish=8080:80")
    podman.serve("two", "--publish=8081:80")
    other = Podman(shared, OTHER[first])
    assert fetch(outside, UPLINK[0], 8080) == "one"
    other("network", "reload", "one")
    for number, name in enumerate(("one", "two")):
        assert fetch(outside, UPLINK[0], 8080 + number) == name
        assert ping(other.namespace(name), BEYOND[0], SECONDS) is not None
    other.remove("two", "one")
    assert is_silent(outside, UPLINK[0], 8080)
    if first == OURS:  # host-local's index of many files, which only it looks after
        shutil.rmtree(shared.path("/run/cni/ipam-index"), ignore_errors=True)


def test_pods_of_the_other_suite(shared: Machine, outside: Namespace) -> None:
    """A node is upgraded under its pods; one of them has lost its namespace meanwhile."""
    network = {"cniVersion": "1.0.0", "name": "net", "plugins": [BRIDGE, *CHAINED]}
    containerd = Containerd(shared, network, THEIRS)
    pods = [containerd.run_pod(pod(shared, f"pod{port}", web(port))) for port in (8080, 8081)]
    containerd.close()
    containerd.configure(OURS)
    containerd.start()
    containerd.lose(pods[1])
    with EchoServer(containerd.namespace(pods[0]), "0.0.0.0", 80) as server:
        assert ask(outside, UPLINK[0], 8080, seconds=SECONDS).server == server.name
    containerd.remove_pod(*pods)
    containerd.remove_pod(containerd.run_pod(pod(shared, "new", web(8081))))
    containerd.close()


HOST_LOCAL = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.89.0.0/24"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}
STATIC = {"type": "static", "addresses": [{"address": "10.89.0.2/24"}]}
NETWORKS: dict[str, tuple[dict[str, Any], ...]] = {
    "chain": (BRIDGE, *CHAINED),
    "sbr": ({**BRIDGE, "ipMasq": False}, {"type": "sbr"}),
    "ptp": ({"type": "ptp", "ipMasq": True, "ipam": HOST_LOCAL},),
    "macvlan": ({"type": "macvlan", "master": "wan0", "ipam": HOST_LOCAL},),
    "host-device": ({"type": "host-device", "device": "spare", "ipam": STATIC},),
    "loopback": ({"type": "loopback"},),
}
WEB = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
ELSEWHERE = {
    "dhcp": "a lease is its daemon's: the suites' daemons do not know each other's",
    "ipvlan": "tests/second_kernel: this one lacks it",
    "vlan": "tests/second_kernel: this one lacks it",
    "vrf": "tests/second_kernel: this one lacks it",
}
"""Plugins of both suites that are in no network here, and why."""


@pytest.fixture
def spare(shared: Machine) -> Iterator[None]:
    """An interface to give away."""
    link = ("ip", "link", "add", "spare", "type", "veth", "peer", "name", "other")
    shared.host.command(*link)
    yield
    shared.host.command("ip", "link", "delete", "other", check=False)


def test_networks_have_all_that_both_suites_have(built: Path) -> None:
    both = {one.name for one in built.iterdir()} & {one.name for one in Path(THEIRS).iterdir()}
    plugins = [one for network in NETWORKS.values() for one in network]
    here = {one["type"] for one in [*plugins, *(one.get("ipam", one) for one in plugins)]}
    assert here == both - ELSEWHERE.keys()  # whoever adds a plugin, adds a network


def test_we_delete_what_they_added(shared: Machine, spare: None) -> None:
    """With everything at hand, and when the namespace is gone before."""
    for is_gone in (False, True):
        for network, plugins in NETWORKS.items():
            tool = Tool(shared, network, plugins)
            tool("add", THEIRS, tool.container("one"), portMappings=[WEB])
            if is_gone:
                tool.remove("one")
            tool("del", OURS, "/run/netns/one")
            if not is_gone:
                tool.remove("one")


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_they_delete_what_we_added(backend: str, shared: Machine, spare: None) -> None:
    """What they know nothing of goes with our next GC: nftables, and what firewall has noted."""
    choose_backend(shared, backend)
    for network, plugins in NETWORKS.items():
        tool = Tool(shared, network, plugins)
        tool("add", OURS, tool.container("one"), portMappings=[WEB])
        if tool.attempt("del", THEIRS, "/run/netns/one").returncode:
            # Their masquerade misses its chain, and is not looked for again.
            assert backend == "nftables", network
            tool("del", THEIRS, "/run/netns/one")
        left = of_containers(shared.host, *ADDRESSES)
        assert not [one for one in left if " nat " in one], network
        tool.speak("1.1.0")  # a GC is nothing that 1.0.0 knows
        tool("gc", OURS, "--all")
        tool.remove("one")
