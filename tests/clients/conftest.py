"""Fixtures: a machine for a container runtime, the executables on it, and a client beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.machine import Machine
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.conftest import built

__all__ = ["built"]

UPLINK = ("192.0.2.1", "2001:db8::1")
"""The machine's own addresses, where ports are published."""


@pytest.fixture
def outside(host: Host) -> Iterator[Namespace]:
    """Another machine on the network of the host, which routes back only what comes from it."""
    made = host.container("outside")
    host.command("ip", "link", "add", "wan0", "type", "veth", "peer", "eth0", "netns", str(made))
    for ns, dev, last in ((host, "wan0", 1), (made, "eth0", 2)):
        ns.command("ip", "link", "set", dev, "up")
        ns.command("ip", "address", "add", f"192.0.2.{last}/24", "dev", dev)
        ns.command("ip", "address", "add", f"2001:db8::{last}/64", "dev", dev, "nodad")
    yield made
    host.command("ip", "link", "delete", "wan0")


@pytest.fixture
def machine(host: Host, outside: Namespace, tmp_path: Path, built: Path) -> Iterator[Machine]:
    """The machine; at the end nothing of the suite may be left on it but what is shared."""
    host.share_nft("pycni_*")
    made = Machine(host, tmp_path, built)
    try:
        yield made
        left = made.left()
    finally:
        made.close()
    assert not left, "\n".join(["left on the machine:", *left])
