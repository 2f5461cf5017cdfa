"""The verbs: order, prevResult, errors, what is undone, what is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cni.errors import (
    DECODE_FAILURE,
    DELEGATE_FAILED,
    INCOMPATIBLE_VERSION,
    INVALID_ENVIRONMENT,
    IO_FAILURE,
    NOT_AVAILABLE,
    UNKNOWN_CONTAINER,
    CniError,
)
from cni.result import Result
from cni.versions import SPEC_VERSIONS
from libcni import Attachment, AttachmentKey, Runtime
from tests.kit.namespace import MNT_DETACH, libc, mount
from tests.libcni.fakes import SCRIPT, Fakes, network, result

C1 = Attachment("c1", "/run/netns/c1")
PYTHON_PLUGIN = """#!/usr/bin/python3
import json, os, sys
config = json.load(sys.stdin)
if os.environ["CNI_COMMAND"] == "ADD":
    print(json.dumps({"cniVersion": config["cniVersion"], "ips": [{"address": "10.9.9.9/24"}]}))
"""


@pytest.fixture
def chain(fakes: Fakes) -> Fakes:
    """Three plugins that answer with results of their own."""
    for number, name in enumerate(("one", "two", "three"), 1):
        fakes.plugin(name)
        fakes.answer(name, "ADD", result("1.1.0", f"10.1.2.{number}/24"))
    return fakes


def test_add_hands_each_result_on(chain: Fakes) -> None:
    net = network("one", "two", "three")
    added = chain.runtime.add(net, C1)
    assert str(added.ips[0].address) == "10.1.2.3/24"
    first, second, third = (call.config for call in chain.calls())
    assert "prevResult" not in first
    assert second["prevResult"]["ips"][0]["address"] == "10.1.2.1/24"
    assert third["prevResult"]["ips"][0]["address"] == "10.1.2.2/24"
    (entry,) = chain.cached()
    assert entry.result == added
    assert entry.attachment == Attachment("c1", "/run/netns/c1", "eth0", (), {})


def test_a_plugin_in_python(fakes: Fakes) -> None:
    fakes.plugin("py", PYTHON_PLUGIN)
    added = fakes.runtime.add(network("py"), C1)
    assert str(added.ips[0].address) == "10.9.9.9/24"
    fakes.runtime.delete(network("py"), C1)


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_a_written_prev_result_never_gets_through(fakes: Fakes, version: str) -> None:
    fakes.plugin("one")
    fakes.answer("one", "ADD", result(version))
    net = network({"type": "one", "prevResult": {"literal": 1}, "PrevResult": 2}, version=version)
    fakes.runtime.add(net, C1)
    fakes.runtime.delete(net, C1)
    fakes.runtime.gc(net, [])
    fakes.runtime.status(net)
    add, delete, *rest = (call.config for call in fakes.calls())
    assert not {"prevResult", "PrevResult"} & set(add)
    assert ("prevResult" in delete) == (version >= "0.4.0")
    assert not any({"prevResult", "PrevResult"} & set(config) for config in rest)
    assert fakes.order() == [("ADD", "one"), ("DEL", "one")] + (
        [("GC", "one"), ("STATUS", "one")] if version == "1.1.0" else []
    )


def test_prev_result_follows_a_change_of_the_networks_version(fakes: Fakes) -> None:
    fakes.plugin("one")
    fakes.answer("one", "ADD", result("1.0.0"))
    fakes.runtime.add(network("one", version="1.0.0"), C1)
    fakes.runtime.check(network("one", version="0.4.0"), C1)
    previous = fakes.calls("CHECK")[0].config["prevResult"]
    assert previous["cniVersion"] == "0.4.0"
    assert previous["ips"][0]["version"] == "4"


def test_result_without_a_version_is_the_networks(fakes: Fakes) -> None:
    fakes.plugin("one")
    fakes.answer("one", "ADD", {"ips": [{"version": "4", "address": "10.1.1.1/24"}]})
    added = fakes.runtime.add(network("one", version="0.3.1"), C1)
    assert str(added.ips[0].address) == "10.1.1.1/24"


def test_result_without_addresses_in_the_oldest_versions(fakes: Fakes) -> None:
    fakes.plugin("one")
    fakes.plugin("two")
    for name in ("one", "two"):
        fakes.answer(name, "ADD", {"cniVersion": "0.2.0"})
    fakes.runtime.add(network("one", "two", version="0.2.0"), C1)
    assert fakes.calls()[1].config["prevResult"] == {"cniVersion": "0.2.0", "dns": {}}


def test_null_is_a_result_without_anything(fakes: Fakes) -> None:
    """As for Go's libcni: a plugin in Go that has no result to tell prints a nil pointer."""
    for name in ("one", "two"):
        fakes.plugin(name)
        fakes.answer(name, "ADD", "null\n")
    assert fakes.runtime.add(network("one", "two", version="1.0.0"), C1) == Result()
    assert fakes.calls()[1].config["prevResult"] == {"cniVersion": "1.0.0"}


# ---- capability arguments and CNI_ARGS -----------------------------------------------------------

PORTS: dict[str, Any] = {"portMappings": [{"hostPort": 80, "containerPort": 80}]}


def test_check_and_delete_get_what_add_got(chain: Fakes) -> None:
    net = network({"type": "one", "capabilities": {"portMappings": True}}, "two")
    chain.runtime.add(
        net, Attachment("c1", "/run/netns/c1", args=(("K", "V"),), capability_args=PORTS)
    )
    chain.runtime.check(net, C1)
    chain.runtime.delete(net, C1)
    for call in chain.calls():
        assert call.env["CNI_ARGS"] == "K=V"
        assert call.config.get("runtimeConfig") == (PORTS if call.type == "one" else None)


def test_what_delete_is_told_comes_first(chain: Fakes) -> None:
    net = network({"type": "one", "capabilities": {"portMappings": True}})
    chain.runtime.add(
        net, Attachment("c1", "/run/netns/c1", args=(("K", "V"),), capability_args=PORTS)
    )
    chain.runtime.delete(net, Attachment("c1", args=(), capability_args={}))
    call = chain.calls("DEL")[0]
    assert (call.env["CNI_ARGS"], call.env["CNI_NETNS"]) == ("", "")
    assert "runtimeConfig" not in call.config


def test_the_environment_is_inherited(fakes: Fakes) -> None:
    fakes.plugin("one")
    fakes.answer("one", "ADD", result("1.1.0"))
    environ = {"PATH": os.environ["PATH"], "TRACEPARENT": "00-ab-cd-01", "CNI_NETNS": "/wrong"}
    runtime = Runtime([str(fakes.directory)], str(fakes.cache), environ=environ)
    runtime.add(network("one"), C1)
    env = fakes.calls()[0].env
    assert env["TRACEPARENT"] == "00-ab-cd-01"
    assert env["CNI_NETNS"] == "/run/netns/c1"
    assert "HOME" not in env


# ---- ADD that fails ------------------------------------------------------------------------------


def test_failed_add_is_undone_as_far_as_it_came(chain: Fakes) -> None:
    chain.fail("two", "ADD", "no room", code=NOT_AVAILABLE, details="at all")
    with pytest.raises(CniError) as raised:
        chain.runtime.add(network("one", "two", "three"), C1)
    assert str(raised.value) == 'plugin type="two" name="net" failed (add): no room; at all'
    assert raised.value.code == NOT_AVAILABLE
    assert chain.order() == [("ADD", "one"), ("ADD", "two"), ("DEL", "two"), ("DEL", "one")]
    # The last result there was is what plugins such as the reference's firewall clean up by.
    assert all(
        call.config["prevResult"]["ips"][0]["address"] == "10.1.2.1/24"
        for call in chain.calls("DEL")
    )
    assert chain.cached() == []


def test_failed_add_tells_what_could_not_be_undone(chain: Fakes) -> None:
    chain.fail("two", "ADD", "no room")
    chain.fail("one", "DEL", "still busy")
    with pytest.raises(CniError) as raised:
        chain.runtime.add(network("one", "two"), C1)
    assert raised.value.msg == 'plugin type="two" name="net" failed (add): no room'
    assert raised.value.details == (
        'and undoing it failed: plugin type="one" name="net" failed (delete): still busy'
    )


def test_failed_add_can_be_left_to_the_runtime(chain: Fakes) -> None:
    chain.fail("two", "ADD", "no room")
    with pytest.raises(CniError):
        chain.runtime.add(network("one", "two"), C1, undo=False)
    assert chain.order() == [("ADD", "one"), ("ADD", "two")]


def test_a_repeated_add_that_fails_leaves_the_first_alone(chain: Fakes) -> None:
    net = network("one", "two")
    chain.runtime.add(net, C1)
    chain.fail("one", "ADD", "duplicate allocation is not allowed")
    with pytest.raises(CniError, match="duplicate allocation"):
        chain.runtime.add(net, C1)
    assert chain.calls("DEL") == []
    assert len(chain.cached()) == 1


def test_nothing_runs_when_a_later_plugin_is_missing(chain: Fakes) -> None:
    with pytest.raises(CniError) as raised:
        chain.runtime.add(network("one", "absent"), C1)
    assert 'plugin type="absent" name="net" failed (add): failed to find plugin "absent"' in str(
        raised.value
    )
    assert chain.calls() == []
    assert not chain.cache.exists()


def test_add_whose_result_cannot_be_kept_is_undone(chain: Fakes) -> None:
    chain.plugin("two", SCRIPT.replace("answer=", f"rm -rf {chain.cache}/results\nanswer="))
    with pytest.raises(CniError, match="cannot be written") as raised:
        chain.runtime.add(network("one", "two"), C1)
    assert raised.value.code == IO_FAILURE
    assert chain.order("DEL") == [("DEL", "two"), ("DEL", "one")]


def test_nothing_runs_when_the_cache_has_no_place(chain: Fakes) -> None:
    chain.cache.write_text("a file")
    with pytest.raises(CniError, match="cannot be made") as raised:
        chain.runtime.add(network("one"), C1)
    assert raised.value.code == IO_FAILURE
    assert chain.calls() == []


def test_nothing_runs_when_the_cache_is_read_only(chain: Fakes) -> None:
    results = chain.cache / "results"
    results.mkdir(parents=True)
    mount("none", results, "tmpfs", options="ro")
    try:
        with pytest.raises(CniError, match="file system that is read-only: mount it") as raised:
            chain.runtime.add(network("one"), C1)
    finally:
        libc("umount2", bytes(results), MNT_DETACH)
    assert raised.value.code == IO_FAILURE
    assert chain.calls() == []


@pytest.mark.parametrize(
    ("attachment", "named"),
    [
        (Attachment("", "/run/netns/c"), "container_id"),
        (Attachment("../../x", "/run/netns/c"), "container_id"),
        (Attachment("a/b", "/run/netns/c"), "container_id"),
        (Attachment("c", ""), "netns"),
        (Attachment("c", "/run/\0"), "netns"),
        (Attachment("c", "/run/\ud800"), "netns"),
        (Attachment("c", "/n", ifname="sixteencharacter"), "ifname"),
        (Attachment("c", "/n", ifname="a/b"), "ifname"),
        (Attachment("c", "/n", args=(("A", "1;B=2"),)), "args"),
        (Attachment("c", "/n", args=(("", "1"),)), "args"),
        (Attachment("c", "/n", args=(("A", "\0"),)), "args"),
        (Attachment("c" * 199, "/n", ifname="i" * 15), None),
        (Attachment("c" * 200, "/n", ifname="interfaceeeeeee"), None),
    ],
)
def test_hostile_attachments(chain: Fakes, attachment: Attachment, named: str | None) -> None:
    net = network("one", name="n" * 50)
    with pytest.raises(CniError) as raised:
        chain.runtime.add(net, attachment)
    assert raised.value.code == INVALID_ENVIRONMENT
    assert (named or "container_id") in raised.value.msg
    assert chain.calls() == []


# ---- what plugins print --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "err", "status", "message", "code"),
    [
        ("", "", 2, "netplugin failed with no error message: exit status 2", DELEGATE_FAILED),
        ("", "oh no\n", 1, 'netplugin failed: "oh no": exit status 1', DELEGATE_FAILED),
        ("garbage", "", 1, "error parsing its diagnostic message", DELEGATE_FAILED),
        ('{"code":7,"msg":"bad"}', "noise", 1, "bad", 7),
        ('{"code":7,"msg":"bad","details":"d"}', "", 0, "bad; d", 7),
        ('{"code":"7","msg":"bad"}', "", 1, 'key "code"', DELEGATE_FAILED),
        ('{"code":7}', "", 3, "no error message: exit status 3", 7),
        ("", "", 0, "the plugin's result is empty", DECODE_FAILURE),
        ("[]", "", 0, "expected a JSON object", DECODE_FAILURE),
        ('{"ips":[{"address":"x"}]}', "", 0, "ips[0].address", DECODE_FAILURE),
        ('{"cniVersion":"9.9.9"}', "", 0, "9.9.9", DECODE_FAILURE),
        ("[" * 200_000, "", 0, "nested too deeply", DECODE_FAILURE),
    ],
)
def test_add_that_breaks_the_protocol(
    fakes: Fakes, *, out: str, err: str, status: int, message: str, code: int
) -> None:
    fakes.plugin("one")
    fakes.answer("one", "ADD", out, err, status)
    with pytest.raises(CniError) as raised:
        fakes.runtime.add(network("one"), C1)
    assert str(raised.value).startswith('plugin type="one" name="net" failed (add): ')
    assert message in str(raised.value)
    assert raised.value.code == code
    assert fakes.order() == [("ADD", "one"), ("DEL", "one")]


def test_killed_plugin(fakes: Fakes) -> None:
    fakes.plugin("one", "#!/bin/sh\nkill -KILL $$\n")
    with pytest.raises(CniError, match="netplugin failed with no error message: signal: killed"):
        fakes.runtime.add(network("one"), C1, undo=False)


def test_stderr_is_passed_on(fakes: Fakes) -> None:
    said: list[tuple[str, str]] = []
    fakes.plugin("one")
    fakes.answer("one", "ADD", json.dumps(result("1.1.0")), err="a word\n")
    runtime = Runtime(
        [str(fakes.directory)],
        str(fakes.cache),
        on_stderr=lambda plugin, text: said.append((plugin, text)),
    )
    runtime.add(network("one"), C1)
    assert said == [("one", "a word\n")]


# ---- DEL -----------------------------------------------------------------------------------------


def test_delete_runs_every_plugin_and_keeps_the_entry_for_a_retry(chain: Fakes) -> None:
    net = network("one", "two", "three")
    chain.runtime.add(net, C1)
    chain.fail("three", "DEL", "no daemon", code=11)
    chain.fail("two", "DEL", "busy", code=5)
    with pytest.raises(CniError) as raised:
        chain.runtime.delete(net, C1)
    assert raised.value.code == 11
    assert str(raised.value) == (
        'plugin type="three" name="net" failed (delete): no daemon; '
        'plugin type="two" name="net" failed (delete): busy'
    )
    assert chain.order("DEL") == [("DEL", "three"), ("DEL", "two"), ("DEL", "one")]
    assert len(chain.cached()) == 1
    for name in ("two", "three"):
        chain.answer(name, "DEL")
    chain.runtime.delete(net, C1)
    assert chain.cached() == []
    assert all("prevResult" in call.config for call in chain.calls("DEL"))


def test_delete_goes_on_past_a_missing_executable(chain: Fakes) -> None:
    net = network("one", "two")
    chain.runtime.add(net, C1)
    (chain.directory / "two").unlink()
    with pytest.raises(CniError, match='failed to find plugin "two"'):
        chain.runtime.delete(net, C1)
    assert chain.order("DEL") == [("DEL", "one")]
    assert len(chain.cached()) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"kind":"cniCacheV9"}',
        b'{"kind":"cniCacheV1"}',
        b"\0" * 512,
    ],
)
def test_a_torn_entry_does_not_block_delete(chain: Fakes, content: bytes) -> None:
    entry = chain.cache / "results" / "net-c1-eth0"
    chain.runtime.add(network("one"), C1)
    entry.write_bytes(content)
    with pytest.raises(CniError) as raised:
        chain.runtime.check(network("one"), C1)
    assert raised.value.code == UNKNOWN_CONTAINER
    chain.runtime.delete(network("one"), C1)
    assert "prevResult" not in chain.calls("DEL")[0].config
    assert not entry.exists()


def test_delete_of_what_was_never_added(chain: Fakes) -> None:
    chain.runtime.delete(network("one"), Attachment("c9"))
    assert chain.order() == [("DEL", "one")]


# ---- CHECK ---------------------------------------------------------------------------------------


def test_check_stops_at_the_first_objection(chain: Fakes) -> None:
    net = network("one", "two", "three")
    chain.runtime.add(net, C1)
    chain.fail("two", "CHECK", "eth0 is gone", code=105)
    with pytest.raises(CniError) as raised:
        chain.runtime.check(net, C1)
    assert str(raised.value) == 'plugin type="two" name="net" failed (check): eth0 is gone'
    assert raised.value.code == 105
    assert chain.order("CHECK") == [("CHECK", "one"), ("CHECK", "two")]
    # Every plugin sees the result of the whole chain.
    addresses = {c.config["prevResult"]["ips"][0]["address"] for c in chain.calls("CHECK")}
    assert addresses == {"10.1.2.3/24"}


def test_check_can_be_disabled(chain: Fakes) -> None:
    chain.runtime.check(network("one", disableCheck=True), C1)
    assert chain.calls() == []


def test_check_needs_a_result(chain: Fakes) -> None:
    with pytest.raises(CniError, match="no result of an ADD") as raised:
        chain.runtime.check(network("one"), C1)
    assert raised.value.code == UNKNOWN_CONTAINER


# ---- GC and STATUS -------------------------------------------------------------------------------


def test_gc_deletes_stale_entries_and_then_asks_every_plugin(chain: Fakes) -> None:
    net = network("one", "two", version="1.1.0")
    other = network("one", name="other")
    for name in ("c1", "c2", "c3"):
        chain.runtime.add(net, Attachment(name, f"/run/netns/{name}", args=(("N", name),)))
    chain.runtime.add(other, Attachment("c2", "/run/netns/c2", "eth1"))
    before = len(chain.calls())
    chain.runtime.gc(net, [AttachmentKey("c9", "eth7"), AttachmentKey("c1", "eth0")])
    calls = chain.calls()[before:]
    assert [(c.command, c.type, c.env["CNI_CONTAINERID"], c.env["CNI_ARGS"]) for c in calls] == [
        ("DEL", "two", "c2", "N=c2"),
        ("DEL", "one", "c2", "N=c2"),
        ("DEL", "two", "c3", "N=c3"),
        ("DEL", "one", "c3", "N=c3"),
        ("GC", "one", "", ""),
        ("GC", "two", "", ""),
    ]
    listed = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c9", "ifname": "eth7"}]
    for call in calls[-2:]:
        assert call.stdin.decode() == json.dumps(
            {
                "cni.dev/attachments": listed,
                "cni.dev/valid-attachments": listed,
                "cniVersion": "1.1.0",
                "name": "net",
                "type": call.type,
            },
            separators=(",", ":"),
        )
        assert call.cni == {
            "CNI_COMMAND": "GC",
            "CNI_CONTAINERID": "",
            "CNI_NETNS": "",
            "CNI_IFNAME": "",
            "CNI_ARGS": "",
            "CNI_PATH": str(chain.directory),
        }
    assert [(e.network, e.container_id) for e in chain.cached()] == [("net", "c1"), ("other", "c2")]


def test_gc_of_everything_sends_null(chain: Fakes) -> None:
    chain.runtime.gc(network("one"), [])
    config = chain.calls()[0].config
    assert config["cni.dev/valid-attachments"] is config["cni.dev/attachments"] is None


def test_gc_before_1_1_deletes_stale_entries_only(chain: Fakes) -> None:
    net = network("one", version="1.0.0")
    chain.answer("one", "ADD", result("1.0.0"))
    chain.runtime.add(net, C1)
    chain.runtime.gc(net, [])
    assert chain.order() == [("ADD", "one"), ("DEL", "one")]


def test_gc_can_be_disabled(chain: Fakes) -> None:
    chain.runtime.add(network("one"), C1)
    chain.runtime.gc(network("one", disableGC="TRUE"), [])
    assert chain.order() == [("ADD", "one")]


def test_gc_collects_every_failure(chain: Fakes) -> None:
    net = network("one", "two")
    chain.runtime.add(net, C1)
    chain.fail("two", "DEL", "busy")
    chain.fail("one", "GC", "torn")
    with pytest.raises(CniError) as raised:
        chain.runtime.gc(net, [])
    assert raised.value.msg == (
        'failed to delete stale attachment c1 eth0: plugin type="two" name="net" failed (delete): '
        'busy; plugin type="one" name="net" failed (gc): torn'
    )
    assert chain.order("GC") == [("GC", "one"), ("GC", "two")]
    assert len(chain.cached()) == 1


def test_gc_does_not_touch_the_namespace_of_a_newer_container(chain: Fakes) -> None:
    """A path like /proc/42/ns/net comes back, and then eth0 in it is somebody else's."""
    net = network("one")
    for name in ("old", "new"):
        chain.runtime.add(net, Attachment(name, "/proc/42/ns/net"))
    chain.runtime.add(net, Attachment("gone", "/proc/41/ns/net"))
    chain.runtime.gc(net, [AttachmentKey("new", "eth0")])
    deleted = {c.env["CNI_CONTAINERID"]: c.env["CNI_NETNS"] for c in chain.calls("DEL")}
    assert deleted == {"old": "", "gone": "/proc/41/ns/net"}


def test_status_asks_in_order_and_raises_the_first_refusal(chain: Fakes) -> None:
    chain.fail("two", "STATUS", "no daemon", code=NOT_AVAILABLE)
    with pytest.raises(CniError) as raised:
        chain.runtime.status(network("one", "two", "three"))
    assert raised.value.code == NOT_AVAILABLE
    assert str(raised.value) == 'plugin type="two" name="net" failed (status): no daemon'
    assert chain.order() == [("STATUS", "one"), ("STATUS", "two")]
    call = chain.calls()[0]
    assert call.stdin == b'{"cniVersion":"1.1.0","name":"net","type":"one"}'
    assert call.cni == {
        "CNI_COMMAND": "STATUS",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_IFNAME": "",
        "CNI_ARGS": "",
        "CNI_PATH": str(chain.directory),
    }


@pytest.mark.parametrize("version", SPEC_VERSIONS[:-1])
def test_status_before_1_1_asks_nobody(chain: Fakes, version: str) -> None:
    chain.runtime.status(network("one", version=version))
    assert chain.calls() == []


# ---- VERSION and validation ----------------------------------------------------------------------


def test_validation_names_every_plugin_that_does_not_fit(chain: Fakes) -> None:
    chain.answer("two", "VERSION", '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}')
    net = network("one", "two", "absent", {"type": "one", "capabilities": {"mac": True}})
    with pytest.raises(CniError) as raised:
        chain.runtime.validate(net)
    assert 'plugin two does not support config version "1.1.0"' in raised.value.msg
    assert 'failed (version): failed to find plugin "absent"' in raised.value.msg
    assert raised.value.code == INCOMPATIBLE_VERSION
    assert chain.order() == [("VERSION", "one"), ("VERSION", "two")]


def test_versions_of_plugins_of_all_ages(fakes: Fakes) -> None:
    for name in ("first", "second", "broken"):
        fakes.plugin(name)
    fakes.fail("first", "VERSION", "unknown CNI_COMMAND: VERSION", code=4)
    fakes.answer("second", "VERSION", '{"cniVersion":"0.2.0"}')
    fakes.answer("broken", "VERSION", '{"cniVersion":"1.0.0"}')
    assert fakes.runtime.versions("first") == ("0.1.0",)
    assert fakes.runtime.versions("second") == ("0.1.0", "0.2.0")
    with pytest.raises(CniError, match="supportedVersions"):
        fakes.runtime.versions("broken")


def test_an_executable_that_cannot_be_started(fakes: Fakes, tmp_path: Path) -> None:
    fakes.plugin("one", "#!/no/such/interpreter\n")
    with pytest.raises(CniError, match="cannot be started") as raised:
        fakes.runtime.add(network("one"), C1, undo=False)
    assert raised.value.code == DELEGATE_FAILED
