"""containerd on a machine, driven by `ctr` and, as kubelet does it, by its CRI socket.

Its image is a root directory with busybox, packed as `docker save` would: no registry.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clients.cri import Cri, CriError, Value
from tests.clients.machine import Filesystem, Machine
from tests.kit.namespace import Namespace

IMAGE = "docker.io/library/busybox:test"
SOCKET = "/run/c/socket"
_ATTEMPTS = 100  # each is an exchange with containerd, which learns of its shims meanwhile
OURS = "/opt/cni/bin"
CONFIG = """\
version = 2
root = "/run/c/root"
state = "/run/c/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "/run/c/socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/busybox:test"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "/etc/cni/net.d"
"""


class Containerd:
    """containerd with one image and one network, and the plugins of a directory."""

    def __init__(self, machine: Machine, network: dict[str, Any], plugins: str = OURS) -> None:
        self.machine = machine
        self._network: str = network["name"]
        self.configure(plugins)
        conflist = machine.path(f"/etc/cni/net.d/10-{self._network}.conflist")
        conflist.write_text(json.dumps(network))
        self.start()
        root = Filesystem(machine.directory, "image")
        machine.path("/run/image.tar").write_bytes(image(root.path))
        for namespace in (machine.cgroup, "k8s.io"):
            self.ctr("images", "import", "--snapshotter=native", "/run/image.tar", of=namespace)

    def configure(self, plugins: str) -> None:
        """Say in which directory the plugins are; for the next `start`."""
        self.machine.path("/run/c.toml").write_text(CONFIG.format(plugins=plugins))

    def start(self) -> None:
        """Start it; what ran before runs on."""
        self._process = self.machine.serve("containerd", "--config", "/run/c.toml")
        self.cri = Cri(self.machine, SOCKET)

    def close(self) -> None:
        """End it; what runs, runs on."""
        self.machine.end(self._process)

    def arguments(self, *arguments: str, of: str = "") -> list[str]:
        """`ctr` with these arguments, in a containerd namespace, which is also the cgroup."""
        return ["ctr", "--address", SOCKET, "--namespace", of or self.machine.cgroup, *arguments]

    def ctr(self, *arguments: str, of: str = "") -> str:
        """Run a ctr command; its output."""
        return self.machine.run(*self.arguments(*arguments, of=of))

    def run_pod(self, config: list[tuple[int, Value]]) -> str:
        """RunPodSandbox; the pod's id. containerd is ready before its CRI service is."""
        while True:
            try:
                (_number, found), *_rest = self.cri("RunPodSandbox", (1, config))
            except CriError as error:
                if "not initialized" not in str(error):
                    raise
            else:
                assert isinstance(found, bytes)
                return found.decode()

    def kept(self, pod: str) -> dict[str, Any]:
        """What libcni keeps of a pod's attachment: `result`, `capabilityArgs` and the like."""
        directory = self.machine.path("/var/lib/cni/results")
        (path,) = directory.glob(f"{self._network}-{pod}-*")
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found

    def namespace(self, pod: str) -> Namespace:
        """A pod's network namespace."""
        return self.machine.namespaces()[Path(self._netns(pod)).name]

    def _netns(self, pod: str) -> str:
        interfaces: list[dict[str, str]] = self.kept(pod)["result"]["interfaces"]
        (path,) = {one["sandbox"] for one in interfaces if one.get("sandbox")}
        return path

    def lose(self, pod: str) -> None:
        """Kill a pod's process and take its namespace away."""
        self.ctr("tasks", "kill", "--signal", "SIGKILL", pod, of="k8s.io")
        path = self._netns(pod)
        self.machine.run("umount", path)
        self.machine.run("rm", path)

    def remove_pod(self, *pods: str) -> None:
        """What kubelet does at a pod's end, again where containerd has just lost the pod's shim."""
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            for one in pods:
                self._end_pod(method, one)

    def _end_pod(self, method: str, pod: str) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.cri(method, (1, pod))
            except CriError as error:
                if "ttrpc: closed" not in str(error) or attempt == _ATTEMPTS:
                    raise
            else:
                return


def web(host_port: int) -> dict[str, int]:
    """A pod's mapping of a host port to its port 80."""
    return {"container_port": 80, "host_port": host_port}


def pod(
    machine: Machine,
    name: str,
    *mappings: dict[str, Any],
    annotations: Mapping[str, str] | None = None,
    nameserver: str = "",
) -> list[tuple[int, Value]]:
    """A PodSandboxConfig. mappings: container_port, host_port, and maybe protocol, host_ip."""
    numbers = {"protocol": 1, "container_port": 2, "host_port": 3, "host_ip": 4}
    fields: list[tuple[int, Value]] = [
        (1, [(1, name), (2, f"uid-{name}"), (3, "default")]),
        (2, name),
        (3, "/run/pods"),
    ]
    if nameserver:
        fields.append((4, [(1, nameserver), (2, "cluster.local"), (3, "ndots:5")]))
    fields += [(5, [(numbers[key], value) for key, value in one.items()]) for one in mappings]
    fields += [(7, [(1, key), (2, value)]) for key, value in (annotations or {}).items()]
    return [*fields, (8, [(1, f"/{machine.cgroup}")])]


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
