"""The executables under an ordinary user's namespaces: all that the kernel lets work works.

Where it does not, the error says so: see `cni.privilege`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.daemon import Daemon
from cni.errors import SYSTEM
from tests.kit import leaks
from tests.kit.calls import Document
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask
from tests.reliability.privilege.rootless import BIN, Inside, Rootless, nested

IPAM = {"type": "host-local", "subnet": "10.9.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}
C1 = "/run/netns/c1"
FOREIGN = Path("/run/foreign")
"""A network namespace that belongs to the machine's root."""
USER_NAMESPACE = (
    "this process is in a user namespace, whose root may change only what belongs to it"
)


def network(plugin: str, **keys: Any) -> Document:
    return {"cniVersion": "1.1.0", "name": "net", "type": plugin, **keys}


def port(backend: str = "nftables") -> Document:
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    return network("portmap", backend=backend, runtimeConfig={"portMappings": [mapping]})


RATES = {f"{way}{key}": 8_000_000 for way in ("ingress", "egress") for key in ("Rate", "Burst")}
NODES = [{"address": f"192.0.2.{n}", "subnets": [f"10.244.{n}.0/24"]} for n in (1, 2)]
OWN: dict[str, Document] = {
    "loopback": {},
    "ptp": {"ipMasq": True, "ipam": IPAM},
    "bridge": {"isGateway": True, "ipMasq": True, "macspoofchk": True, "ipam": IPAM},
    "macvlan": {"master": "dev0", "ipam": IPAM},
    "vxlan": {
        "vni": 42,
        "network": ["10.244.0.0/16"],
        "peers": {"type": "static", "nodes": NODES},
        "ipam": {"type": "host-local"},
    },
    "host-device": {"device": "dev0", "ipam": IPAM},
}
CHAINED: dict[str, Document] = {
    "portmap": port(),
    "portmap by iptables": port("iptables"),
    "firewall": network("firewall"),
    "tuning": network("tuning", sysctl={"net.ipv4.conf.IFNAME.arp_filter": "1"}, mtu=1400),
    "bandwidth": network("bandwidth", **RATES),
    "sbr": network("sbr"),
}


@pytest.fixture
def rootless(built: Path, container: Namespace) -> Iterator[Rootless]:
    with Rootless({BIN: built, FOREIGN: container.path}) as made:
        yield made


ALL = ("STATUS", "ADD", "CHECK", "GC", "DEL")


def verbs(
    rootless: Rootless,
    config: Document,
    netns: str = C1,
    which: tuple[str, ...] = ALL,
    socket: str = "",
) -> None:
    """One after the other. socket: of the daemon that may serve them."""
    result = config.get("prevResult")
    for verb in which:
        more = {"CHECK": {"prevResult": result}}.get(verb, {})
        if verb == "GC":
            more = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
        answer = rootless.call(verb, {**config, **more}, netns, CNID_SOCKET=socket)
        assert answer.status == 0, f"{config['type']}: {verb}: {answer}"
        if verb == "ADD":
            result = answer.document


def test_every_plugin(rootless: Rootless, whole: bool) -> None:
    which = ALL if whole else ("ADD", "CHECK", "DEL")
    c1 = rootless.container("c1")
    for one in (
        "link add dev0 type veth peer name dev1",
        "address add 192.0.2.1/24 dev dev0",
        "link set dev0 up",
        "link set dev1 up",
    ):
        rootless.done("ip", *one.split())
    for plugin, keys in OWN.items():
        verbs(rootless, network(plugin, **keys), which=which)
        assert set(c1.links()) == {"lo"}, plugin
    bridge = network("bridge", **OWN["bridge"])
    result = rootless.call("ADD", bridge, C1).document
    for config in CHAINED.values():
        verbs(rootless, {**config, "prevResult": result}, which=which)
    assert rootless.call("DEL", bridge, C1).status == 0
    assert rootless.links() == {"lo", "cni0", "vxbr42", "dev0", "dev1"}
    assert rootless.done("find", "/var/lib/cni/networks", "-name", "10.*") == ""
    left = [one for one in rootless.host.run(leaks.of_namespace) if one.startswith("nft element")]
    assert [one for one in left if " pycni_vxlan " not in one] == []  # the overlay's, which stays


def test_a_chain_by_cnitool_carries_traffic(rootless: Rootless) -> None:
    c1, client = rootless.container("c1"), rootless.container("client")
    for one in (
        "link add uplink type veth peer name eth0 netns client",
        "address add 192.0.2.1/24 dev uplink",
        "link set uplink up",
    ):
        rootless.done("ip", *one.split())
    for one in ("address add 192.0.2.9/24 dev eth0", "link set eth0 up"):
        client.command("ip", *one.split())
    chain = [
        network("bridge", **OWN["bridge"]),
        {**port(), "capabilities": {"portMappings": True}},
        *(CHAINED[name] for name in ("firewall", "tuning", "bandwidth")),
    ]
    conflist = {"cniVersion": "1.1.0", "name": "net", "plugins": chain}
    environ = {
        "CNI_PATH": str(BIN),
        "NETCONFPATH": "/run/net.d",
        "CAP_ARGS": json.dumps(chain[1]["runtimeConfig"]),
    }
    rootless.done("mkdir", "/run/net.d")
    rootless.done("tee", "/run/net.d/net.conflist", stdin=json.dumps(conflist))
    tool = f"{BIN}/cnitool"
    added = json.loads(rootless.done(tool, "add", "net", C1, **environ))
    address = added["ips"][0]["address"].split("/")[0]
    client.wait_ready("eth0", 20)
    with EchoServer(c1, address, 80):
        assert ask(client, "192.0.2.1", 8080, seconds=20).client == "192.0.2.9"
    with EchoServer(client, "192.0.2.9", 80):
        assert ask(c1, "192.0.2.9", 80, seconds=20).client == "192.0.2.1"
    rootless.done(tool, "check", "net", C1, **environ)
    rootless.done(tool, "del", "net", C1, **environ)
    assert set(c1.links()) == {"lo"}


def test_a_container_in_a_user_namespace_below(rootless: Rootless) -> None:
    process = nested(rootless, ("sh", "-c", "echo $$; cat"))
    try:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        verbs(rootless, network("bridge", **OWN["bridge"]), f"/proc/{pid}/ns/net")
        assert set(Inside(Path(f"/proc/{pid}/ns/net")).links()) == {"lo"}
    finally:
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (network("tuning", sysctl={"net.core.netdev_max_backlog": "9"}), "netdev_max_backlog: No"),
        (
            network("tuning", sysctl={"net.netfilter.nf_conntrack_max": "9"}),
            f"set sysctl net/netfilter/nf_conntrack_max .*{USER_NAMESPACE}",
        ),
        (network("macvlan", master="eth0", ipam=IPAM), "eth0"),
    ],
    ids=["a switch of the machine's", "a switch only to read", "a device of the machine's"],
)
def test_what_the_kernel_forbids_is_said(config: Document, words: str, rootless: Rootless) -> None:
    c1 = rootless.container("c1")
    bridge = network("bridge", **OWN["bridge"])
    result = rootless.call("ADD", bridge, C1).document
    if config["type"] == "tuning":
        config = {**config, "prevResult": result}
    before = rootless.links(), set(c1.links())
    answer = rootless.call("ADD", config, C1, CNI_IFNAME="eth0" if "sysctl" in config else "net1")
    assert answer.status == 1
    assert "Traceback" not in answer.stderr
    assert re.search(words, answer.msg), answer.msg
    assert (rootless.links(), set(c1.links())) == before


def test_a_foreign_namespace(rootless: Rootless, container: Namespace) -> None:
    for plugin in ("bridge", "loopback", "ptp"):
        answer = rootless.call("ADD", network(plugin, **OWN[plugin]), str(FOREIGN))
        assert answer.document["code"] == SYSTEM
        assert f"cannot enter the network namespace {FOREIGN}" in answer.msg
        assert USER_NAMESPACE in answer.msg
    assert rootless.links() <= {"lo", "cni0"}
    assert rootless.done("find", "/var/lib/cni", "-name", "10.*") == ""
    assert set(container.links()) == {"lo"}


def test_files_that_are_the_machines(rootless: Rootless) -> None:
    """Where the runtime has not given the user directories of its own."""
    rootless.container("c1")
    rootless.done("mount", "-t", "tmpfs", "-o", "ro", "none", "/var/lib/cni")
    answer = rootless.call("ADD", network("bridge", **OWN["bridge"]), C1)
    assert "/var/lib/cni/networks" in answer.msg
    assert "Read-only file system" in answer.msg
    ipam = {**IPAM, "dataDir": "/etc/pycni"}
    answer = rootless.call("ADD", network("bridge", **{**OWN["bridge"], "ipam": ipam}), C1)
    assert "/etc/pycni" in answer.msg
    assert USER_NAMESPACE in answer.msg


def test_iptables_without_a_lock_file(rootless: Rootless) -> None:
    """iptables-legacy locks a file in /run, iptables-nft does without."""
    rootless.container("c1")
    bridge = network("bridge", **OWN["bridge"])
    result = rootless.call("ADD", bridge, C1).document
    rootless.done("mkdir", "/run/xtables.lock")
    answer = rootless.call("ADD", {**port("iptables"), "prevResult": result}, C1)
    if answer.status:
        assert "xtables.lock" in answer.msg
    else:
        assert rootless.call("DEL", port("iptables"), C1).status == 0


def test_a_daemon_of_its_own_serves_it(rootless: Rootless) -> None:
    rootless.container("c1")
    daemon = subprocess.Popen(
        rootless.command(f"{BIN}/cnid", "--conf-dir="),
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        config = network("bridge", **OWN["bridge"])
        deadline = time.monotonic() + 20
        while rootless.run(f"{BIN}/cnid", "status").returncode:
            assert time.monotonic() < deadline
        verbs(rootless, config, socket="/run/cni/cnid.sock")
        status = json.loads(rootless.done(f"{BIN}/cnid", "status", "--json"))
        assert sum(row["calls"] for row in status["calls"]) == len(ALL)
        assert status["refused"] == 0
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=40)


def test_the_machines_daemon_is_not_asked(built: Path, host: Host, tmp_path: Path) -> None:
    """Neither where its socket is closed to others, as it is, nor where somebody has opened it."""
    daemon = Daemon(built / "cnid", host, tmp_path)
    theirs = Path("/run/theirs.sock")
    try:
        with Rootless({BIN: built, theirs: daemon.socket}) as rootless:
            c1 = rootless.container("c1")
            for mode in (0o600, 0o666):
                daemon.socket.chmod(mode)
                config = network("bridge", **OWN["bridge"])
                answer = rootless.call("ADD", config, C1, CNID_SOCKET=str(theirs))
                assert answer.status == 0
                assert "eth0" in c1.links()
                answer = rootless.call("DEL", config, C1, CNID_SOCKET=str(theirs))
                assert answer.status == 0
                assert set(c1.links()) == {"lo"}
        assert daemon.calls() == 0
    finally:
        daemon.stop()
    assert set(host.links()) == {"lo"}
