"""Fixtures: machines for container runtimes, the executables on them, and a client beyond."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.machine import Machine
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.conftest import built

__all__ = ["built"]

UPLINK = ("192.0.2.1", "2001:db8::1")
"""The machine's own addresses, where ports are published."""
BEYOND = ("192.0.2.2", "2001:db8::2")
"""Those of the machine beyond."""


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


@pytest.fixture(params=["cold", "warm"])
def warm(request: pytest.FixtureRequest) -> bool:
    """Whether a cnid serves the machine's plugins."""
    return bool(request.param == "warm")


@pytest.fixture
def machines(
    host: Host, tmp_path: Path, built: Path, warm: bool
) -> Iterator[Callable[[Namespace], Machine]]:
    """Makes machines, each of a network namespace; at the end nothing of the suite may be left on
    them but what is shared.
    """
    host.share_nft("pycni_*")
    made: list[Machine] = []

    def make(network: Namespace) -> Machine:
        directory = tmp_path / f"machine{len(made)}"
        directory.mkdir()
        made.append(Machine(host, directory, built, network=network, warm=warm))
        return made[-1]

    left: list[str] = []
    try:
        yield make
        for one in made:
            left += one.left()
    finally:
        for one in made:
            one.close()
    assert not left, "\n".join(["left on the machine:", *left])


@pytest.fixture
def machine(host: Host, outside: Namespace, machines: Callable[[Namespace], Machine]) -> Machine:
    """A machine on the host's network, with another beyond."""
    return machines(host)
