"""What plugins are sent and what the cache keeps, against captures of Go's libcni (golden/)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cni.errors import INCOMPATIBLE_VERSION, CniError
from libcni import Attachment, network_from_bytes
from tests.libcni.fakes import Call, Fakes, result
from tests.libcni.golden.capture import CAPABILITY_ARGS, VERSIONS, document

CONTAINER = Attachment(
    "c1", "/run/netns/c", args=(("A", "1"), ("B", "2")), capability_args=CAPABILITY_ARGS
)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def golden(version: str) -> dict[str, Any]:
    """The capture, as Go's libcni does it since 1.2: that is when empty `dns` went from 1.x
    results, the cache got `netns`, and VERSION began to be asked in 1.1.0."""
    text = (Path(__file__).parent / "golden" / f"{version}.json").read_text()
    if version == "1.0.0":
        text = text.replace(r",\"dns\":{}", "").replace(r"\"dns\":{},", "")
    golden: dict[str, Any] = json.loads(text)
    for call in golden["calls"]:
        if call["command"] == "VERSION":
            call["stdin"] = '{"cniVersion":"1.1.0"}'
    golden["cache"]["netns"] = "/run/netns/c"
    if version == "1.0.0":
        del golden["cache"]["result"]["dns"]
        del golden["printed"]["dns"]
    return golden


def perform(fakes: Fakes, version: str) -> bytes:
    """The same verbs as the program that made the captures; returns the cache entry."""
    for name in ("first", "second"):
        fakes.plugin(name)
        fakes.answer(name, "ADD", result(version))
    network = network_from_bytes(document(version))
    runtime = fakes.runtime
    assert runtime.validate(network) == {"portMappings", "mac", "aliases"}
    runtime.add(network, CONTAINER)
    entry = (fakes.cache / "results" / "net-c1-eth0").read_bytes()
    if version < "0.4.0":
        with pytest.raises(CniError, match="does not support the CHECK command") as raised:
            runtime.check(network, CONTAINER)
        assert raised.value.code == INCOMPATIBLE_VERSION
    else:
        runtime.check(network, CONTAINER)
    runtime.delete(network, CONTAINER)
    assert list((fakes.cache / "results").iterdir()) == []
    return entry


def assert_same(ours: Call, theirs: dict[str, Any]) -> None:
    assert (ours.command, ours.type) == (theirs["command"], theirs["type"])
    assert ours.config == json.loads(theirs["stdin"])
    if b"prevResult" not in ours.stdin:  # whose keys Go writes now sorted, now in its own order
        assert ours.stdin.decode() == theirs["stdin"]


def test_plugins_are_sent_what_go_sends(fakes: Fakes, version: str, golden: dict[str, Any]) -> None:
    perform(fakes, version)
    calls = fakes.calls()
    assert len(calls) == len(golden["calls"])
    for ours, theirs in zip(calls, golden["calls"], strict=True):
        assert_same(ours, theirs)
        expected = {
            key: value.replace("PLUGINS", str(fakes.directory))
            for key, value in theirs["env"].items()
        }
        assert ours.cni == expected


def test_cache_entry_is_the_references(fakes: Fakes, version: str, golden: dict[str, Any]) -> None:
    entry = perform(fakes, version)
    ours = json.loads(entry)
    assert base64.b64decode(ours["config"]) == document(version)
    assert ours == golden["cache"]
    assert list(ours) == [
        "kind", "containerId", "config", "ifName", "networkName", "netns", "cniArgs",
        "capabilityArgs", "result",
    ]  # fmt: skip


def test_a_reference_entry_can_be_checked_and_detached(
    fakes: Fakes, version: str, golden: dict[str, Any]
) -> None:
    """An entry of Go's libcni, without its `netns` of later, gives both verbs their prevResult."""
    for name in ("first", "second"):
        fakes.plugin(name)
    folder = fakes.cache / "results"
    folder.mkdir(parents=True)
    del golden["cache"]["netns"]
    (folder / "net-c1-eth0").write_text(json.dumps(golden["cache"]))
    network = network_from_bytes(document(version))
    bare = Attachment("c1", "/run/netns/c")
    if version >= "0.4.0":
        fakes.runtime.check(network, bare)
    fakes.runtime.delete(network, bare)
    assert not list(folder.iterdir())
    theirs = [call for call in golden["calls"] if call["command"] in ("CHECK", "DEL")]
    for ours, expected in zip(fakes.calls(), theirs, strict=True):
        assert_same(ours, expected)
        assert ours.env["CNI_ARGS"] == "A=1;B=2"
