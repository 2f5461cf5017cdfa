"""The results cache: its files, what they survive, who owns them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from cni.errors import INVALID_ENVIRONMENT, IO_FAILURE, CniError
from libcni import Attachment, AttachmentKey, Cache
from libcni.cache import KIND
from tests.libcni.fakes import network, result

KEY = AttachmentKey("c1", "eth0")
C1 = Attachment("c1", "/run/netns/c1", capability_args={"mac": "02:00:00:00:00:09"})


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(str(tmp_path / "a" / "b"))
    assert made.prepare("net", KEY) is False
    return made


def test_modes_are_the_references(cache: Cache, tmp_path: Path) -> None:
    cache.store(network("one"), C1, result("1.1.0"))
    for directory in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "results"):
        assert directory.stat().st_mode & 0o7777 == 0o700
    entry = tmp_path / "a" / "b" / "results" / "net-c1-eth0"
    assert entry.stat().st_mode & 0o7777 == 0o600
    assert [path.name for path in entry.parent.iterdir()] == ["net-c1-eth0"]


def test_round_trip(cache: Cache) -> None:
    net = network("one")
    cache.store(net, C1, result("1.1.0"))
    entry = cache.load("net", KEY)
    assert entry is not None
    assert entry.config == net.data
    assert entry.attachment == Attachment("c1", "/run/netns/c1", "eth0", (), C1.capability_args)
    assert entry.result is not None
    assert str(entry.result.ips[0].address) == "10.1.2.3/24"
    assert entry.since == os.stat(entry.path).st_mtime
    assert cache.prepare("net", KEY) is True
    assert cache.scan() == ([entry], [])
    cache.remove("net", KEY)
    cache.remove("net", KEY)
    assert cache.scan() == ([], [])


def test_the_bare_result_of_old_libcni(cache: Cache) -> None:
    Path(cache.results, "net-c1-eth0").write_text(json.dumps(result("0.4.0")))
    entry = cache.load("net", KEY)
    assert entry is not None
    assert entry.result is not None
    assert str(entry.result.ips[0].address) == "10.1.2.3/24"


def test_an_entry_whose_result_is_damaged_still_tells_its_arguments(cache: Cache) -> None:
    cache.store(network("one"), C1, {"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.3"}]})
    entry = cache.load("net", KEY)
    assert entry is not None
    assert entry.result is None
    assert entry.capability_args == {"mac": "02:00:00:00:00:09"}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"kind": "other"}, '"kind"'),
        ({"kind": None}, '"kind"'),
        ({"networkName": ""}, '"networkName"'),
        ({"containerId": 7}, '"containerId"'),
        ({"ifName": None}, '"ifName"'),
        ({"config": "a"}, '"config"'),
        ({"cniArgs": [["a"]]}, '"cniArgs"'),
        ({"cniArgs": "a"}, '"cniArgs"'),
        ({"capabilityArgs": []}, '"capabilityArgs"'),
        ({"result": 1}, '"result"'),
    ],
)
def test_scan_names_what_is_no_entry(cache: Cache, keys: dict[str, object], named: str) -> None:
    document = {"kind": KIND, "networkName": "net", "containerId": "c1", "ifName": "eth0"} | keys
    path = Path(cache.results, "net-c1-eth0")
    path.write_text(json.dumps(document))
    Path(cache.results, "net-c2-eth0").write_bytes(b"")
    Path(cache.results, ".half.tmp").write_bytes(b"{")
    entries, problems = cache.scan()
    assert entries == []
    first, second = map(str, problems)
    assert str(path) in first
    assert named in first
    assert "net-c2-eth0 is empty" in second
    assert cache.load("net", KEY) is None


def test_names_with_dashes_can_share_a_file_name(cache: Cache) -> None:
    """Network a, container b-c and network a-b, container c: each keeps its entry."""
    theirs = Attachment("c", "/run/netns/x")
    cache.store(network("one", name="a-b"), theirs, result("1.1.0"))
    ours = AttachmentKey("b-c", "eth0")
    assert cache.load("a", ours) is None
    cache.remove("a", ours)
    assert cache.load("a-b", theirs.key) is not None
    with pytest.raises(CniError, match="network a-b, container c") as raised:
        cache.prepare("a", ours)
    assert raised.value.code == INVALID_ENVIRONMENT


def test_a_write_is_whole_or_not_at_all(cache: Cache) -> None:
    """The power fails, as far as a process can tell, at every system call of a write."""
    net = network("one")
    cache.store(net, C1, result("1.1.0", "10.1.2.3/24"))
    before = Path(cache.results, "net-c1-eth0").read_bytes()
    for name in ("open", "fsync", "rename"):
        pid = os.fork()
        if pid == 0:
            # pytest must not see the child: it ends in the system call, like a killed process.
            setattr(os, name, lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL))
            cache.store(net, C1, result("1.1.0", "10.1.2.99/24"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        assert Path(cache.results, "net-c1-eth0").read_bytes() == before
        assert len(cache.scan()[0]) == 1
    cache.store(net, C1, result("1.1.0", "10.1.2.99/24"))
    assert [path.name for path in Path(cache.results).iterdir()] == ["net-c1-eth0"]


def test_what_cannot_be_read_or_removed_is_named(cache: Cache) -> None:
    path = Path(cache.results, "net-c1-eth0")
    path.mkdir()
    with pytest.raises(CniError, match=f"{path} cannot be removed") as raised:
        cache.remove("net", KEY)
    assert raised.value.code == IO_FAILURE
    path.rmdir()
    Path(cache.results).rmdir()
    assert cache.scan() == ([], [])
    Path(cache.results).write_text("")
    with pytest.raises(CniError, match="cannot be read"):
        cache.scan()
    Path(cache.results).unlink()
