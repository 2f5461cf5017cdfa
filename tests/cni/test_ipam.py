"""Delegation: called as a function or run as a process, a delegate sees and tells the same."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni import ipam
from cni.bundle import Bundle
from cni.call import Call, read_call
from cni.errors import (
    DELEGATE_FAILED,
    INTERNAL,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    NOT_AVAILABLE,
    SYSTEM,
    CniError,
)
from cni.record import replace
from cni.result import Result
from cni.skel import Plugin
from tests.cni import delegate
from tests.cni.calls import environment
from tests.cni.scripts import script
from tests.kit.namespace import Namespace
from tests.kit.versions import SPEC_VERSIONS

SOURCES = Path(__file__).parents[2]
WAYS = ("in-process", "executed")


class Caller:
    """A plugin that delegates: `call` makes its call of a verb."""

    def __init__(self, directory: Path, namespace: Namespace, way: str) -> None:
        self.log = directory / "log"
        self.bin = directory / "bin"
        self.namespace = namespace
        self.bin.mkdir()
        body = f"exec {sys.executable} -IS {delegate.__file__} {SOURCES}"
        self.executable = script(self.bin / "delegate", body)
        ours = self.executable if way == "in-process" else "/nowhere/pycni"
        self.bundle = Bundle({"delegate": lambda: delegate.PLUGIN}, ours)

    def call(self, command: str, version: str = "1.1.0", **section: Any) -> Call:
        document = {
            "cniVersion": version,
            "name": "net",
            "type": "caller",
            "ipam": {"type": "delegate", "log": str(self.log), **section},
            "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}],
        }
        path = f"/nowhere:{self.bin}"
        environ = environment(command, self.namespace, CNI_PATH=path, CNI_ARGS="IP=10.1.0.5")
        if command in ("GC", "STATUS"):
            environ |= {"CNI_CONTAINERID": "", "CNI_IFNAME": "", "CNI_NETNS": "", "CNI_ARGS": ""}
        return read_call(environ, json.dumps(document).encode(), self.bundle)

    def seen(self) -> list[dict[str, Any]]:
        """What the delegate saw, call by call."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def commands(self) -> list[str]:
        return [one["command"] for one in self.seen()]


@pytest.fixture
def caller(request: pytest.FixtureRequest, tmp_path: Path, namespace: Namespace) -> Caller:
    way = getattr(request, "param", "executed")
    assert isinstance(way, str)
    return Caller(tmp_path, namespace, way)


both_ways = pytest.mark.parametrize("caller", WAYS, indirect=True)
VERBS: dict[str, Callable[[Call, str], object]] = {
    "ADD": ipam.add,
    "DEL": ipam.delete,
    "CHECK": ipam.check,
    "GC": ipam.gc,
    "STATUS": ipam.status,
}


@both_ways
@pytest.mark.parametrize("command", VERBS)
def test_a_delegate_sees_what_its_caller_was_given(command: str, caller: Caller) -> None:
    call = caller.call(command)
    VERBS[command](call, "delegate")
    attached = command in ("ADD", "DEL", "CHECK")
    assert caller.seen() == [
        {
            "command": command,
            "owner": "net/c1/eth0" if attached else "net//",
            "netns": str(caller.namespace) if attached else "",
            "args": {"IP": "10.1.0.5"} if attached else {},
            "path": ["/nowhere", str(caller.bin)],
            "stdin": call.stdin.decode(),
            "environ": dict(sorted(call.environ.items())),
            "previous": False,
            "valid": ["a"] if command == "GC" else [],
        }
    ]


@both_ways
@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_its_result_comes_back(caller: Caller, version: str) -> None:
    assert ipam.add(caller.call("ADD", version), "delegate") == delegate.RESULT


@both_ways
@pytest.mark.parametrize("command", VERBS)
def test_its_error_comes_back(command: str, caller: Caller) -> None:
    with pytest.raises(CniError) as raised:
        VERBS[command](caller.call(command, fail={command: 50}), "delegate")
    error = raised.value
    assert (error.code, error.details) == (50, "and why")
    assert error.msg == 'delegate on network "net": as told'


@both_ways
def test_a_refusal_of_the_kernel_comes_back(caller: Caller) -> None:
    with pytest.raises(CniError) as raised:
        ipam.delete(caller.call("DEL", fail={"DEL": "kernel"}), "delegate")
    assert raised.value.code == SYSTEM
    assert raised.value.msg == 'delegate on network "net": the disk is full'


@both_ways
def test_an_allocation_is_withdrawn_by_the_delete_of_the_same_call(caller: Caller) -> None:
    call = caller.call("ADD")
    ipam.add(call, "delegate")
    ipam.withdraw(call, "delegate")
    add, delete = caller.seen()
    assert (add["command"], delete["command"]) == ("ADD", "DEL")
    assert delete["environ"] == {**add["environ"], "CNI_COMMAND": "DEL"}
    assert (add["stdin"], add["owner"]) == (delete["stdin"], delete["owner"])


@both_ways
def test_a_delegate_that_is_missing(caller: Caller) -> None:
    os.unlink(caller.executable)
    for command, verb in VERBS.items():
        with pytest.raises(CniError, match='failed to find plugin "delegate" in path') as raised:
            verb(caller.call(command), "delegate")
        expected = NOT_AVAILABLE if command == "STATUS" else INVALID_ENVIRONMENT
        assert raised.value.code == expected
    assert caller.seen() == []


@both_ways
@pytest.mark.parametrize("name", ["../bin/delegate", "a b", "/bin/true"])
def test_a_delegate_that_is_no_name(caller: Caller, name: str) -> None:
    with pytest.raises(CniError, match="plugin type") as raised:
        ipam.add(caller.call("ADD"), name)
    assert raised.value.code == INVALID_CONFIG


def test_the_name_is_in_the_section() -> None:
    def named(document: object) -> str:
        stdin = json.dumps({"name": "net", "ipam": document}).encode()
        return ipam.configured(read_call(environment("DEL"), stdin))

    assert named({"type": "host-local"}) == "host-local"
    assert named({}) == named(None) == named({"type": ""}) == ""
    for wrong, key in (([], "ipam"), ({"type": 5}, "ipam.type")):
        with pytest.raises(CniError, match=f'key "{key}"') as raised:
            named(wrong)
        assert raised.value.code == INVALID_CONFIG


# ---- where the two ways differ, and why ---------------------------------------------------------


@pytest.mark.parametrize("caller", ["in-process"], indirect=True)
def test_our_own_undoes_a_failed_add_itself(caller: Caller) -> None:
    with pytest.raises(CniError):
        ipam.add(caller.call("ADD", fail={"ADD": 50}), "delegate")
    assert caller.commands() == ["ADD"]


def test_after_a_strangers_failed_add_comes_its_delete(caller: Caller) -> None:
    """SPEC.md, section 4: the upper plugin executes it again with DEL before it fails."""
    with pytest.raises(CniError) as raised:
        ipam.add(caller.call("ADD", fail={"ADD": 50}), "delegate")
    assert raised.value.code == 50
    assert not hasattr(raised.value, "__notes__")
    assert caller.commands() == ["ADD", "DEL"]


def test_a_delete_that_fails_as_well_is_a_note(caller: Caller) -> None:
    with pytest.raises(CniError) as raised:
        ipam.add(caller.call("ADD", fail={"ADD": 50, "DEL": 11}), "delegate")
    assert raised.value.code == 50
    assert raised.value.__notes__ == ['while undoing: delegate on network "net": as told; and why']


def test_a_defect_of_a_process_is_an_error_document(caller: Caller) -> None:
    with pytest.raises(CniError) as raised:
        ipam.delete(caller.call("DEL", fail={"DEL": "defect"}), "delegate")
    assert raised.value.code == INTERNAL


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("exit 0", DELEGATE_FAILED, "IPAM plugin delegate broke the protocol: its result is empty"),
        ("echo garbage", DELEGATE_FAILED, "broke the protocol: its result is not JSON"),
        ("echo '[]'", DELEGATE_FAILED, "its result: found [], expected a JSON object"),
        ("""echo '{"cniVersion":"9.0.0"}'""", DELEGATE_FAILED, 'found "9.0.0"'),
        ("""echo '{"ips":[{}]}'""", DELEGATE_FAILED, 'key "ips[0].address": it is missing'),
        ("""echo '{"code":"x"}'""", DELEGATE_FAILED, 'key "code": found "x"'),
        ("""echo '{"code":11,"msg":"wait"}'""", 11, "wait"),
        ("""echo '{"code":0,"msg":"what"}'""", DELEGATE_FAILED, "what"),
        ("exit 3", DELEGATE_FAILED, "plugin delegate failed with no error message: exit status 3"),
        ("kill -9 $$", DELEGATE_FAILED, "signal 9"),
    ],
)
def test_a_stranger_that_breaks_the_protocol(
    caller: Caller, body: str, code: int, words: str
) -> None:
    script(Path(caller.executable), f'[ "$CNI_COMMAND" = DEL ] && exit 0\n{body}')
    with pytest.raises(CniError) as raised:
        ipam.add(caller.call("ADD"), "delegate")
    assert raised.value.code == code
    assert words in raised.value.msg


def test_a_stranger_may_have_nothing_to_tell(caller: Caller) -> None:
    """What a plugin in Go prints of a result that is nil."""
    script(Path(caller.executable), "echo null")
    assert ipam.add(caller.call("ADD"), "delegate") == Result()


def test_what_a_delete_prints_does_not_matter(caller: Caller) -> None:
    script(Path(caller.executable), "echo garbage")
    ipam.delete(caller.call("DEL"), "delegate")


def test_its_stderr_is_ours(caller: Caller, capfd: pytest.CaptureFixture[str]) -> None:
    script(Path(caller.executable), "printf 'so: \\377\\n' >&2; echo '{}'")
    ipam.add(caller.call("ADD"), "delegate")
    assert capfd.readouterr().err == "so: \ufffd\n"


def test_a_stranger_of_a_known_name_is_executed(caller: Caller) -> None:
    """Our bundle has such a plugin, but what stands on CNI_PATH is another's."""

    def load() -> Plugin:
        raise AssertionError("the bundle's own was called")

    call = replace(caller.call("ADD"), bundle=Bundle({"delegate": load}, sys.executable))
    assert ipam.add(call, "delegate") == delegate.RESULT
    assert caller.commands() == ["ADD"]


def test_without_a_bundle_everybody_is_executed(caller: Caller) -> None:
    assert ipam.add(replace(caller.call("ADD"), bundle=None), "delegate") == delegate.RESULT


@both_ways
@pytest.mark.parametrize("command", VERBS)
def test_a_strict_delegate_of_a_plugin_that_is_not(command: str, caller: Caller) -> None:
    """The delegate refuses a key that it does not know, and its caller passed over."""
    made = caller.call(command)
    call = replace(made, environ={**made.environ, "CNI_ARGS": "FOO=bar"})
    if command not in ("ADD", "CHECK"):
        VERBS[command](call, "delegate")
        return
    with pytest.raises(CniError, match="CNI_ARGS: unknown key 'FOO'") as caught:
        VERBS[command](call, "delegate")
    assert caught.value.code == INVALID_ENVIRONMENT
    assert [one for one in caller.commands() if one != "DEL"] == []
