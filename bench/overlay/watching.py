"""The watcher of one host among many, which exist in etcd only: what it costs to keep up with them.

Dual stack, mode l3. etcd runs on the same machine, in the host's namespace.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from pathlib import Path

from cni_vxlan import watchstate
from cni_vxlan.etcd_layout import Keys, Node
from etcd_json import Etcd, put
from tests.kit.calls import Document, Runtime
from tests.kit.etcd import EtcdServer
from tests.kit.namespace import Namespace

SIZES = (100, 1000, 5000)
ALL_BAR, ONE_BAR = 2000.0, 100.0
"""ms: 1,000 hosts programmed from the watcher's start; one change in the kernel."""
_POOLS = ip_network("10.0.0.0/8"), ip_network("fd00:1::/48")
_KEYS = Keys("/pycni/bench")
_CHANGES = 5
_SECONDS = 30


@dataclass(frozen=True)
class Watched:
    """One size. everything: ms from the watcher's start until the kernel has all. one: ms, median,
    from etcd's answer to the route of a new host. memory: MB (PSS). cpu: seconds, at the end.
    """

    hosts: int
    everything: float
    one: float
    memory: float
    cpu: float

    @property
    def verdict(self) -> bool | None:
        """Whether it is quick enough, where a bar is."""
        if self.hosts == 1000 and self.everything > ALL_BAR:
            return False
        return self.one <= ONE_BAR


def measure(directory: Path, executables: Path) -> list[Watched]:
    """Each size on a host of its own. directory: an empty one."""
    found = []
    for size in SIZES:
        scratch = directory / str(size)
        scratch.mkdir()
        host = Namespace(scratch / "host")
        container = Namespace(scratch / "container")
        try:
            _furnish(host)
            with EtcdServer(host, scratch / "etcd") as server:
                act = partial(_watch, executables / "cnid", server.url, size)
                found.append(_attached(host, container, scratch, server.url, act))
        finally:
            container.close()
            host.close()
    return found


def _furnish(host: Namespace) -> None:
    host.command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
    host.command("ip", "address", "add", "198.18.0.1/15", "dev", "eth0")
    for name in ("wire", "eth0"):
        host.command("ip", "link", "set", name, "up")
    host.command("ip", "route", "add", "default", "dev", "eth0")


def _attached(
    host: Namespace, container: Namespace, scratch: Path, url: str, act: Callable[[Path], Watched]
) -> Watched:
    """What `act` measures with the directory of configurations, while a container is attached."""
    config: Document = {
        "cniVersion": "1.1.0",
        "name": "bench",
        "type": "vxlan",
        "vni": 42,
        "network": [str(pool) for pool in _POOLS],
        "peers": {"type": "etcd", "endpoints": [url], "node": "self"},
        "ipam": {"type": "host-local", "dataDir": str(scratch / "networks")},
    }
    networks = scratch / "net.d"
    networks.mkdir()
    document = {"cniVersion": "1.1.0", "name": "bench", "plugins": [config]}
    (networks / "bench.conflist").write_text(json.dumps(document))
    runtime = Runtime(scratch)
    host.run(runtime.add, config, netns=container)
    try:
        return host.run(act, networks)
    finally:
        host.run(runtime.delete, config, netns=container)


def _enter(url: str, size: int) -> None:
    """Write the other hosts' records, a hundred in one transaction."""
    with Etcd([url], timeout=_SECONDS) as etcd:
        nodes = [put(_KEYS.node(node.name), node.document()) for node in map(_node, range(size))]
        for start in range(0, size, 100):
            etcd.transact((), nodes[start : start + 100])


def _node(number: int) -> Node:
    """A host with subnets at the end of the pools, where this host's own are not."""
    place = 65_000 - number
    return Node(
        f"host{number}",
        IPv4Address("198.18.1.0") + number,
        f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}",
        (
            IPv4Network((int(_POOLS[0].network_address) + place * 256, 24)),
            IPv6Network((int(_POOLS[1].network_address) + (place << 64), 64)),
        ),
    )


def _watch(cnid: Path, url: str, size: int, networks: Path) -> Watched:
    _enter(url, size)
    start = time.perf_counter()
    watcher = subprocess.Popen(
        [cnid, "overlay", f"--conf-dir={networks}"],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.defpath},
    )
    assert watcher.stderr is not None
    try:
        for line in watcher.stderr:
            said = json.loads(line)
            if said["msg"] == "programmed" and said["peers"] == size:
                break
        else:
            raise RuntimeError("the watcher ended before it had programmed its peers")
        everything = (time.perf_counter() - start) * 1000
        one = statistics.median(_changes(url, size))
        memory = watchstate.read()["memory"]
        assert isinstance(memory, int)
        return Watched(size, everything, one, memory * 1024 / 1e6, _cpu(watcher.pid))
    finally:
        watcher.send_signal(signal.SIGTERM)
        watcher.stderr.close()
        watcher.wait(_SECONDS)


def _changes(url: str, size: int) -> Iterator[float]:
    """ms until the kernel tells of the route to a host that has just come."""
    with (
        Etcd([url]) as etcd,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as news,
    ):
        news.bind((0, 1 << 6))  # RTMGRP_IPV4_ROUTE, <linux/rtnetlink.h>
        for node in map(_node, range(size, size + _CHANGES)):
            etcd.put(_KEYS.node(node.name), node.document())
            start = time.perf_counter()
            if not select.select([news], [], [], _SECONDS)[0]:
                raise RuntimeError("a change did not reach the kernel")
            yield (time.perf_counter() - start) * 1000
            news.recv(1 << 16)


def _cpu(pid: int) -> float:
    ran, _waited, _slices = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9
