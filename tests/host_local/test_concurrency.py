"""Many at once, with the reference in between: no address twice, none lost, no endless wait."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import Any

import pytest

from cni.errors import TRY_AGAIN_LATER
from hostnet.lock import Lock
from tests.host_local import faults
from tests.host_local.network import REFERENCE, V6, Network, reference
from tests.kit.calls import PluginError
from tests.kit.processes import at_once


def test_twenty_processes(network: Network) -> None:
    network.ranges([{"subnet": "10.1.2.0/24"}], [V6])
    got = at_once([partial(network.add, f"c{n}") for n in range(20)])
    got = [one.split() for one in got]
    assert sorted(int(one[0].rpartition(".")[2]) for one in got) == list(range(2, 22))
    assert len({one[1] for one in got}) == 20
    network.check_index(must_be_current=True)
    at_once([partial(network.delete, f"c{n}") for n in range(20)])
    assert network.held == {}


def test_the_last_addresses(network: Network) -> None:
    """More containers than addresses: each address goes once, the rest are told so."""

    def one(number: int) -> str:
        try:
            return network.add(f"c{number}")
        except PluginError as error:
            return error.msg

    network.ranges([{"subnet": "10.1.2.0/29"}])
    got = at_once([partial(one, n) for n in range(20)])
    assert sorted(text for text in got if text.startswith("10.")) == [
        f"10.1.2.{n}" for n in range(2, 7)
    ]
    assert sum("no IP addresses available in range set" in text for text in got) == 15


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference suite is missing")
def test_with_the_reference_in_between(network: Network) -> None:
    def by_reference(number: int) -> str:
        address: str = reference("ADD", network, f"c{number}")["ips"][0]["address"]
        return address.partition("/")[0]

    adds = [partial(network.add, f"c{n}") for n in range(10)]
    got = at_once([*adds, *(partial(by_reference, n) for n in range(10, 20))])
    assert len(set(got)) == 20
    assert network.held == {address: f"c{n}\r\neth0" for n, address in enumerate(got)}
    network.check_index()
    dels = [partial(reference, "DEL", network, f"c{n}") for n in range(10)]
    at_once([*dels, *(partial(network.delete, f"c{n}") for n in range(10, 20))])
    assert network.held == {}


def test_add_and_delete_of_the_same_attachment(network: Network) -> None:
    """Whatever the order: at most one address, and a last DEL leaves none."""

    def add() -> str:
        try:
            return network.add()
        except PluginError as error:
            return error.msg

    at_once([add, network.delete] * 6)
    assert len(network.held) <= 1
    network.check_index()
    network.delete()
    assert network.held == {}


# ---- the lock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["add", "delete", "gc", "check"])
def test_a_lock_that_is_never_given_back(
    network: Network, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.add("c2")
    before = network.held
    monkeypatch.setattr(Lock.__init__, "__defaults__", (0.05, 0.05))
    with Lock(str(network.directory / "lock")):
        error = network.fails(verb)
    assert error.code == TRY_AGAIN_LATER
    assert f"{network.directory}/lock" in error.msg
    assert str(os.getpid()) in error.msg
    assert network.held == before


def test_the_wait_is_bounded_by_ten_seconds_for_a_holder_and_a_minute_for_all() -> None:
    assert Lock.__init__.__defaults__ == (10.0, 60.0)


def test_it_waits_for_the_lock(network: Network) -> None:
    network.add("c1")
    lock = Lock(str(network.directory / "lock"))
    lock.acquire()
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.append(network.add("c2")))
    waiting.start()
    assert got == []
    lock.release()
    waiting.join()
    assert got == ["10.1.2.3"]


def test_nobody_waits_for_anothers_disk(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an ADD or a DEL waits for the disk, another call has its turn."""
    network.add("c1")
    fsync = os.fsync
    done: list[str] = []

    def slow(fd: int) -> None:
        if not done:
            done.append("")
            done[0] = network.add("in-between")
        fsync(fd)

    for run in (lambda: network.add("c2"), lambda: network.delete("c1")):
        done.clear()
        monkeypatch.setattr(Lock.__init__, "__defaults__", (0.05, 0.05))
        monkeypatch.setattr(os, "fsync", slow)
        run()
        monkeypatch.undo()
        assert done[0].startswith("10.1.2.")
        network.delete("in-between")


# ---- those who do not take the lock --------------------------------------------------------------


def test_somebody_takes_the_chosen_address(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.add("c0")
    link = os.link
    taken: list[str] = []

    def raced(source: str, name: str, **kwargs: Any) -> None:
        if len(taken) < 2:
            taken.append(name)
            network.write(name, "script\r\neth0")
        link(source, name, **kwargs)

    monkeypatch.setattr(os, "link", raced)
    assert network.add("c1") == "10.1.2.5"
    assert taken == ["10.1.2.3", "10.1.2.4"]
    network.check_index(must_be_current=True)
    network.delete("script")
    assert set(network.held.values()) == {"c0\r\neth0", "c1\r\neth0"}


@pytest.mark.parametrize("again", [1, 99])
def test_somebody_removes_the_directory(
    network: Network, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening it and having its lock."""
    acquire = Lock.acquire
    times: list[int] = []

    def raced(lock: Lock) -> None:
        if len(times) < again:
            times.append(1)
            network.directory.rename(network.tmp_path / f"gone{len(times)}")
        acquire(lock)

    monkeypatch.setattr(Lock, "acquire", raced)
    if again == 1:
        assert network.add() == "10.1.2.2"
        assert network.held == {"10.1.2.2": "c1\r\neth0"}
    else:
        error = network.fails("add")
        assert error.code == TRY_AGAIN_LATER
        assert network.held == {}
    times.clear()
    network.directory.mkdir(exist_ok=True)
    network.delete()


@pytest.mark.parametrize("kind", ["O_TMPFILE", "without O_TMPFILE"])
def test_second_name_taken_gives_the_first_back(
    network: Network, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "O_TMPFILE":
        faults.no_tmpfile(monkeypatch)
    network.ranges([{"subnet": "10.1.2.0/24"}], [V6])
    network.add("c0")
    # A file that the index cannot know: made after it was last proved current.
    raced = (network.directory / "2001:db8:1::3").write_text
    published: list[str] = []
    function = "link" if kind == "O_TMPFILE" else "open"
    real = getattr(os, function)

    def watched(first: Any, *args: Any, **kwargs: Any) -> Any:
        name = args[0] if kind == "O_TMPFILE" else first
        if name == "10.1.2.3" and not published:
            published.append(name)
            raced("script\r\neth0")
        return real(first, *args, **kwargs)

    monkeypatch.setattr(os, function, watched)
    assert network.add("c1") == "10.1.2.3 2001:db8:1::4"
    assert published == ["10.1.2.3"]
    assert sorted(network.held) == [
        "10.1.2.2",
        "10.1.2.3",
        "2001:db8:1::2",
        "2001:db8:1::3",
        "2001:db8:1::4",
    ]
    network.check_index(must_be_current=True)
