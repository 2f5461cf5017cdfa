"""Healing while something else happens: each order of the two that matters, one after the other.

What is to happen in between runs in a process of its own, as it does in the world: when healing is
about to change something, or when it has just done so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from hostnet import condition, iptables, netfilter, nfdraft
from hostnet.condition import OnlyWhile
from hostnet.leaving import host_end
from hostnet.lock import Lock
from hostnet.nfchange import Changes
from tests.heal.conftest import Container, World
from tests.kit.iptables import HostTables
from tests.kit.processes import at_once
from wiring import xtables

PLUGINS = ("bridge", "portmap", "firewall")


@pytest.fixture(params=["nftables", "iptables"])
def backend(
    request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> str:
    if request.param == "iptables":
        if not whole and "after_a_change" not in request.node.name:
            pytest.skip("of iptables a sample")
        tables = HostTables(world.host, world.host.state.parent, "nft")
        tables.install(monkeypatch)
        world.host.share("nft *")
    found: str = request.param
    return found


@pytest.fixture(params=["alone", "with others"])
def others(request: pytest.FixtureRequest, whole: bool, backend: str) -> bool:
    """Whether there are others, and what is lost is given back to them and c1 together."""
    if request.param != "alone" and backend == "iptables" and not whole:
        pytest.skip("of iptables a sample")
    return bool(request.param != "alone")


@pytest.fixture
def one(world: World, backend: str, others: bool) -> Iterator[Container]:
    """The container c1, which the tests are about."""
    made = world.container(world.network(backend=backend))
    more: list[Container] = []
    if others:
        world.count_from(-1)  # the first by name lays down the tables, alone
        more.append(world.container(made.network))
        world.count_from(1)
        more.append(world.container(made.network))
    yield made
    world.heal()
    for other in more:
        other.check()


class Once:
    """Calls it in a process of its own at the first occasion that is about this, or a later one.

    said: None before, then what went wrong, for the test to compare with nothing.
    """

    def __init__(self, act: Callable[[], object], about: str = "", later: int = 0) -> None:
        self._act = act
        self._about = about
        self._later = later
        self.said: str | None = None

    def __call__(self, what: str = "") -> None:
        if self.said is None and self._about in what:
            self._later -= 1
            if self._later >= 0:
                return
            self.said = ""
            (self.said,) = at_once([self._job])

    def _job(self) -> str:
        condition._checks.clear()  # which are the healing process's
        iptables.batches.clear()
        nfdraft.batches.clear()
        netfilter.hold(False)
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 - told to the test
            return repr(error)
        return ""


@pytest.fixture
def afterwards(monkeypatch: pytest.MonkeyPatch, world: World) -> Iterator[Callable[[Once], None]]:
    """Have something happen right after the first commit, to nftables or by iptables-restore, that
    gives something back to c1.
    """
    commit, release = Changes.commit, Lock.release

    def install(once: Once) -> None:
        def committed(self: Changes, *args: object) -> None:
            commit(self, *args)  # type: ignore[arg-type]
            if not is_clean(world):
                once()

        def released(self: Lock) -> None:
            """Of iptables, which is edited under it."""
            release(self)
            if not is_clean(world):
                once()

        monkeypatch.setattr(Changes, "commit", committed)
        monkeypatch.setattr(Lock, "release", released)

    yield install
    monkeypatch.undo()


def is_clean(world: World) -> bool:
    """Whether nothing of c1's is left in the packet filter."""
    text = world.host.command("nft", "list", "ruleset").stdout
    # Counters are labelled with who was counted last.
    text = re.sub(r"\tmap holders {.*?^\t}$", "", text, flags=re.DOTALL | re.MULTILINE)
    chains = [xtables.chain("net", "c1"), xtables.chain("net", "c1", "DN-")]
    words = ["net/c1/", "10.1.0.2 ", "10.1.0.2/", host_end("net/c1/eth0"), *chains]
    return not any(word in f"{text} " for word in words)


def lose(world: World, backend: str) -> None:
    """Lose all rules, of both backends."""
    del backend
    world.flush()


@pytest.mark.parametrize("done", [1, 2])
def test_between_two_plugins_of_a_del(
    world: World, one: Container, backend: str, done: int
) -> None:
    """Runtimes call them one after the other: the container has its link and its cache entry."""
    for plugin in (2, 1)[:done]:
        one.call("DEL", plugin, one.result)
    found = world.heal()
    assert (found.running, found.gone, found.healed) == (len(world.containers) - 1, 1, ())
    lose(world, backend)
    assert "c1" not in [healed.container_id for healed in world.heal().healed]
    one.delete()
    assert is_clean(world)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_del_before_a_change(
    world: World, one: Container, backend: str, others: bool, plugin: str
) -> None:
    """The last look was at a container that ran; whichever plugin is about to restore."""
    lose(world, backend)
    about = {"bridge": "masquerade", "portmap": "portmap", "firewall": "firewall"}[plugin]
    table = f"write to the nftables table inet pycni_{about}"
    # Of c0 there is one occasion for each plugin.
    if backend == "iptables":
        delete = Once(one.delete, later=len(PLUGINS) if others else 0)
    else:
        delete = Once(one.delete, table, later=int(others))
    with OnlyWhile(delete):
        world.heal()
    world.containers.remove(one)
    assert delete.said == ""
    assert is_clean(world)


def test_a_del_after_a_change(
    world: World, one: Container, backend: str, afterwards: Callable[[Once], None]
) -> None:
    lose(world, backend)
    delete = Once(one.delete)
    afterwards(delete)
    world.heal()
    world.containers.remove(one)
    assert delete.said == ""
    assert is_clean(world)


def test_the_first_plugins_del_after_a_change(
    world: World, one: Container, backend: str, afterwards: Callable[[Once], None]
) -> None:
    """And the others' only after healing has ended."""
    lose(world, backend)
    first = Once(lambda: one.call("DEL", 2, one.result))
    afterwards(first)
    world.heal()
    assert first.said == ""
    one.delete()
    assert is_clean(world)


def test_an_add_meanwhile(world: World, one: Container, backend: str) -> None:
    """It lays down the tables and takes the shared elements first."""
    lose(world, backend)
    other = Container(world, 5, one.network)
    # When no lock is held, which an ADD needs too.
    add = Once(other.add, "" if backend == "iptables" else "write to the nftables table")
    with OnlyWhile(add):
        world.heal()
    world.containers.append(other)
    other.result = world.result_of(other)
    world.heal()
    assert not world.heal().healed
    one.check()
    other.check()


def test_another_flush_meanwhile(world: World) -> None:
    one = world.container()
    world.flush()
    flush = Once(world.flush, "write to the nftables table inet pycni_portmap")
    with OnlyWhile(flush):
        world.heal()
    assert flush.said == ""
    world.heal()  # as the daemon does, which is told of the flush
    assert not world.heal().healed
    one.check()


def test_somebody_edits_iptables_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many edits are carried out together, if nobody was faster; else they are decided anew."""
    tables = HostTables(world.host, world.host.state.parent, "nft")
    tables.install(monkeypatch)
    world.host.share("nft *")
    one = world.container(world.network(backend="iptables"))
    world.flush()
    rule = ("-t", "nat", "-A", "POSTROUTING", "-s", "198.51.100.1/32", "-j", "ACCEPT")
    edit = Once(lambda: tables.run(*rule))
    with OnlyWhile(edit):
        assert not world.heal().problems
    assert edit.said == ""
    one.check()
    assert any("198.51.100.1" in line for line in tables.rules())
