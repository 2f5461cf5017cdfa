"""`dummy`, on a kernel that has it."""

from __future__ import annotations

from tests.kit.calls import Runtime
from tests.kit.contract import Contract, keep_all
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping


class Dummy(Contract):
    plugin = "dummy"


def test_the_promises(runtime: Runtime, host: Host) -> None:
    keep_all(Dummy(), runtime, host)


def test_the_addresses_are_the_containers_own(
    runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    config = Dummy().network(fake.section("10.1.0.2/32", "2001:db8::2/128"))
    runtime.add(config, netns=container)
    inner = container.links()["eth0"]
    assert inner["linkinfo"]["info_kind"] == "dummy"
    assert inner["ifalias"] == "net/c1/eth0"
    for address in ("10.1.0.2", "2001:db8::2"):
        assert ping(container, address) is not None
    runtime.delete(config, netns=container)
