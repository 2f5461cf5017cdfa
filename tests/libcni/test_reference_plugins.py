"""The Go-written reference plugins (Debian's, in /usr/lib/cni) driven on a real kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CniError
from hostnet.monitor import RTNLGRP_LINK, Monitor
from libcni import Attachment, NetworkConfigList, Runtime, network_from_bytes
from tests.kit.host import Host
from tests.kit.namespace import Namespace

REFERENCE = "/usr/lib/cni"
VERSIONS = ("0.3.1", "0.4.0", "1.0.0")  # those of 1.1.1, Debian's, that have lists

pytestmark = pytest.mark.skipif(
    not Path(REFERENCE, "bridge").exists(), reason="Debian's containernetworking-plugins is missing"
)

Network = Callable[..., NetworkConfigList]


@pytest.fixture
def network(host: Host) -> Network:
    """Makes bridge, then tuning, over this test's own address directory."""
    host.share_bridge("br-ref")
    host.share_locks()
    host.share("file */tuning/")

    def make(version: str, **tuning: Any) -> NetworkConfigList:
        ipam = {
            "type": "host-local",
            "subnet": "10.77.0.0/24",
            "dataDir": str(host.state / "addresses"),
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "br-ref", "isGateway": True, "ipam": ipam}
        tuning |= {"capabilities": {"mac": True}, "dataDir": str(host.state / "tuning")}
        plugins = [bridge, {"type": "tuning"} | tuning]
        document = {"name": "ref", "cniVersion": version, "plugins": plugins}
        return network_from_bytes(json.dumps(document).encode())

    return make


@pytest.fixture
def runtime(host: Host) -> Runtime:
    host.share("file */cache/results/")  # the directory, empty, as the reference leaves it
    return Runtime([REFERENCE], str(host.state / "cache"))


def reservations(host: Host) -> list[str]:
    folder = host.state / "addresses" / "ref"
    return sorted(path.name for path in folder.glob("10.*"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_life(
    host: Host, container: Namespace, runtime: Runtime, network: Network, version: str
) -> None:
    net = network(version)
    mac = "02:00:00:00:07:07"
    attachment = Attachment("c1", str(container), capability_args={"mac": mac})
    assert runtime.validate(net) == {"mac"}
    added = runtime.add(net, attachment)
    assert str(added.ips[0].address) == "10.77.0.2/24"
    assert added.interfaces[0].name == "br-ref"
    assert added.interfaces[-1].sandbox == str(container)
    assert container.addresses("eth0")[0] == "10.77.0.2/24"
    assert container.links()["eth0"]["address"] == mac
    assert reservations(host) == ["10.77.0.2"]
    (entry,) = runtime.attachments("c1")
    assert entry.result == added
    assert entry.attachment == Attachment("c1", str(container), "eth0", (), {"mac": mac})
    if version != "0.3.1":
        runtime.check(net, attachment)
        container.ip("address", "flush", "dev", "eth0")
        with pytest.raises(CniError, match=r'type="bridge" name="ref" failed \(check\)'):
            runtime.check(net, attachment)
    runtime.delete(net, attachment)
    runtime.delete(net, Attachment("c1"))
    assert "eth0" not in container.links()
    assert reservations(host) == []
    assert runtime.attachments() == []


def test_a_failed_add_leaves_nothing(
    host: Host, container: Namespace, runtime: Runtime, network: Network
) -> None:
    net = network("1.0.0", sysctl={"net.core.nothing": "1"})
    with pytest.raises(CniError, match=r'plugin type="tuning" name="ref" failed \(add\)'):
        runtime.add(net, Attachment("c1", str(container)))
    assert "eth0" not in container.links()
    assert reservations(host) == []
    assert runtime.attachments() == []


def _veths(host: Host) -> list[str]:
    return [name for name in host.links() if name.startswith("veth")]


def test_gc_finds_the_container_that_is_gone(
    host: Host, runtime: Runtime, network: Network
) -> None:
    net = network("1.0.0")
    first, second = host.container(), host.container()
    runtime.add(net, Attachment("c1", str(first)))
    runtime.add(net, Attachment("c2", str(second)))
    with Monitor(RTNLGRP_LINK) as announced:
        first.close()
        # The kernel takes a namespace apart in a work queue, and its links with it.
        announced.until(
            lambda: len(_veths(host)) == 1 or None, 5, "the end of the veth of what is gone"
        )
    runtime.gc(net, [Attachment("c2").key])
    assert reservations(host) == ["10.77.0.3"]
    assert [entry.container_id for entry in runtime.attachments()] == ["c2"]
    runtime.delete(net, Attachment("c2", str(second)))


@pytest.mark.parametrize("version", ["0.3.1", "1.0.0"])
def test_loopback(container: Namespace, runtime: Runtime, version: str) -> None:
    document = {"name": "lo", "cniVersion": version, "plugins": [{"type": "loopback"}]}
    net = network_from_bytes(json.dumps(document).encode())
    attachment = Attachment("c1", str(container), "lo")
    runtime.add(net, attachment)
    runtime.delete(net, attachment)
    assert container.links()["lo"]["operstate"] == "DOWN"
    container.command("ip", "link", "set", "lo", "up")


def test_the_references_words(container: Namespace, runtime: Runtime) -> None:
    """An error of a Go plugin comes through with its code, its message and its details."""
    document = {"name": "ref", "cniVersion": "1.0.0", "plugins": [{"type": "host-local"}]}
    net = network_from_bytes(json.dumps(document).encode())
    with pytest.raises(CniError) as raised:
        runtime.add(net, Attachment("c1", str(container)))
    assert raised.value.msg == (
        'plugin type="host-local" name="ref" failed (add): IPAM config missing \'ipam\' key'
    )
    assert raised.value.code == 999
