"""What ADD and DEL have reported survives a power cut: ext4, stopped without a last word."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host_local.network import V4, V6, Network

EXT4_IOC_SHUTDOWN = 0x8004587D  # fs/ext4/ext4.h
NO_LOG_FLUSH = (2).to_bytes(4, "little")
MKFS = shutil.which("mkfs.ext4", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")


class Disk:
    """An ext4 file system in a file, mounted at `where`."""

    def __init__(self, image: Path, where: Path) -> None:
        assert MKFS is not None
        self.image = image
        self.where = where
        image.write_bytes(b"")
        os.truncate(image, 16 << 20)
        subprocess.run([MKFS, "-q", image], check=True)
        where.mkdir()
        self.mount()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.where], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.where], check=True)

    def cut_the_power(self) -> None:
        """Nothing that is not on the disk by now will ever be."""
        fd = os.open(self.where, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(fd)
        self.unmount()
        self.mount()


@pytest.fixture
def disk(network: Network) -> Iterator[Disk]:
    if MKFS is None or not os.path.exists("/dev/loop-control"):
        pytest.skip("this machine cannot mount an ext4 of its own")
    made = Disk(network.tmp_path / "image", network.tmp_path / "data")
    yield made
    made.unmount()


def test_an_add_and_a_delete_survive(network: Network, disk: Disk) -> None:
    network.ranges([V4], [V6])
    for container in ("c1", "c2", "c3"):
        network.add(container)
    network.delete("c2")
    disk.cut_the_power()
    assert network.held == {
        "10.1.2.2": "c1\r\neth0",
        "10.1.2.4": "c3\r\neth0",
        "2001:db8:1::2": "c1\r\neth0",
        "2001:db8:1::4": "c3\r\neth0",
    }
    assert "duplicate" in network.fails("add", "c1").msg
    addresses = {network.add(f"d{n}") for n in range(3)}
    assert not addresses & {"10.1.2.2 2001:db8:1::2", "10.1.2.4 2001:db8:1::4"}
    network.gc(("c1", "eth0"))
    disk.cut_the_power()
    assert set(network.held.values()) == {"c1\r\neth0"}


def test_a_new_network_survives(network: Network, disk: Disk) -> None:
    network.ipam["dataDir"] = str(disk.where / "some" / "where")
    network.directory = disk.where / "some" / "where" / "net"
    network.add()
    disk.cut_the_power()
    assert network.held == {"10.1.2.2": "c1\r\neth0"}
