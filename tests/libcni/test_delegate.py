"""Delegation by a meta-plugin: the caller's environment, and a DEL after a failed ADD."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from cni.errors import INVALID_ENVIRONMENT, CniError
from libcni import delegate
from tests.libcni.fakes import Fakes, result

CONFIG = b'{"cniVersion":"1.1.0","name":"net","type":"inner","anything":1}'


@pytest.fixture
def environ(fakes: Fakes) -> dict[str, str]:
    fakes.plugin("inner")
    return {
        "PATH": os.environ["PATH"],
        "CNI_COMMAND": "CHECK",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "K=V",
        "CNI_PATH": f"/nowhere:{fakes.directory}",
    }


def test_add(fakes: Fakes, environ: dict[str, str]) -> None:
    fakes.answer("inner", "ADD", result("1.1.0"))
    added = delegate.add("inner", CONFIG, environ)
    assert str(added.ips[0].address) == "10.1.2.3/24"
    (call,) = fakes.calls()
    assert call.stdin == CONFIG
    assert call.cni == {k: v for k, v in environ.items() if k != "PATH"} | {"CNI_COMMAND": "ADD"}


def test_a_failed_add_is_undone(fakes: Fakes, environ: dict[str, str]) -> None:
    fakes.fail("inner", "ADD", "no room", code=102)
    with pytest.raises(CniError, match="no room") as raised:
        delegate.add("inner", CONFIG, environ)
    assert raised.value.code == 102
    assert fakes.order() == [("ADD", "inner"), ("DEL", "inner")]
    fakes.fail("inner", "DEL", "busy")
    with pytest.raises(CniError, match="no room; and undoing it failed: busy"):
        delegate.add("inner", CONFIG, environ)


@pytest.mark.parametrize(
    ("verb", "command"),
    [
        (delegate.delete, "DEL"),
        (delegate.check, "CHECK"),
        (delegate.gc, "GC"),
        (delegate.status, "STATUS"),
    ],
)
def test_the_other_verbs(
    fakes: Fakes,
    environ: dict[str, str],
    verb: Callable[[str, bytes, dict[str, str]], None],
    command: str,
) -> None:
    verb("inner", CONFIG, environ)
    assert fakes.order() == [(command, "inner")]
    fakes.fail("inner", command, "not now", code=11)
    with pytest.raises(CniError, match="not now"):
        verb("inner", CONFIG, environ)
    with pytest.raises(CniError, match='failed to find plugin "other"') as raised:
        verb("other", CONFIG, environ)
    assert raised.value.code == INVALID_ENVIRONMENT
