"""DEL: everything of the attachment, nothing of anybody else, as often as it is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cni.errors import INVALID_CONFIG, TRY_AGAIN_LATER
from tests.host_local.network import V4, V6, Network
from tests.kit.versions import each_version


@each_version
def test_delete_and_delete_again(network: Network, version: str) -> None:
    network.version = version
    network.ranges([V4], [V6])
    network.result()
    network.delete()
    assert network.held == {}
    network.delete()
    network.delete()
    assert sorted(os.listdir(network.directory)) == [
        "last_reserved_ip.0",
        "last_reserved_ip.1",
        "lock",
    ]
    assert not network.has_index(), "an empty network needs no index"


def test_only_this_interfaces(network: Network) -> None:
    network.add("c1", "eth0")
    network.add("c1", "eth1")
    network.add("c10", "eth0")
    network.delete("c1", "eth0")
    assert network.held == {"10.1.2.3": "c1\r\neth1", "10.1.2.4": "c10\r\neth0"}
    network.check_index(must_be_current=True)
    network.delete("c1", "eth9")
    assert len(network.held) == 2


def test_nothing_is_created(network: Network, tmp_path: Path) -> None:
    network.delete()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("where", ["data", "data/net"])
def test_where_there_is_no_directory_there_is_nothing_to_release(
    network: Network, tmp_path: Path, where: str
) -> None:
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).write_text("a file")
    network.delete()


def test_a_config_that_became_wrong(network: Network) -> None:
    network.add()
    network.ipam |= {"ranges": "banana", "routes": 5, "exclude": {}, "resolvConf": []}
    network.extra = {"runtimeConfig": 5, "args": [], "prevResult": "x"}
    network.delete()
    assert network.held == {}


def test_ranges_that_moved(network: Network) -> None:
    network.add()
    network.ranges([V6])
    network.delete()
    assert network.held == {}


def test_a_data_directory_of_the_wrong_type(network: Network) -> None:
    network.ipam["dataDir"] = 5
    error = network.fails("delete")
    assert error.code == INVALID_CONFIG
    assert 'key "ipam.dataDir"' in error.msg


# ---- the older format ----------------------------------------------------------------------------


def test_the_older_format(network: Network) -> None:
    network.write("10.1.2.9", "c1")
    network.write("10.1.2.10", " c1 \n")
    network.write("10.1.2.11", "c12")
    network.delete()
    assert network.held == {"10.1.2.11": "c12"}
    network.check_index(must_be_current=True)


def test_the_older_format_only_where_there_is_no_other(network: Network) -> None:
    """Two steps, as the reference does."""
    network.write("10.1.2.9", "c1")
    network.write("10.1.2.10", "c1\r\neth0")
    network.delete()
    assert network.held == {"10.1.2.9": "c1"}
    network.delete()
    assert network.held == {}


@pytest.mark.parametrize("content", ["c1\neth0", "c1\r\neth0\r\n", "  c1\r\neth0 \n"])
def test_white_space_a_script_may_leave(network: Network, content: str) -> None:
    network.write("10.1.2.9", content)
    network.delete()
    assert network.held == {}


# ---- failures ------------------------------------------------------------------------------------


def test_a_reservation_that_cannot_be_removed(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference exits 0 and keeps the address for ever."""
    network.ranges([V4], [V6])
    network.add()
    unlink = os.unlink

    def broken(path: str, *, dir_fd: int | None = None) -> None:
        if path == "10.1.2.2":
            raise OSError(5, "Input/output error", path)
        unlink(path, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", broken)
        error = network.fails("delete")
    assert error.code == TRY_AGAIN_LATER
    assert "Input/output error" in error.msg
    assert "c1 (eth0)" in error.msg
    assert network.held == {"10.1.2.2": "c1\r\neth0"}, "the other one is released"
    network.check_index(must_be_current=True)
    network.delete()
    assert network.held == {}
