"""podman, with its CNI backend, on a machine."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.clients.machine import SERVE, Filesystem, Machine, Signal
from tests.kit.namespace import Namespace

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
    """podman with plugins in these directories, the first that has one wins.

    Containers have a directory with busybox for a root: no image, no registry.
    """

    def __init__(self, machine: Machine, *directories: str) -> None:
        self.machine = machine
        listed = ", ".join(f'"{one}"' for one in directories or ("/opt/cni/bin",))
        machine.path("/run/containers.conf").write_text(CONFIG.format(directories=listed))
        self.environ = {"CONTAINERS_CONF": "/run/containers.conf"}
        self._ready: dict[str, Signal] = {}
        self._options = ("--root=/run/p/root", "--runroot=/run/p/run", "--tmpdir=/run/p/tmp")
        tried = machine.attempt(*self._argv("network", "ls"), environ=self.environ)
        if "cni support is not enabled" in tried.stderr:
            pytest.skip(f"this podman has no CNI backend: {tried.stderr.strip()}")
        assert tried.returncode == 0, f"podman does not run: {tried.stderr}"

    def _argv(self, *arguments: str) -> list[str]:
        return ["podman", *self._options, *arguments]

    def __call__(self, *arguments: str) -> str:
        """Run a podman command; its output."""
        return self.machine.run(*self._argv(*arguments), environ=self.environ)

    def refused(self, *arguments: str) -> str:
        """Run a podman command that must fail; what it said."""
        done = self.machine.attempt(*self._argv(*arguments), environ=self.environ)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def network(self, name: str, *plugins: dict[str, Any], **keys: Any) -> None:
        """Write a conflist by hand, for what `podman network create` does not say."""
        document = {"cniVersion": "1.0.0", "name": name, "plugins": plugins, **keys}
        self.machine.path(f"/etc/cni/net.d/{name}.conflist").write_text(json.dumps(document))

    def create(self, name: str, *options: str) -> list[str]:
        """`podman network create`; the plugins that podman wants in the network's chain."""
        self("network", "create", *options, name)
        self.machine.host.share_bridge("cni-podman?")
        path = self.machine.path(f"/etc/cni/net.d/{name}.conflist")
        return [one["type"] for one in json.loads(path.read_text())["plugins"]]

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
