"""STATUS on a kernel that lacks what a plugin needs: modules are taken out of this one.

They do not come back by themselves, since nothing is where the kernel's modprobe looks.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cni.errors import NOT_AVAILABLE
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host

MODULES = "/run/modules"  # see init.sh
_SECONDS = 20
IPAM = {"type": "static", "addresses": [{"address": "10.1.0.2/24"}]}
_NODES = [{"address": "192.0.2.1", "subnets": ["10.244.1.0/24"]}]
VXLAN: Document = {
    "vni": 42,
    "network": ["10.244.0.0/16"],
    "peers": {"type": "static", "nodes": _NODES},
    "ipam": {"type": "host-local"},
}


@contextmanager
def without(module: str) -> Iterator[None]:
    """The kernel without this module; it is used until the last namespace has been taken down."""
    deadline = time.monotonic() + _SECONDS
    while subprocess.run(["rmmod", module], capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, f"{module} is in use"
        # Namespaces are taken down by a worker of the kernel's; making one waits for its turn.
        subprocess.run(["unshare", "--net", "true"], check=True)
    try:
        yield
    finally:
        subprocess.run(["modprobe", "-d", MODULES, module], check=True)


def refused(runtime: Runtime, plugin: str, keys: Document) -> str:
    config = {"cniVersion": "1.1.0", "name": "net", "type": plugin, **keys}
    with pytest.raises(PluginError) as raised:
        runtime.status(config)
    assert raised.value.code == NOT_AVAILABLE, raised.value
    return raised.value.msg


@pytest.mark.parametrize(
    ("plugin", "keys"),
    [
        ("bridge", {"ipMasq": True, "ipMasqBackend": "nftables", "ipam": IPAM}),
        ("bridge", {"macspoofchk": True, "ipam": IPAM}),
        ("ptp", {"ipMasq": True, "ipMasqBackend": "nftables", "ipam": IPAM}),
        ("portmap", {"backend": "nftables"}),
        ("firewall", {"backend": "nftables"}),
    ],
)
def test_no_nftables(plugin: str, keys: dict[str, Any], runtime: Runtime, host: Host) -> None:
    with without("nf_tables"):
        assert "nf_tables" in refused(runtime, plugin, keys)


@pytest.mark.parametrize(
    ("plugin", "keys"),
    [
        ("bridge", {"ipMasq": True, "ipam": IPAM}),
        ("ptp", {"ipMasq": True, "ipam": IPAM}),
        ("portmap", {}),
        ("firewall", {}),
    ],
)
def test_no_nftables_and_an_iptables_that_needs_it(
    plugin: str, keys: dict[str, Any], runtime: Runtime, host: Host
) -> None:
    """The programs are there, so only trying them tells."""
    with without("nf_tables"):
        assert "iptables" in refused(runtime, plugin, keys)


@pytest.mark.parametrize(
    ("plugin", "keys", "module"),
    [
        ("bridge", {"ipam": IPAM}, "veth"),
        ("bridge", {"ipam": IPAM}, "bridge"),
        ("ptp", {"ipam": IPAM}, "veth"),
        ("dummy", {"ipam": IPAM}, "dummy"),
        ("tap", {"ipam": IPAM}, "tun"),
    ],
)
def test_no_such_links(
    plugin: str, keys: dict[str, Any], module: str, runtime: Runtime, host: Host
) -> None:
    with without(module):
        assert f"modprobe {module}" in refused(runtime, plugin, keys)


def test_no_ifb(runtime: Runtime, host: Host) -> None:
    """It is not among the modules that are loaded."""
    rates = {"egressRate": 1_000_000, "egressBurst": 800_000}
    assert "modprobe ifb" in refused(runtime, "bandwidth", rates)


def test_no_vxlan(runtime: Runtime, host: Host) -> None:
    """Nor is this."""
    host.command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
    host.command("ip", "link", "set", "wire", "up")
    host.command("ip", "link", "set", "eth0", "up")
    host.command("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    assert "modprobe vxlan" in refused(runtime, "vxlan", VXLAN)
    host.command("ip", "link", "delete", "eth0")
