"""A runtime, and an IPAM plugin that says what the test wants; of ours, so that it is called."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.ipam import BundledIpam
from tests.kit.namespace import Namespace


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_nft()
    return Runtime(tmp_path)


@pytest.fixture
def fake(runtime: Runtime, tmp_path: Path) -> BundledIpam:
    return BundledIpam(runtime, tmp_path)


@pytest.fixture
def segment(host: Host) -> Iterator[Namespace]:
    """A machine at the other end of the host's `up0`, 10.1.0.9 and 2001:db8::9."""
    made = host.container("segment")
    host.command(
        "ip", "link", "add", "up0", "type", "veth", "peer", "name", "e", "netns", str(made)
    )
    for address in ("10.1.0.9/16", "2001:db8::9/64"):
        made.command("ip", "address", "add", address, "dev", "e", "nodad")
    for ns, dev in ((host, "up0"), (made, "e")):
        ns.command("ip", "link", "set", dev, "up")
    for ns, dev in ((host, "up0"), (made, "e")):
        ns.wait_ready(dev)
    yield made
    host.command("ip", "link", "delete", "up0")
