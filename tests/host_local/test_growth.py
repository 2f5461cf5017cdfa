"""ADD and DEL do the same work with 60,000 addresses held as with 10: counted, not timed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.host_local.network import Network, remove_indexes
from tests.kit.calls import PluginError
from tests.kit.namespace import Namespace

MANY = 60_000
WATCHED = (
    "open",
    "read",
    "write",
    "stat",
    "fstat",
    "listdir",
    "scandir",
    "link",
    "unlink",
    "access",
)


def hold(directory: Path, count: int) -> None:
    """Addresses from 10.1.0.2 on, of 16 containers. One file has many names: that is quick."""
    directory.mkdir(parents=True, exist_ok=True)
    originals = [directory.parent / f"content{n}" for n in range(16)]
    for n, path in enumerate(originals):
        if not path.exists():
            path.write_text(f"{n:064x}\r\neth0")
    fd = os.open(directory, os.O_RDONLY)
    try:
        for n in range(2, count + 2):
            os.link(originals[n % 16], f"10.1.{n >> 8}.{n & 255}", dst_dir_fd=fd)
    finally:
        os.close(fd)


def work(run: Callable[[], object]) -> tuple[Counter[str], int]:
    """How often each function of `os` is called, and how many bytes are read and written."""
    calls: Counter[str] = Counter()
    moved = [0]

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            result = real(*args, **kwargs)
            if name == "read":
                moved[0] += len(result)
            elif name == "write":
                moved[0] += result
            return result

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for name in WATCHED:
            patch.setattr(os, name, watched(name))
        run()
    return calls, moved[0]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, netns: Namespace) -> Iterator[Network]:
    """A network with 60,000 addresses held, its index built. Every test leaves it as it was."""
    made = Network(tmp_path_factory.mktemp("large"), netns, "large")
    made.ranges([{"subnet": "10.1.0.0/16", "rangeEnd": "10.1.234.98"}])
    hold(made.directory, MANY)
    made.delete("nobody")
    yield made
    remove_indexes("large")


def test_add_and_delete_are_flat(large: Network, network: Network) -> None:
    network.ipam["ranges"] = large.ipam["ranges"]
    hold(network.directory, 10)
    network.delete("nobody")
    for one in (large, network):  # holders of one checksum's file come and go
        one.add("x")
        one.delete("x")
    for verb in ("add", "delete"):
        many, bytes_many = work(partial(getattr(large, verb), "x"))
        few, bytes_few = work(partial(getattr(network, verb), "x"))
        assert many == few
        assert many["listdir"] == many["scandir"] == 0
        assert sum(many.values()) < 60
        assert bytes_many < bytes_few + 64 * 1024


def test_a_long_run_of_taken_addresses(large: Network) -> None:
    """The round robin stands before 60,000 of them: one look at the index finds the end."""
    large.write("last_reserved_ip.0", "10.1.0.1")
    calls, moved = work(lambda: large.add("x"))
    assert large.last() == "10.1.234.98"
    assert sum(calls.values()) < 60
    assert moved < 64 * 1024
    large.delete("x")


def test_the_last_free_address(large: Network) -> None:
    large.add("y")
    name = "10.1.117.5"
    original = (large.directory / name).rename(large.tmp_path / "kept")
    large.delete("nobody")
    large.write("last_reserved_ip.0", name)
    calls, _ = work(lambda: large.add("x"))
    assert large.last() == name
    assert sum(calls.values()) < 60
    large.delete("x")
    original.rename(large.directory / name)
    large.delete("y")


def test_a_full_range_is_not_read_again_and_again(large: Network) -> None:
    large.add("y")

    def refused() -> None:
        with pytest.raises(PluginError, match="no IP addresses available"):
            large.add("x")

    refused()
    calls, _ = work(refused)
    assert sum(calls.values()) < 60
    large.delete("y")


def test_nothing_to_delete(large: Network) -> None:
    """Runtimes repeat a DEL two or three times."""
    large.delete("x")
    calls, _ = work(lambda: large.delete("x"))
    assert calls["write"] == calls["unlink"] == 0
    assert sum(calls.values()) < 20


def test_gc_reads_all_once(network: Network) -> None:
    hold(network.directory, 200)
    network.add("first")
    calls, _ = work(lambda: network.gc(("first", "eth0")))
    assert calls["open"] < 220
    assert list(network.held.values()) == ["first\r\neth0"]
