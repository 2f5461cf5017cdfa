"""Healing on hosts that live by iptables, of both kinds, and by firewalld."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firewall.daemon import Firewalld, SystemBus
from tests.heal.conftest import Container, World
from tests.heal.daemon import Healing
from tests.kit.host import Host
from tests.kit.iptables import VARIANTS, HostTables
from wiring import backend

pytestmark = pytest.mark.timeout(600)  # for all of it
DAMAGE = (
    ("-t", "nat", "-F"),
    ("-t", "nat", "-F", "POSTROUTING"),
    ("-t", "nat", "-F", "CNI-HOSTPORT-DNAT"),
    ("-t", "filter", "-F"),
    ("-t", "filter", "-F", "CNI-FORWARD"),
    ("-t", "filter", "-F", "CNI-ISOLATION-STAGE-2"),
    ("-t", "raw", "-F"),
)
"""What somebody may do with iptables."""


ONE_VARIANT = pytest.mark.parametrize("tables", ["nft"], indirect=True)


@pytest.fixture(params=VARIANTS)
def tables(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> HostTables:
    host.share("nft *", "iptables *")
    return HostTables(host, tmp_path, request.param)


@pytest.fixture
def one(world: World, tables: HostTables, monkeypatch: pytest.MonkeyPatch) -> Container:
    tables.install(monkeypatch)
    return world.container(world.network(backend="iptables"))


def rules(tables: HostTables) -> list[str]:
    """In any order: chains are laid down anew in another one."""
    return sorted(tables.of_cni())


def test_whatever_is_lost_comes_back(
    world: World, tables: HostTables, one: Container, whole: bool
) -> None:
    other = world.container(one.network)
    before, links = rules(tables), (one.links(), other.links())
    assert before
    assert not world.heal().healed
    for command in DAMAGE if whole else DAMAGE[::3]:
        tables.run(*command)
        assert rules(tables) != before, command
        found = world.heal()
        assert not found.problems, command
        assert found.healed, command
        assert rules(tables) == before, command
        again = world.heal()
        assert not again.healed, (command, again)
        one.check()
        other.check()
    assert (one.links(), other.links()) == links


@ONE_VARIANT
def test_the_service_is_back(world: World, tables: HostTables, one: Container) -> None:
    assert (one.is_masqueraded(), one.is_published()) == (True, True)
    for table in ("nat", "filter", "raw"):
        tables.run("-t", table, "-F")
    assert (one.is_masqueraded(), one.is_published()) == (False, False)
    assert world.heal().healed
    assert (one.is_masqueraded(), one.is_published()) == (True, True)


@ONE_VARIANT
@pytest.mark.parametrize("switched", [("iptables", "nftables"), ("nftables", "iptables")])
def test_what_the_other_backend_has_is_whole(
    world: World, tables: HostTables, switched: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host was switched over with containers on it: theirs stays where it is."""
    tables.install(monkeypatch)
    chosen = world.host.path.with_name("pycni.json")
    monkeypatch.setattr(backend, "FILE", str(chosen))
    chosen.write_text(f'{{"backend": "{switched[0]}"}}')
    one = world.container()
    before = world.ruleset()
    chosen.write_text(f'{{"backend": "{switched[1]}"}}')
    found = world.heal()
    assert (found.healed, found.problems) == ((), ())
    assert world.ruleset() == before
    assert one.is_published()


@ONE_VARIANT
def test_a_policy_that_drops_is_opened_again(
    world: World, tables: HostTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker sets it when it starts, whoever was there before."""
    tables.install(monkeypatch)
    one = world.container()
    assert one.is_published()
    tables.run("-P", "FORWARD", "DROP")
    assert not one.is_published()
    assert world.heal().healed
    assert one.is_published()
    tables.run("-F")
    assert not one.is_published()
    assert world.heal().healed
    assert one.is_published()
    assert not world.heal().healed
    tables.run("-P", "FORWARD", "ACCEPT")


# ---- firewalld ----------------------------------------------------------------------------------


@pytest.fixture
def bus(world: World, host: Host, tmp_path: Path) -> Iterator[SystemBus]:
    with SystemBus(host, tmp_path / "dbus") as made:
        world.environ |= made.environ
        yield made


@pytest.fixture
def firewalld(host: Host, bus: SystemBus, tmp_path: Path) -> Iterator[Firewalld]:
    host.share_nft("firewalld")
    with Firewalld(host, bus, tmp_path) as made:
        yield made


def test_firewalld_is_loaded_anew(
    world: World, bus: SystemBus, firewalld: Firewalld, tmp_path: Path
) -> None:
    one = world.container()
    assert one.is_published()
    (tmp_path / "daemon").mkdir()
    with Healing(world, tmp_path / "daemon", **bus.environ) as daemon:
        firewalld.command("--reload")
        daemon.healed()
        assert firewalld.sources() == {f"{one.address}/32"}
        assert one.is_published()
        one.check()
    firewalld.command("--reload")
    assert firewalld.sources() == set()
    (healed,) = world.heal().healed
    assert healed.plugins == ("firewall",)
    assert one.is_published()
    one.delete()
