"""The config of `vrf`, and what is refused before the kernel is asked for a VRF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, NOT_AVAILABLE
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace

HERE: dict[str, Any] = {
    "netns": "/proc/thread-self/ns/net",
    "environ": {"CNI_NETNS_OVERRIDE": "1"},
}
"""Nothing here gets as far as the namespace."""
NO_NAME: list[Any] = [None, "", 5, True, [], {}, "a/b", "..", "a b", "sixteencharacter", "a\0b"]
NO_TABLE: list[Any] = ["5", True, 1.5, -1, 2**32, [], {}]
WRONG: list[tuple[str, Any]] = [
    *(("vrfname", value) for value in NO_NAME),
    *(("table", value) for value in NO_TABLE),
]


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


def config(**keys: Any) -> Document:
    return {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "vrf",
        "vrfname": "blue",
        "prevResult": {"cniVersion": "1.1.0"},
        **keys,
    }


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_wrong_values_are_named(key: str, value: Any, runtime: Runtime) -> None:
    asked = config(**{key: value})
    with pytest.raises(PluginError) as caught:
        runtime.add(asked, **HERE)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "{key}"' in caught.value.msg
    assert "expected" in caught.value.msg
    with pytest.raises(PluginError, match=f'key "{key}"') as caught:
        runtime.status(asked)
    assert caught.value.code == NOT_AVAILABLE
    runtime.delete(asked)
    runtime.gc(asked, [])


def test_add_and_check_need_the_previous_result(runtime: Runtime) -> None:
    for verb in ("ADD", "CHECK"):
        with pytest.raises(PluginError, match="missing prevResult from earlier plugin") as caught:
            runtime.call(verb, config(prevResult=None), **HERE)
        assert caught.value.code == INVALID_CONFIG


def test_delete_where_there_is_nothing(host: Host, runtime: Runtime, container: Namespace) -> None:
    runtime.delete(config(), netns=container)
    runtime.delete(config(vrfname=5), netns=container)
    runtime.delete(config(), netns="")
    runtime.delete(config(), netns="/run/netns/nowhere")
    container.command("ip", "link", "add", "blue", "type", "bridge")
    runtime.delete(config(), netns=container)
    assert "blue" in container.links()
    container.command("ip", "link", "delete", "blue")
