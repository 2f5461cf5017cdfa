"""containerd runs containers on the built executables: by `ctr run --cni`, and as under Kubernetes.

Debian's containerd knows the verbs ADD, DEL and, for `ctr`'s and kubelet's health, VERSION.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.clients.conftest import BEYOND, UPLINK
from tests.clients.containerd import IMAGE, Containerd, pod, web
from tests.clients.cri import CriError
from tests.clients.machine import SECONDS, SERVE, Machine, fetch
from tests.clients.podman import Podman
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping

NETWORK: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "capabilities": {"dns": True},
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.70.0.0/24"}], [{"subnet": "fd00:70::/64"}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
    ],
}


@pytest.fixture
def containerd(machine: Machine) -> Iterator[Containerd]:
    machine.host.share_bridge("cni0")
    made = Containerd(machine, NETWORK)
    yield made
    made.close()


def test_ctr_run(containerd: Containerd, outside: Namespace) -> None:
    """`ctr` ADDs before the process starts, and sends DEL when the namespace is gone already."""
    command = ("run", "--rm", "--cni", "--snapshotter=native", IMAGE)
    running = [
        containerd.machine.start(
            *containerd.arguments(*command, name, "/bin/sh", "-c", SERVE.format("&1")),
            stdout=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    for address in ("10.70.0.2", "10.70.0.3", "fd00:70::2", "fd00:70::3"):
        assert fetch(containerd.machine.host, address, 80) == "image"
    for name, process in zip(("one", "two"), running, strict=True):
        containerd.ctr("tasks", "kill", "--signal", "SIGKILL", name)
        process.communicate(timeout=SECONDS)


def test_a_pod_of_kubernetes(containerd: Containerd, outside: Namespace) -> None:
    """loopback and the network for each pod, Go's spelling of keys, DEL again and again."""
    machine = containerd.machine
    udp = {**web(8080), "protocol": 1, "host_ip": UPLINK[0]}
    first = containerd.run_pod(pod(machine, "first", web(8080), udp))
    inside = containerd.namespace(first)
    assert inside.addresses("eth0") == ["10.70.0.2/24", "fd00:70::2/64"]
    assert "UP" in inside.links()["lo"]["flags"]
    for protocol in ("tcp", "udp"):
        with EchoServer(inside, "0.0.0.0", 80, protocol) as server:
            for ns in (outside, machine.host):
                assert ask(ns, UPLINK[0], 8080, protocol, seconds=SECONDS).server == server.name
    assert ping(inside, BEYOND[0], SECONDS) is not None

    taken = pod(machine, "second", web(8080))
    with pytest.raises(CriError, match=r"host port 8080/tcp is taken"):
        containerd.run_pod(taken)
    for _again in range(2):
        containerd.cri("StopPodSandbox", (1, first))
    second = containerd.run_pod(taken)
    containerd.remove_pod(second, first)


def test_what_a_pod_may_also_ask_for(containerd: Containerd) -> None:
    """Bandwidth by kubernetes' annotations, and DNS, which is for plugins of other systems."""
    machine = containerd.machine
    annotations = {f"kubernetes.io/{way}-bandwidth": "10M" for way in ("ingress", "egress")}
    asked = pod(machine, "slow", annotations=annotations, nameserver="10.70.0.10")
    slow = containerd.run_pod(asked)
    kept = containerd.kept(slow)
    assert kept["capabilityArgs"]["dns"]["Servers"] == ["10.70.0.10"], kept
    (host_end,) = (
        one["name"] for one in kept["result"]["interfaces"] if one["name"].startswith("veth")
    )
    qdiscs = _qdiscs(machine.host)
    assert (host_end, "tbf") in qdiscs
    assert [kind for name, kind in qdiscs if name != host_end and kind == "tbf"] == ["tbf"]
    containerd.remove_pod(slow)


def _qdiscs(ns: Namespace) -> list[tuple[str, str]]:
    """The namespace's queueing disciplines: device and kind."""
    found = json.loads(ns.command("tc", "-json", "qdisc", "show").stdout)
    return [(one["dev"], one["kind"]) for one in found]


def test_many_pods_at_once(containerd: Containerd, outside: Namespace) -> None:
    """A node that boots: on a host that has neither bridge nor tables."""
    machine = containerd.machine
    asked = [pod(machine, f"pod{number}", web(8080 + number)) for number in range(6)]
    with ThreadPoolExecutor(len(asked)) as pool:
        pods = list(pool.map(containerd.run_pod, asked))
        first = [containerd.kept(one)["result"]["ips"][0]["address"] for one in pods]
        assert len(set(first)) == len(pods)
        for one in first:
            assert ping(machine.host, one.partition("/")[0], SECONDS) is not None
        list(pool.map(containerd.remove_pod, pods))


def test_a_pod_whose_namespace_is_gone(containerd: Containerd, outside: Namespace) -> None:
    """After a crash, or when somebody was thorough; and containerd itself was restarted."""
    machine = containerd.machine
    gone, stays = (
        containerd.run_pod(pod(machine, name, web(port)))
        for name, port in (("gone", 8080), ("stays", 8081))
    )
    containerd.close()
    containerd.start()
    containerd.lose(gone)
    containerd.remove_pod(gone)
    again = containerd.run_pod(pod(machine, "again", web(8080)))
    containerd.remove_pod(stays, again)


def test_podman_beside_it(containerd: Containerd, outside: Namespace) -> None:
    """Two runtimes share the host's ports."""
    machine = containerd.machine
    podman = Podman(machine)
    bridge, portmap, *_others = NETWORK["plugins"]
    ipam = {"type": "host-local", "subnet": "10.71.0.0/24"}
    podman.network("podman", {**bridge, "bridge": "cni1", "ipam": ipam}, portmap)
    machine.host.share_bridge("cni1")
    podman.serve("one", "--publish=8080:80")
    with pytest.raises(CriError, match=r"host port 8080/tcp is taken"):
        containerd.run_pod(pod(machine, "web", web(8080)))
    other = containerd.run_pod(pod(machine, "web", web(8081)))
    assert fetch(outside, UPLINK[0], 8080) == "one"
    assert fetch(containerd.namespace(other), "10.71.0.2", 80) == "one"
    podman.remove("one")
    with EchoServer(containerd.namespace(other), "0.0.0.0", 80) as server:
        assert ask(outside, UPLINK[0], 8081, seconds=SECONDS).server == server.name
    containerd.remove_pod(other)
