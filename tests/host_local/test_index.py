"""The index against plain sets, and how it notices that the directory has changed."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cni_host_local import index, shards
from cni_host_local.index import new_index, open_index
from cni_host_local.shards import BrokenIndexError
from tests.host_local.network import V4, V6, Network, remove_indexes

CLOCK_REALTIME_COARSE = 5  # linux/time.h

V4_BASE = 0xFFFF << 32 | 10 << 24
V6_BASE = 0x20010DB8 << 96

# Round the ends of bitmaps, where an arithmetic mistake would hide; and far apart.
addresses = st.one_of(
    st.integers(0, 40).map(lambda n: V4_BASE + n),
    st.integers(65530, 65545).map(lambda n: V4_BASE + n),
    st.integers(0, 2**64 - 1).map(lambda n: V6_BASE + n),
    st.integers(2**128 - 5, 2**128 - 1),
    st.integers(0, 3),
)
ids = st.sampled_from([b"a", b"b", b"plumless", b"buckeroo"])


def test_two_of_the_ids_share_a_checksum() -> None:
    assert zlib.crc32(b"plumless") == zlib.crc32(b"buckeroo")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """An address directory of a network called `net`, open."""
    (tmp_path / "net").mkdir()
    fd = os.open(tmp_path / "net", os.O_RDONLY)
    yield fd
    os.close(fd)
    remove_indexes("net")


class Model(RuleBasedStateMachine):
    """Every step goes through the files, as every call does."""

    directory: int

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, bytes] = {}
        self.index = new_index("/net", self.directory)
        self.index.remove()

    def turn(self) -> None:
        """Save it, and open it as the next call would."""
        self.index.save(self.directory)
        opened = open_index("/net", self.directory)
        assert (opened is not None) == bool(self.held)
        self.index = opened or new_index("/net", self.directory)

    @rule(address=addresses, container=ids)
    def add(self, address: int, container: bytes) -> None:
        if address not in self.held:
            self.index.add(address, container)
            self.held[address] = container
            self.turn()

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        if self.held:
            address = data.draw(st.sampled_from(sorted(self.held)))
            self.index.discard(address, self.held.pop(address))
            self.turn()

    @rule(pairs=st.dictionaries(addresses, ids, max_size=5))
    def fill(self, pairs: dict[int, bytes]) -> None:
        self.held = dict(pairs)
        self.index = new_index("/net", self.directory)
        self.index.fill(iter(pairs.items()))
        self.turn()

    @rule(low=addresses, count=st.integers(0, 70000))
    def next_free(self, low: int, count: int) -> None:
        high = min(low + count, 2**128 - 1)  # no range goes beyond the last address
        expected = next((n for n in range(low, high + 1) if n not in self.held), None)
        assert self.index.next_free(low, high) == expected

    @invariant()
    def holders(self) -> None:
        assert self.index.held == len(self.held)
        for container in (b"a", b"b"):
            mine = sorted(n for n, who in self.held.items() if who == container)
            assert sorted(self.index.candidates(container)) == mine
        for container in (b"plumless", b"buckeroo"):
            both = sorted(n for n, who in self.held.items() if len(who) > 1)
            assert sorted(self.index.candidates(container)) == both


def test_against_a_model(directory: int) -> None:
    class Here(Model):
        pass

    Here.directory = directory
    Here.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
    Here.TestCase("runTest").debug()


def test_a_full_run_over_several_bitmaps(directory: int) -> None:
    full = new_index("/net", directory)
    full.fill((V4_BASE + n, b"a") for n in range(3, 200_000))
    full.add(V4_BASE + 200_001, b"b")
    full.save(directory)
    opened = open_index("/net", directory)
    assert opened is not None
    assert opened.next_free(V4_BASE + 3, V4_BASE + 2**24) == V4_BASE + 200_000
    assert opened.next_free(V4_BASE + 3, V4_BASE + 199_999) is None
    assert opened.next_free(V4_BASE, V4_BASE + 2**24) == V4_BASE
    assert opened.held == 199_998


def test_unknown_holders_are_taken(directory: int) -> None:
    one = new_index("/net", directory)
    one.fill([(V4_BASE, None), (V4_BASE + 1, b"a")])
    assert one.next_free(V4_BASE, V4_BASE + 9) == V4_BASE + 2
    assert one.candidates(b"a") == [V4_BASE + 1]


# ---- is it of today? -----------------------------------------------------------------------------


def is_current(network: Network) -> bool:
    fd = os.open(network.directory, os.O_RDONLY)
    try:
        return open_index(str(network.directory), fd) is not None
    finally:
        os.close(fd)


def test_it_is_current_after_each_verb(network: Network) -> None:
    network.ranges([V4], [V6])
    for n in range(3):
        network.add(f"c{n}")
        assert is_current(network)
    network.delete("c1")
    assert is_current(network)
    network.delete("c1")
    assert is_current(network)
    network.gc(("c0", "eth0"))
    assert is_current(network)
    network.check_index(must_be_current=True)


def recreate(directory: Path) -> None:
    shutil.copytree(directory, directory.with_name("copy"))
    shutil.rmtree(directory)
    directory.with_name("copy").rename(directory)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file made": lambda d: (d / "10.1.2.77").write_text("x\r\neth0"),
    "a file removed": lambda d: (d / "10.1.2.2").unlink(),
    "a file renamed": lambda d: (d / "10.1.2.2").rename(d / "10.1.2.78"),
    "a file moved in": lambda d: (d.parent / "x").rename(d / "10.1.2.79"),
    "a link made": lambda d: (d / "10.1.2.80").hardlink_to(d / "10.1.2.2"),
    "any other file": lambda d: (d / "note").write_text(""),
    "a directory": lambda d: (d / "10.1.2.81").mkdir(),
    "the directory replaced": recreate,
    "its times set back": lambda d: os.utime(d, (1, 1)),
}


@pytest.mark.parametrize("how", CHANGES)
def test_every_change_by_others_is_noticed_at_once(network: Network, how: str) -> None:
    """Also within the same tick of the kernel's clock as the index' own writing: ten times."""
    (network.tmp_path / "data").mkdir()
    for n in range(10):
        network.ranges([{"subnet": f"10.1.{n}.0/24"}])
        (network.tmp_path / "data" / "x").write_text("moved\r\neth0")
        network.directory.mkdir(exist_ok=True)
        (network.directory / "10.1.2.2").unlink(missing_ok=True)
        network.write("10.1.2.2", "mine\r\neth0")
        network.add("c1")
        assert is_current(network)
        CHANGES[how](network.directory)
        assert not is_current(network)
        network.gc()
        network.check_index()
        shutil.rmtree(network.directory)


def test_the_same_times_set_again_are_noticed(network: Network) -> None:
    """As `rsync -t` and `touch -r` do: the change time cannot be set."""
    network.add()
    before = network.directory.stat()
    tick = time.clock_gettime(CLOCK_REALTIME_COARSE)
    while time.clock_gettime(CLOCK_REALTIME_COARSE) == tick:
        pass  # a kernel before 6.13 stamps by the tick; nobody copies a directory within one
    (network.directory / "10.1.2.77").write_text("x\r\neth0")
    os.utime(network.directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert network.directory.stat().st_mtime_ns == before.st_mtime_ns
    assert not is_current(network)


def test_another_boot(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    network.add()
    monkeypatch.setattr(shards, "boot_id", lambda: "another boot")
    assert not is_current(network)


def test_two_paths_to_one_directory_share_it(network: Network, tmp_path: Path) -> None:
    network.add("c1")
    (tmp_path / "link").symlink_to("data")
    network.ipam["dataDir"] = str(tmp_path / "link")
    network.add("c2")
    assert len(list(Path(index.ROOT).iterdir())) == 1
    assert is_current(network)


# ---- somebody meddles with it --------------------------------------------------------------------


def files_of(kind: str) -> list[Path]:
    return sorted(Path(index.ROOT).glob(f"*/{kind}"))


@pytest.mark.parametrize("kind", ["stamp", "holders.*", "used.*", "*"])
@pytest.mark.parametrize(
    "damage", ["removed", "emptied", "cut", "changed", "garbled", "unreadable"]
)
def test_a_damaged_index_is_built_anew(network: Network, kind: str, damage: str) -> None:
    network.ranges([V4], [V6])
    network.add("c1")
    network.add("c2")
    for path in files_of(kind):
        content = path.read_bytes()
        path.unlink()
        if damage == "unreadable":
            path.mkdir()
        elif damage != "removed":
            path.write_bytes(
                {
                    "emptied": b"",
                    "cut": content[:-1],
                    "changed": content[:-1] + bytes([content[-1] ^ 1]),
                    "garbled": b"\xff" * len(content),
                }[damage]
            )
    network.delete("c1")
    assert set(network.held.values()) == {"c2\r\neth0"}
    assert network.add("c3").split() == ["10.1.2.4", "2001:db8:1::4"]
    assert "duplicate" in network.fails("add", "c2").msg
    network.delete("c2")
    network.delete("c3")
    assert network.held == {}


def test_no_room_for_an_index(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, everything works from the files."""

    def full(path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(shards, "write_checked", full)
    network.add("c1")
    network.add("c2")
    assert not network.has_index()
    network.delete("c1")
    assert network.add("c3") == "10.1.2.4"
    assert "duplicate" in network.fails("add", "c2").msg
    network.gc()
    assert network.held == {}


def test_a_file_system_without_nanoseconds(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two states could look alike there: no index is trusted."""
    utime = os.utime

    def coarse(fd: int, *, ns: tuple[int, int]) -> None:
        utime(fd, ns=(ns[0] // 10**9 * 10**9, ns[1] // 10**9 * 10**9))

    monkeypatch.setattr(os, "utime", coarse)
    network.add("c1")
    assert not network.has_index()
    assert network.add("c2") == "10.1.2.3"
    network.delete("c1")
    assert network.held == {"10.1.2.3": "c2\r\neth0"}


def test_read_checked_refuses_what_was_not_written_by_it(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    shards.write_checked(path, b"a long content")
    shards.write_checked(path, b"short")
    assert shards.read_checked(path) == b"short"
    with pytest.raises(BrokenIndexError):
        shards.read_checked(str(tmp_path / "missing"))
