"""Killed, refused or interrupted at every point: nothing is lost, nothing is left."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from cni.errors import TRY_AGAIN_LATER
from cni.skel import Terminated
from tests.host_local import faults
from tests.host_local.network import V6, Network

CODES = [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOENT]
IN_THE_PLUGIN = 1
"""The first operation of an ADD is the door's: it looks at the namespace."""


@pytest.fixture(params=["O_TMPFILE", "without O_TMPFILE"])
def dual(
    network: Network, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Network:
    """A dual-stack network with somebody else in it."""
    if request.param != "O_TMPFILE":
        faults.no_tmpfile(monkeypatch)
    network.ranges([{"subnet": "10.1.2.0/28"}], [V6])
    network.add("other")
    return network


def others_are_intact(network: Network) -> None:
    assert [name for name, who in network.held.items() if who == "other\r\neth0"] == [
        "10.1.2.2",
        "2001:db8:1::2",
    ]


@pytest.mark.parametrize("fresh", [False, True])
def test_add_killed_anywhere(dual: Network, fresh: bool, request: pytest.FixtureRequest) -> None:
    """The DEL that must follow leaves nothing, and no file without content was ever to be seen."""
    atomic = "without" not in request.node.name
    killed = 0
    for point in range(500):
        if fresh:
            dual.gc()
            shutil.rmtree(dual.directory.parent, ignore_errors=True)
        if not faults.kill_at(point, lambda: dual.add("c1")):
            break
        killed += 1
        if atomic:
            assert set(dual.held.values()) <= {"other\r\neth0", "c1\r\neth0"}
        dual.check_index()
        dual.delete("c1")
        assert "c1\r\neth0" not in dual.held.values()
        assert "" not in dual.held.values()
        if not fresh:
            others_are_intact(dual)
        dual.check_index()
    assert killed > 30
    dual.delete("c1")
    assert len(dual.add("c1").split()) == 2
    dual.check_index(must_be_current=True)


def test_delete_killed_anywhere(dual: Network) -> None:
    """The DEL that must follow ends the work."""
    killed = 0
    for point in range(500):
        dual.add("c1")
        ended = not faults.kill_at(point, lambda: dual.delete("c1"))
        killed += not ended
        dual.check_index()
        dual.delete("c1")
        assert set(dual.held.values()) == {"other\r\neth0"}
        others_are_intact(dual)
        dual.check_index(must_be_current=True)
        if ended:
            break
    assert killed > 20


def test_gc_killed_anywhere(dual: Network) -> None:
    killed = 0
    for point in range(500):
        dual.add("c1")
        dual.write("10.1.2.14", "")
        ended = not faults.kill_at(point, lambda: dual.gc(("other", "eth0")))
        killed += not ended
        dual.check_index()
        dual.gc(("other", "eth0"))
        assert set(dual.held.values()) == {"other\r\neth0"}
        others_are_intact(dual)
        dual.check_index(must_be_current=True)
        if ended:
            break
    assert killed > 20


@pytest.mark.parametrize("code", CODES)
def test_add_refused_anywhere_is_complete_or_undone(dual: Network, code: int) -> None:
    points = faults.count(lambda: dual.add("c1"))
    dual.delete("c1")
    refused = []
    for point in range(IN_THE_PLUGIN, points):
        error = faults.fail_at(point, code, lambda: dual.add("c1"))
        if error is None:
            assert len(dual.held) == 4, point
        else:
            refused.append(error)
            assert str(dual.directory) in error.msg, error
            assert set(dual.held.values()) == {"other\r\neth0"}, (point, error)
        dual.check_index()
        dual.delete("c1")
        others_are_intact(dual)
    assert refused


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EMFILE])
def test_delete_refused_anywhere_says_so(dual: Network, code: int) -> None:
    """Exit 0 means that nothing is held; everything else is code 11, so that it is repeated."""
    dual.add("c1")
    refused = []
    for point in range(faults.count(lambda: dual.delete("c1"))):
        dual.delete("c1")
        dual.add("c1")
        error = faults.fail_at(point, code, lambda: dual.delete("c1"))
        if error is None:
            assert set(dual.held.values()) == {"other\r\neth0"}, point
        else:
            refused.append(error)
            assert error.code == TRY_AGAIN_LATER, (point, error)
        dual.check_index()
        dual.delete("c1")
        others_are_intact(dual)
    assert refused


def test_add_interrupted_anywhere_is_undone(dual: Network, request: pytest.FixtureRequest) -> None:
    """The door turns SIGTERM into an exception, which may strike anywhere."""
    left = {"other\r\neth0"}
    if "without" in request.node.name:
        left.add("")  # struck between creating and remembering: torn, and so free
    points = faults.count(lambda: dual.add("c1"))
    dual.delete("c1")
    for point in range(IN_THE_PLUGIN, points):

        def strike(number: int, at: int = point) -> None:
            if number == at:
                raise Terminated("SIGTERM")

        with pytest.MonkeyPatch.context() as patch:
            faults.watch(patch, strike)
            error = dual.fails("add", "c1")
        assert error.code == TRY_AGAIN_LATER
        assert set(dual.held.values()) <= left, point
        dual.check_index()
        others_are_intact(dual)
    assert len(dual.add("c1").split()) == 2


def test_a_name_that_cannot_be_waited_for_is_taken_back(
    dual: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def broken(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        assert "Input/output error" in dual.fails("add", "c1").msg
    assert set(dual.held.values()) == {"other\r\neth0"}
    dual.check_index()
