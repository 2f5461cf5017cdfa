"""Every key of the configuration: how a wrong one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, NOT_AVAILABLE
from tests.kit.calls import Document, PluginError, Runtime

HERE: dict[str, Any] = {
    "netns": "/proc/thread-self/ns/net",
    "environ": {"CNI_NETNS_OVERRIDE": "1"},
}
"""Nothing here gets as far as the namespace."""
NO_NUMBER: list[Any] = ["5", True, 1.5, -1, 2**64, [], {}]
NO_LIST: list[Any] = [5, True, "10.1.0.0/16", {}]
NO_OBJECT: list[Any] = [5, True, "x", []]
NO_SUBNET: list[Any] = [5, None, "", "x", "10.1.0.0", "10.1.0.0/33", "::/129", {}]
KEYS: list[tuple[str, Any]] = [
    *(("ingressRate", value) for value in [*NO_NUMBER, 1, 7]),
    *(("ingressBurst", value) for value in NO_NUMBER),
    *(("egressRate", value) for value in [*NO_NUMBER, 1, 7]),
    *(("egressBurst", value) for value in NO_NUMBER),
    *(("shapedSubnets", value) for value in NO_LIST),
    *(("unshapedSubnets", value) for value in NO_LIST),
]


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


def config(**keys: Any) -> Document:
    return {"cniVersion": "1.1.0", "name": "net", "type": "bandwidth", "prevResult": {}, **keys}


def refused(runtime: Runtime, asked: Document, place: str) -> str:
    """The message with which ADD and STATUS refuse it, which names the key."""
    with pytest.raises(PluginError) as caught:
        runtime.status(asked)
    assert caught.value.code == NOT_AVAILABLE
    with pytest.raises(PluginError) as caught:
        runtime.add(asked, **HERE)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "{place}' in caught.value.msg
    assert "expected" in caught.value.msg
    return caught.value.msg


@pytest.mark.parametrize(("key", "value"), KEYS)
def test_wrong_values_are_named(key: str, value: Any, runtime: Runtime) -> None:
    rates = {"ingressRate": 8000, "egressRate": 8000}
    refused(runtime, config(**{**rates, key: value}), key)
    inner = {"bandwidth": {**rates, key: value}}
    refused(runtime, config(runtimeConfig=inner), f"runtimeConfig.bandwidth.{key}")
    # Whatever goes before it.
    refused(runtime, config(**rates, runtimeConfig=inner), f"runtimeConfig.bandwidth.{key}")


@pytest.mark.parametrize("value", NO_OBJECT)
def test_wrong_objects_are_named(value: Any, runtime: Runtime) -> None:
    refused(runtime, config(runtimeConfig=value), "runtimeConfig")
    refused(runtime, config(runtimeConfig={"bandwidth": value}), "runtimeConfig.bandwidth")


@pytest.mark.parametrize("key", ["shapedSubnets", "unshapedSubnets"])
def test_wrong_subnets_are_named(key: str, runtime: Runtime) -> None:
    for value in NO_SUBNET:
        refused(runtime, config(**{key: ["10.1.0.0/16", value]}), f"{key}[1]")


def test_what_excludes_each_other(runtime: Runtime) -> None:
    both = {"shapedSubnets": ["10.1.0.0/16"], "unshapedSubnets": ["10.2.0.0/16"]}
    assert "cannot be both" in refused(runtime, config(**both), "unshapedSubnets")
    for direction in ("ingress", "egress"):
        burst: Document = {f"{direction}Burst": 5}
        for asked in (config(**burst), config(**burst, **{f"{direction}Rate": 0})):
            said = refused(runtime, asked, f"{direction}Burst")
            assert "if burst is set, rate must also be set" in said
