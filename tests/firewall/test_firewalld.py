"""The firewalld backend, with a real firewalld on a bus of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.errors import (
    CHECK_FAILED,
    IN_THE_WAY,
    INVALID_CONFIG,
    NOT_AVAILABLE,
)
from hostnet import nft
from tests.firewall.conftest import Guarded, World, answers, elements
from tests.firewall.daemon import Firewalld, SystemBus
from tests.kit.calls import Document, PluginError
from tests.kit.host import Host


class Caller:
    """A container's calls as a runtime makes them that knows this bus."""

    def __init__(self, one: Guarded, bus: SystemBus) -> None:
        self.one = one
        self.how: dict[str, Any] = {"container": one.name, "environ": bus.environ}

    def add(self, policy: str = "", **keys: Any) -> Document:
        config = self.one.config(policy, **keys)
        self.one.runtime.add(config, netns=self.one.ns, **self.how)
        return config

    def check(self, config: Document) -> None:
        self.one.runtime.call("CHECK", config, netns=self.one.ns, **self.how)

    def delete(self, **keys: Any) -> None:
        config = {"cniVersion": "1.1.0", "name": self.one.network, "type": "firewall", **keys}
        self.one.runtime.delete(config, **self.how)

    @property
    def sources(self) -> set[str]:
        return {f"{self.one.ips[0]}/32", f"{self.one.ips[1]}/128"}


@pytest.fixture
def bus(world: World, host: Host, tmp_path: Path) -> Iterator[SystemBus]:
    with SystemBus(host, tmp_path / "dbus") as bus:
        yield bus


@pytest.fixture
def firewalld(host: Host, bus: SystemBus, tmp_path: Path) -> Iterator[Firewalld]:
    host.share_nft("firewalld")
    with Firewalld(host, bus, tmp_path) as firewalld:
        yield firewalld


def test_let_through_by_firewalld(world: World, bus: SystemBus, firewalld: Firewalld) -> None:
    one = world.on("br0")
    caller = Caller(one, bus)
    # It runs, so it goes before all others; and it rejects what it does not know.
    assert not answers(one.ns, world.client, "10.2.0.9")
    config = caller.add()
    assert answers(one.ns, world.client, "10.2.0.9")
    assert answers(one.ns, world.client, "fd00:2::9")
    assert firewalld.sources() == caller.sources
    caller.check(config)
    caller.check({**config, "backend": "firewalld"})
    # The same again is no conflict, and DEL needs no more than the identity.
    caller.add()
    caller.delete()
    assert firewalld.sources() == set()
    assert elements() == ""
    assert not answers(one.ns, world.client, "10.2.0.9")
    caller.delete()


def test_another_zone_and_a_policy(world: World, bus: SystemBus, firewalld: Firewalld) -> None:
    one, other = world.on("br0"), world.on("br1")
    first, second = Caller(one, bus), Caller(other, bus)
    keys = {"backend": "firewalld", "firewalldZone": "internal"}
    config = first.add("same-bridge", **keys)
    second.add("same-bridge")
    assert firewalld.sources("internal") == first.sources
    assert firewalld.sources() == second.sources
    first.check(config)
    assert one.reaches(other) == other.reaches(one) == (False, False)
    # A GC too takes addresses out of their zones.
    document = {**config, "cni.dev/valid-attachments": []}
    environ = {"CNI_CONTAINERID": "", "CNI_IFNAME": "", **bus.environ}
    world.runtime.call("GC", document, environ=environ)
    assert firewalld.sources("internal") == set()
    assert firewalld.sources() == second.sources
    second.delete()
    assert elements() == ""


def test_an_address_that_others_have_too(
    world: World, bus: SystemBus, firewalld: Firewalld
) -> None:
    one, two = world.on("br0"), world.on("br0")
    first, second = Caller(one, bus), Caller(two, bus)
    first.add()
    second.add(prevResult=one.result())
    first.delete()
    assert firewalld.sources() == first.sources
    second.delete()
    assert firewalld.sources() == set()


def test_what_firewalld_refuses(world: World, bus: SystemBus, firewalld: Firewalld) -> None:
    one = world.on("br0")
    caller = Caller(one, bus)
    with pytest.raises(PluginError, match='"firewalldZone": found "nowhere", which') as error:
        caller.add(firewalldZone="nowhere")
    assert error.value.code == INVALID_CONFIG
    assert elements() == ""
    firewalld.command("--zone", "dmz", "--add-source", "fd00:1::2/128")
    with pytest.raises(PluginError, match='has fd00:1::2/128 in its zone "dmz" already') as error:
        caller.add()
    assert error.value.code == IN_THE_WAY
    # What it had done before that is undone, and what is somebody else's stays.
    assert elements() == ""
    assert firewalld.sources() == set()
    firewalld.command("--zone", "dmz", "--remove-source", "fd00:1::2/128")


def test_check_after_a_reload(world: World, bus: SystemBus, firewalld: Firewalld) -> None:
    one = world.on("br0")
    caller = Caller(one, bus)
    config = caller.add()
    firewalld.command("--reload")
    for document in (config, {**config, "backend": "firewalld"}):
        with pytest.raises(PluginError) as error:
            caller.check(document)
        assert error.value.code == CHECK_FAILED
        assert '10.1.0.2/32 is not in the zone "trusted" of firewalld' in error.value.msg
        assert "fd00:1::2/128 is not" in error.value.msg
    caller.add()
    caller.check(config)
    firewalld.command("--reload")
    caller.delete()
    assert elements() == ""


def test_firewalld_that_is_not_there(
    world: World, host: Host, bus: SystemBus, tmp_path: Path
) -> None:
    host.share_nft("firewalld")
    one = world.on("br0")
    caller = Caller(one, bus)
    keys = {"backend": "firewalld"}
    nobus = Caller(one, bus)
    nobus.how = {**caller.how, "environ": {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/no"}}
    for each in (caller, nobus):
        with pytest.raises(PluginError, match="which is not on the system bus: start it") as error:
            each.add(**keys)
        assert error.value.code == NOT_AVAILABLE
        with pytest.raises(
            PluginError, match=r"an ADD would fail: .*not on the system bus"
        ) as error:
            world.runtime.call("STATUS", {**one.config(), **keys}, environ=each.how["environ"])
        assert error.value.code == NOT_AVAILABLE
        # Where the config does not insist, it is not missed.
        config = each.add()
        each.check(config)
        each.delete()
    with Firewalld(host, bus, tmp_path):
        config = caller.add(**keys)
    # It is gone, and with it all that its zones held.
    with pytest.raises(PluginError, match="firewalld is not on the system bus") as error:
        caller.check(config)
    assert error.value.code == CHECK_FAILED
    caller.delete()
    assert elements() == ""


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("tcp:host=localhost,port=1", "it names no Unix socket"),
        ("unix:path={file}", "Connection refused|not on the system bus"),
    ],
)
def test_an_address_of_no_bus(address: str, problem: str, world: World, tmp_path: Path) -> None:
    one = world.on("br0")
    (tmp_path / "file").touch()
    environ = {"DBUS_SYSTEM_BUS_ADDRESS": address.format(file=tmp_path / "file")}
    config = one.config(backend="firewalld")
    with pytest.raises(PluginError, match=problem):
        world.runtime.add(config, container=one.name, netns=one.ns, environ=environ)
    assert "pycni_firewall" not in nft.run("list tables")
