"""GC: what no valid attachment holds is released, in this network alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cni.errors import INVALID_CONFIG, IO_FAILURE
from tests.host_local.network import V4, V6, Network


def test_the_invalid_ones_go(network: Network) -> None:
    network.ranges([V4], [V6])
    for container, ifname in (("c1", "eth0"), ("c1", "eth1"), ("c2", "eth0"), ("c3", "eth0")):
        network.add(container, ifname)
    network.gc(("c1", "eth1"), ("c3", "eth0"), ("c9", "eth0"))
    assert set(network.held.values()) == {"c1\r\neth1", "c3\r\neth0"}
    assert len(network.held) == 4
    network.check_index(must_be_current=True)
    assert network.add("c1", "eth0").split()[0] == "10.1.2.6"
    network.gc()
    assert network.held == {}
    assert (network.directory / "lock").exists()
    assert network.last() == "10.1.2.6"
    assert not network.has_index()


def test_the_older_format_stays_with_any_interface_of_its_container(network: Network) -> None:
    network.write("10.1.2.9", "c1")
    network.write("10.1.2.10", "c2")
    network.gc(("c1", "eth7"))
    assert network.held == {"10.1.2.9": "c1"}


def test_torn_ones_go_and_what_is_no_reservation_stays(network: Network) -> None:
    network.write("10.1.2.9", "")
    network.write("10.1.2.10", "\0\0\0\0")
    network.write("10.1.2.11", "kept for the printer, Bob")
    network.write("README", "a person's file")
    network.gc()
    assert network.held == {
        "10.1.2.11": "kept for the printer, Bob",
        "README": "a person's file",
    }
    network.ranges([{**V4, "rangeStart": "10.1.2.11", "rangeEnd": "10.1.2.12"}])
    assert network.add() == "10.1.2.12"


def test_only_this_network(network: Network, tmp_path: Path) -> None:
    other = network.config | {"name": "other"}
    network.runtime.add(other, container="c1", netns=network.netns)
    network.add()
    network.gc()
    assert network.held == {}
    assert (tmp_path / "data" / "other" / "10.1.2.2").exists()


def test_a_network_that_has_no_directory(network: Network, tmp_path: Path) -> None:
    network.gc()
    assert not (tmp_path / "data").exists()


def test_it_goes_on_after_errors(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        network.add(f"c{n}")
    unlink = os.unlink

    def broken(path: str, *, dir_fd: int | None = None) -> None:
        if path == "10.1.2.3":
            raise OSError(5, "Input/output error", path)
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", broken)
        error = network.fails("gc", ("c3", "eth0"))
    assert error.code == IO_FAILURE
    assert f"{network.directory}/10.1.2.3: Input/output error" in error.msg
    assert network.held == {"10.1.2.3": "c1\r\neth0", "10.1.2.5": "c3\r\neth0"}
    network.gc(("c3", "eth0"))
    assert network.held == {"10.1.2.5": "c3\r\neth0"}


def test_a_directory_is_no_reservation_but_in_the_way_of_one(network: Network) -> None:
    network.directory.mkdir(parents=True)
    (network.directory / "10.1.2.2").mkdir()
    network.gc()
    assert network.add() == "10.1.2.3"
    network.delete()
    (network.directory / "10.1.2.2").rmdir()


def test_a_config_that_became_wrong(network: Network) -> None:
    network.add()
    network.ipam["ranges"] = "banana"
    network.gc()
    assert network.held == {}


def test_a_missing_list_removes_nothing(network: Network) -> None:
    network.add()
    environ = {"CNI_CONTAINERID": "", "CNI_IFNAME": ""}
    with pytest.raises(AssertionError) as caught:
        network.runtime.call("GC", network.config, environ=environ)
    assert f"error {INVALID_CONFIG}" in str(caught.value)
    assert len(network.held) == 1
