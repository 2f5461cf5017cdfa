"""containerd runs containers on the built executables: by `ctr run --cni`, and as under Kubernetes.

Its image is a root directory with busybox, packed as `docker save` would: no registry.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import UPLINK
from tests.clients.cri import Cri, CriError
from tests.clients.machine import SECONDS, SERVE, Filesystem, Machine, fetch
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping

IMAGE = "docker.io/library/busybox:test"
SOCKET = "/run/c/socket"
CONFIG = f"""\
version = 2
root = "/run/c/root"
state = "/run/c/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""
NETWORK = {
    "cniVersion": "1.0.0",
    "name": "net",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.70.0.0/24"}], [{"subnet": "fd00:70::/64"}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def image(root: Path) -> bytes:
    """An archive with one image, of one layer, with this directory as its root."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(root, arcname=".")
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64"),
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


class Containerd:
    """containerd on a machine, with one image and the network `NETWORK`."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.path("/run/c.toml").write_text(CONFIG)
        machine.path("/etc/cni/net.d/10-net.conflist").write_text(json.dumps(NETWORK))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            # In the host's namespace, as the thread is: where containerd finds it.
            ready.bind("\0pycni-containerd")
            ready.settimeout(SECONDS)
            with machine.path("/run/c.log").open("w") as log:
                self._process = machine.start(
                    "containerd", "--config", "/run/c.toml",
                    stdout=log, stderr=log, environ={"NOTIFY_SOCKET": "@pycni-containerd"},
                )  # fmt: skip
            while b"READY=1" not in ready.recv(4096):
                pass
        root = Filesystem(machine.directory, "image")
        machine.path("/run/image.tar").write_bytes(image(root.path))
        for namespace in (machine.cgroup, "k8s.io"):
            self.ctr("images", "import", "--snapshotter=native", "/run/image.tar", of=namespace)

    def arguments(self, *arguments: str, of: str = "") -> list[str]:
        """`ctr` with these arguments, in a containerd namespace, which is also the cgroup."""
        return ["ctr", "--address", SOCKET, "--namespace", of or self.machine.cgroup, *arguments]

    def ctr(self, *arguments: str, of: str = "") -> str:
        """Run a ctr command; its output."""
        return self.machine.run(*self.arguments(*arguments, of=of))

    def log(self) -> str:
        return self.machine.path("/run/c.log").read_text()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)


@pytest.fixture
def containerd(machine: Machine) -> Iterator[Containerd]:
    machine.host.share_bridge("cni0")
    made = Containerd(machine)
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


def pod(machine: Machine, name: str, *mappings: dict[str, Any]) -> list[tuple[int, Any]]:
    """A PodSandboxConfig. mappings: container_port, host_port, and maybe protocol, host_ip."""
    numbers = {"protocol": 1, "container_port": 2, "host_port": 3, "host_ip": 4}
    metadata = [(1, name), (2, f"uid-{name}"), (3, "default")]
    ports = [(5, [(numbers[key], value) for key, value in one.items()]) for one in mappings]
    return [(1, metadata), (2, name), (3, "/run/pods"), *ports, (8, [(1, f"/{machine.cgroup}")])]


def run_pod(cri: Cri, config: list[tuple[int, Any]]) -> str:
    """RunPodSandbox; the pod's id. containerd is ready before its CRI service is."""
    while True:
        try:
            (_number, found), *_rest = cri("RunPodSandbox", (1, config))
            assert isinstance(found, bytes)
            return found.decode()
        except CriError as error:
            if "not initialized" not in str(error):
                raise


def test_a_pod_of_kubernetes(containerd: Containerd, outside: Namespace) -> None:
    """loopback and the network for each pod, Go's spelling of keys, DEL again and again."""
    machine = containerd.machine
    cri = Cri(machine, SOCKET)
    web = run_pod(cri, pod(machine, "web", {"container_port": 80, "host_port": 8080}))
    (inside,) = machine.namespaces().values()
    assert inside.addresses("eth0") == ["10.70.0.2/24", "fd00:70::2/64"]
    assert "UP" in inside.links()["lo"]["flags"]
    with EchoServer(inside, "0.0.0.0", 80, name="web"):
        assert ask(outside, UPLINK[0], 8080).server == "web"
        assert ask(machine.host, "127.0.0.1", 8080).server == "web"
    assert ping(inside, "192.0.2.2") is not None

    taken = pod(machine, "late", {"container_port": 80, "host_port": 8080})
    with pytest.raises(CriError, match=r"host port 8080/tcp is taken"):
        run_pod(cri, taken)
    for _again in range(2):
        cri("StopPodSandbox", (1, web))
    late = run_pod(cri, taken)
    cri("StopPodSandbox", (1, late))
    for one in (web, late):
        cri("RemovePodSandbox", (1, one))
