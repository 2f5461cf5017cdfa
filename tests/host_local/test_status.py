"""STATUS: 50 where an ADD could not succeed, and nothing created or waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.errors import NOT_AVAILABLE
from hostnet.lock import Lock
from tests.host_local.network import V4, V6, Network
from tests.kit.namespace import MNT_DETACH, libc, mount

MS_RDONLY = 1
MS_REMOUNT = 32


def test_before_and_after_add(network: Network, tmp_path: Path) -> None:
    network.status()
    assert not (tmp_path / "data").exists()
    network.add()
    network.status()


def test_it_does_not_wait_for_the_lock(network: Network) -> None:
    network.add()
    with Lock(str(network.directory / "lock")):
        network.status()


@pytest.mark.parametrize(
    ("key", "value"),
    [("ranges", [[{"subnet": "banana"}]]), ("dataDir", 5), ("resolvConf", "/nowhere/resolv.conf")],
)
def test_misconfigured(network: Network, key: str, value: object) -> None:
    network.ipam[key] = value
    error = network.fails("status")
    assert error.code == NOT_AVAILABLE
    assert f'key "ipam.{key}' in error.msg


@pytest.mark.parametrize("where", ["data", "data/net", "data/net/lock"])
def test_in_the_way(network: Network, tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    if where.endswith("lock"):
        path.mkdir()
    else:
        path.write_text("a file")
    error = network.fails("status")
    assert error.code == NOT_AVAILABLE
    assert str(path) in error.msg


def test_a_dangling_link(network: Network, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("nowhere")
    assert network.fails("status").code == NOT_AVAILABLE


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page."""
    where = tmp_path / "data"
    where.mkdir()
    mount("none", where, "tmpfs", options="size=4k")
    yield where
    libc("umount2", bytes(where), MNT_DETACH)


def test_a_full_file_system(network: Network, small: Path) -> None:
    network.status()
    (small / "fill").write_bytes(b"x" * 4096)
    error = network.fails("status")
    assert error.code == NOT_AVAILABLE
    assert "full" in error.msg


def test_a_file_system_that_is_read_only(network: Network, small: Path) -> None:
    libc("mount", b"none", bytes(small), b"tmpfs", MS_REMOUNT | MS_RDONLY, None)
    error = network.fails("status")
    assert error.code == NOT_AVAILABLE
    assert "not writable" in error.msg


# ---- exhaustion is opt-in ------------------------------------------------------------------------


def test_exhaustion(network: Network) -> None:
    network.ranges([V6], [{"subnet": "10.1.2.0/30"}])
    network.ipam["reportExhaustion"] = True
    network.status()
    network.add()
    error = network.fails("status")
    assert error.code == NOT_AVAILABLE
    assert "no IP addresses available in range set: 10.1.2.1-10.1.2.2" in error.msg
    assert "container c1 (eth0)" in error.document["details"]
    del network.ipam["reportExhaustion"]
    network.status()
    network.delete()
    network.ipam["reportExhaustion"] = True
    network.status()


def test_exhaustion_seen_by_a_scan(network: Network) -> None:
    network.ranges([{**V4, "rangeEnd": "10.1.2.3"}])
    network.ipam["reportExhaustion"] = True
    network.fill(["10.1.2.2", "10.1.2.3"])
    assert network.fails("status").code == NOT_AVAILABLE
    (network.directory / "10.1.2.3").unlink()
    network.status()
