"""Two suites on one machine: this one and the Go-written one, which Debian has in /usr/lib/cni."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.clients.machine import Machine
from tests.kit import iptables, leaks
from tests.kit.host import Host

OURS = "/opt/cni/bin"
THEIRS = "/usr/lib/cni"
OTHER = {OURS: THEIRS, THEIRS: OURS}
FIXED = (
    "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-GUARD",
    "CNI-FORWARD", "CNI-ADMIN", "CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2", "CNI-PASS",
)  # fmt: skip
"""Chains of iptables that either suite leaves for the next container."""
BACKENDS = ("nftables", "iptables")


def choose_backend(machine: Machine, backend: str) -> None:
    """What this suite's plugins use on the machine where a config does not say."""
    machine.path("/etc/cni/pycni.json").write_text(json.dumps({"backend": backend}))


def pick(machine: Machine, name: str, suites: Mapping[str, str]) -> str:
    """A plugin directory on the machine with each of these plugins from the suite given for it."""
    directory = f"/run/{name}"
    machine.path(directory).mkdir()
    for plugin, suite in suites.items():
        machine.path(f"{directory}/{plugin}").symlink_to(f"{suite}/{plugin}")
    return directory


def share_chains(host: Host) -> None:
    """Let stay what is for the next container, see `of_containers` for the rest."""
    iptables.share(host)
    for chain in FIXED:
        host.share(f"nft chain ip* {chain}")
    host.share("nft rule ip *", "nft rule ip6 *")


def of_containers(host: Host, *subnets: str) -> list[str]:
    """The host's rules of iptables that name somebody's address of these subnets (`10.88.*`)."""
    found = []
    for line in host.run(leaks.of_namespace):
        words = line.replace('"', " ").split()
        if any(fnmatchcase(word, subnet) for word in words for subnet in subnets):
            found.append(line)
    return [one for one in found if one.startswith("nft rule ip")]


class Tool:
    """cnitool on a machine, as the runtime of containers that are only namespaces."""

    def __init__(self, machine: Machine, network: str, plugins: tuple[dict[str, Any], ...]) -> None:
        self.machine = machine
        self._network = network
        self._plugins = plugins
        self.speak("1.0.0")

    def speak(self, version: str) -> None:
        """Write the network's conflist in this version."""
        document = {"cniVersion": version, "name": self._network, "plugins": self._plugins}
        path = self.machine.path(f"/etc/cni/net.d/{self._network}.conflist")
        path.write_text(json.dumps(document))

    def container(self, name: str) -> str:
        """A new container, which is a namespace; its path on the machine."""
        self.machine.run("ip", "netns", "add", name)
        return f"/run/netns/{name}"

    def remove(self, name: str) -> None:
        self.machine.run("ip", "netns", "delete", name)

    def attempt(
        self, verb: str, suite: str, *arguments: str, **capabilities: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb for the network with the plugins of a suite."""
        environ = {"CNI_PATH": suite, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        if capabilities:
            environ["CAP_ARGS"] = json.dumps(capabilities)
        argv = (f"{OURS}/cnitool", verb, self._network, *arguments)
        return self.machine.attempt(*argv, environ=environ)

    def __call__(self, verb: str, suite: str, *arguments: str, **capabilities: Any) -> None:
        """`attempt` that must succeed."""
        done = self.attempt(verb, suite, *arguments, **capabilities)
        assert done.returncode == 0, done.stderr
