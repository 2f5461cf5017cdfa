"""A runtime, an IPAM plugin that says what the test wants, and the device `dev0` with its peer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.macvlan.conftest import fake, runtime

__all__ = ["MAC", "assert_as_it_was", "fake", "network", "peer", "runtime"]

MAC = "02:00:5e:10:00:07"


@pytest.fixture
def peer(host: Host) -> Iterator[Namespace]:
    """A machine at the other end of the host's `dev0`, 10.1.0.9 and 2001:db8::9."""
    made = host.container("peer")
    host.command(
        *("ip", "link", "add", "dev0", "address", MAC, "type", "veth"),
        *("peer", "name", "e", "netns", str(made)),
    )
    for address in ("10.1.0.9/16", "2001:db8::9/64"):
        made.command("ip", "address", "add", address, "dev", "e", "nodad")
    for ns, dev in ((host, "dev0"), (made, "e")):
        ns.command("ip", "link", "set", dev, "up")
    yield made
    made.command("ip", "link", "delete", "e", check=False)  # a virtual one dies with its namespace


def network(ipam: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A network whose device is `dev0`, unless the keys say which."""
    document = {"cniVersion": "1.1.0", "name": "net", "type": "host-device", **keys}
    if not {"device", "hwaddr", "kernelpath", "pciBusID", "runtimeConfig"} & set(keys):
        document["device"] = "dev0"
    return document if ipam is None else {**document, "ipam": ipam}


def assert_as_it_was(host: Host, up: bool = True, altnames: tuple[str, ...] = ()) -> None:
    """The host has `dev0` again, and nothing on it tells that it was away."""
    found = host.links()["dev0"]
    assert ("UP" in found["flags"]) == up
    assert "ifalias" not in found
    assert tuple(found.get("altnames", ())) == altnames
    assert found["address"] == MAC
