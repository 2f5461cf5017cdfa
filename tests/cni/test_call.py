from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from cni import wire
from cni.call import Attachment, Call, read_call
from cni.errors import (
    DECODE_FAILURE,
    INCOMPATIBLE_VERSION,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    SYSTEM,
    CniError,
)
from cni.record import replace
from tests.cni.calls import Environment, config, environment
from tests.cni.door import plugin
from tests.cni.samples import DUAL_STACK
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version, versions_since

ATTACHMENT_VERBS = ("ADD", "DEL", "CHECK")
GC: dict[str, Any] = {"cni.dev/valid-attachments": []}


def refused(environ: Environment, stdin: bytes, code: int) -> str:
    """The message of the error that a call must be refused with."""
    with pytest.raises(CniError) as raised:
        read_call(environ, stdin)
    assert raised.value.code == code, raised.value.msg
    return raised.value.msg


# ---- a good call --------------------------------------------------------------------------------


def test_a_call_is_frozen_as_it_came(namespace: Namespace) -> None:
    environ = environment("ADD", namespace, CNI_ARGS="IP=10.1.0.5", OTHER="x")
    stdin = config("1.0.0", mtu=1400)
    call = read_call(environ, stdin)
    assert (call.command, call.network, call.version) == ("ADD", "net", "1.0.0")
    assert (call.container_id, call.ifname, call.netns) == ("c1", "eth0", str(namespace))
    assert call.args == {"IP": "10.1.0.5"}
    assert call.path == ("/opt/cni/bin", "/usr/lib/cni")
    assert call.stdin == stdin
    assert call.environ == environ
    assert call.config.integer("mtu", 0, 0, 9000) == 1400
    assert call.prev_result is None
    assert call.attachment == Attachment("c1", "eth0")
    assert call.owner == "net/c1/eth0"


def test_the_delete_of_a_call_differs_in_its_verb_alone(namespace: Namespace) -> None:
    call = read_call(environment("ADD", namespace), config())
    undo = call.as_delete()
    assert undo.command == undo.environ["CNI_COMMAND"] == "DEL"
    assert call.environ["CNI_COMMAND"] == "ADD"
    assert (undo.owner, undo.netns, undo.stdin) == (call.owner, call.netns, call.stdin)


def test_an_unstated_version_is_the_first() -> None:
    for stdin in (b'{"name":"net"}', b'{"name":"net","cniVersion":""}'):
        assert read_call(environment("DEL"), stdin).version == "0.1.0"


def test_empty_directories_of_the_path_are_no_directories() -> None:
    call = read_call(environment("DEL", CNI_PATH=":/a::/b:"), config())
    assert call.path == ("/a", "/b")


@pytest.mark.parametrize("command", ["STATUS", "GC"])
def test_a_verb_without_attachment_looks_at_none(command: str) -> None:
    """Runtimes set these variables empty; whatever is in them is none of the verb's business."""
    for rest in ("", "../../x"):
        environ = environment(command, rest, CNI_CONTAINERID=rest, CNI_IFNAME=rest, CNI_ARGS=rest)
        call = read_call(environ, config(**GC))
        assert (call.container_id, call.ifname, call.netns) == ("", "", "")
        assert call.path == ("/opt/cni/bin", "/usr/lib/cni")


# ---- variables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "add", "ADD ", "GET", "../../x", "x" * 10_000, "\udcff"])
def test_an_unknown_verb(command: str) -> None:
    message = refused(environment("ADD", CNI_COMMAND=command), config(), INVALID_ENVIRONMENT)
    assert message.startswith("CNI_COMMAND: found ")
    assert message.endswith("expected one of ADD, DEL, CHECK, GC, STATUS, VERSION")
    assert len(message) < 150


NEEDED = [
    *((verb, name) for verb in ATTACHMENT_VERBS for name in ("CNI_CONTAINERID", "CNI_IFNAME")),
    *((verb, "CNI_NETNS") for verb in ("ADD", "CHECK")),
    *((verb, "CNI_PATH") for verb in ("ADD", "CHECK", "GC", "STATUS")),
]


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize(("command", "name"), NEEDED)
def test_a_missing_variable_is_named(
    command: str, name: str, empty: str | None, namespace: Namespace
) -> None:
    environ = environment(command, namespace) | ({name: ""} if empty is not None else {})
    if empty is None:
        del environ[name]
    message = refused(environ, config(**GC), INVALID_ENVIRONMENT)
    assert message == f"{command} needs {name}, missing in the environment"


def test_all_missing_variables_are_named_at_once() -> None:
    message = refused({"CNI_COMMAND": "ADD"}, config(), INVALID_ENVIRONMENT)
    assert message.startswith("ADD needs CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS, CNI_PATH,")


@pytest.mark.parametrize("name", ["CNI_NETNS", "CNI_PATH", "CNI_ARGS"])
def test_a_delete_does_without(name: str, namespace: Namespace) -> None:
    environ = environment("DEL", namespace)
    del environ[name]
    assert read_call(environ, config()).attachment == Attachment("c1", "eth0")


@pytest.mark.parametrize("command", ATTACHMENT_VERBS)
@pytest.mark.parametrize("name", ["../../x", "a/b", ".hidden", "a b", "x" * 201, "\udcff", "-rf"])
def test_a_hostile_container_id(command: str, name: str, namespace: Namespace) -> None:
    environ = environment(command, namespace, CNI_CONTAINERID=name)
    message = refused(environ, config(), INVALID_ENVIRONMENT)
    assert message.startswith("CNI_CONTAINERID: ")
    message.encode()


@pytest.mark.parametrize("command", ATTACHMENT_VERBS)
@pytest.mark.parametrize(
    "name", ["../../x", "sixteen-letters-", "a:b", "a b", "..", "eth%d", "\udcff", "a\n"]
)
def test_a_hostile_interface_name(command: str, name: str, namespace: Namespace) -> None:
    environ = environment(command, namespace, CNI_IFNAME=name)
    message = refused(environ, config(), INVALID_ENVIRONMENT)
    assert message.startswith("CNI_IFNAME: ")
    message.encode()


def test_the_environment_is_judged_before_the_config(namespace: Namespace) -> None:
    """As in the reference: a runtime that calls wrongly learns so whatever it sends."""
    environ = environment("ADD", namespace, CNI_IFNAME="a/b")
    assert "CNI_IFNAME" in refused(environ, b"garbage", INVALID_ENVIRONMENT)


# ---- the network namespace ----------------------------------------------------------------------

# Paths that are no network namespace, below a directory with one of each, and what is said.
NO_NAMESPACE = {
    "missing": "No such file or directory",
    "file/below": "Not a directory",
    "loop": "Too many levels of symbolic links",
    "x" * 5000: "File name too long",
    "file": "is no namespace",
    "directory": "is no namespace",
    "fifo": "is no namespace",
    "device": "is no namespace",
    "dangling": "No such file or directory",
    "another-kind": "is a namespace of another kind",
    "../../x": "No such file or directory",
    "\udcff": "No such file or directory",
    "with\0NUL": "null",
}


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """The directory with one of each."""
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, target in {
        "loop": "loop",
        "device": "/dev/null",
        "dangling": "nothing",
        "another-kind": "/proc/self/ns/uts",
    }.items():
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize("name", NO_NAMESPACE)
def test_what_is_no_network_namespace(command: str, name: str, zoo: Path) -> None:
    message = refused(environment(command, f"{zoo}/{name}"), config(), INVALID_ENVIRONMENT)
    assert message.startswith("CNI_NETNS: ")
    assert NO_NAMESPACE[name] in message
    message.encode()
    assert len(message) < 300


@pytest.mark.parametrize("name", NO_NAMESPACE)
def test_to_a_delete_such_a_namespace_is_gone(name: str, zoo: Path) -> None:
    assert read_call(environment("DEL", f"{zoo}/{name}"), config()).netns == ""


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize("name", NO_NAMESPACE)
def test_a_plugin_that_enters_none_takes_any_path(command: str, name: str, zoo: Path) -> None:
    path = f"{zoo}/{name}"
    stays = replace(plugin(), enters=False)
    assert read_call(environment(command, path), config(), plugin=stays).netns == path
    assert not read_call(environment("DEL", path), config(), plugin=stays).netns


@pytest.mark.parametrize("command", ATTACHMENT_VERBS)
def test_not_even_such_a_plugin_takes_its_own(command: str) -> None:
    environ = environment(command, "/proc/self/ns/net")
    with pytest.raises(CniError, match="is the plugin's own network namespace") as caught:
        read_call(environ, config(), plugin=replace(plugin(), enters=False))
    assert caught.value.code == INVALID_ENVIRONMENT


@pytest.mark.parametrize("command", ATTACHMENT_VERBS)
@pytest.mark.parametrize("path", ["/proc/self/ns/net", "/proc/thread-self/ns/net"])
def test_the_plugins_own_namespace_is_refused(command: str, path: str) -> None:
    message = refused(environment(command, path), config(), INVALID_ENVIRONMENT)
    assert f"{path!r} is the plugin's own network namespace" in message


@pytest.mark.parametrize("word", ["1", "true", "TRUE", "True"])
def test_the_own_namespace_may_be_allowed(word: str) -> None:
    environ = environment("ADD", "/proc/self/ns/net", CNI_NETNS_OVERRIDE=word)
    assert read_call(environ, config()).netns == "/proc/self/ns/net"


@pytest.mark.parametrize("word", ["", "0", "false", "yes", "2"])
def test_other_words_do_not_allow_it(word: str) -> None:
    environ = environment("ADD", "/proc/self/ns/net", CNI_NETNS_OVERRIDE=word)
    refused(environ, config(), INVALID_ENVIRONMENT)


def test_the_override_allows_nothing_else(tmp_path: Path) -> None:
    environ = environment("ADD", tmp_path, CNI_NETNS_OVERRIDE="1")
    assert "is no namespace" in refused(environ, config(), INVALID_ENVIRONMENT)


def test_a_link_to_a_namespace_is_one(namespace: Namespace, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(namespace)
    assert read_call(environment("ADD", link), config()).netns == str(link)


@pytest.mark.parametrize("command", ATTACHMENT_VERBS)
def test_out_of_descriptors_a_namespace_is_not_gone(command: str, namespace: Namespace) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        message = refused(environment(command, namespace), config(), SYSTEM)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in message


# ---- CNI_ARGS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ATTACHMENT_VERBS)
@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("", {}),
        (";", {}),
        ("IP=10.1.0.5", {"IP": "10.1.0.5"}),
        (";;IP=10.1.0.5;", {"IP": "10.1.0.5"}),
        ("IP=1;IP=2;MAC=", {"IP": "2", "MAC": ""}),
        ("IgnoreUnknown=1;A=B=C;D=", {"IgnoreUnknown": "1", "A": "B=C", "D": ""}),
        ("X=1;IgnoreUnknown=TRUE", {"X": "1", "IgnoreUnknown": "TRUE"}),
        ("IgnoreUnknown=0;IP=1", {"IgnoreUnknown": "0", "IP": "1"}),
        ("IgnoreUnknown=false;IgnoreUnknown=true;X=", {"IgnoreUnknown": "true", "X": ""}),
        (
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=",
            {
                "IgnoreUnknown": "1",
                "K8S_POD_NAMESPACE": "default",
                "K8S_POD_NAME": "web-0",
                "K8S_POD_UID": "",
            },
        ),
    ],
)
def test_args_are_read(command: str, text: str, args: dict[str, str], namespace: Namespace) -> None:
    assert read_call(environment(command, namespace, CNI_ARGS=text), config()).args == args


BAD_ARGS = {
    "IP": "found 'IP', expected KEY=VALUE",
    "IgnoreUnknown=1;IP": "found 'IP', expected KEY=VALUE",
    "X=1": "unknown key 'X'; add IgnoreUnknown=1",
    "ip=10.1.0.5": "unknown key 'ip'",
    "=1": "unknown key ''",
    "IgnoreUnknown=0;X=1": "unknown key 'X'",
    "ignoreunknown=1;X=1": "unknown key",
    "IgnoreUnknown=yes": "IgnoreUnknown is 'yes', expected 1, true, 0 or false",
    "IgnoreUnknown=": "IgnoreUnknown is ''",
    "x" * 10_000: "expected KEY=VALUE",
    "\udcff=1": "unknown key",
}


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize("text", BAD_ARGS)
def test_bad_args(command: str, text: str, namespace: Namespace) -> None:
    environ = environment(command, namespace, CNI_ARGS=text)
    message = refused(environ, config(), INVALID_ENVIRONMENT)
    assert message.startswith("CNI_ARGS: ")
    assert BAD_ARGS[text] in message
    message.encode()
    assert len(message) < 200


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize("text", BAD_ARGS)
def test_nor_does_a_plugin_that_is_not_strict(
    command: str, text: str, namespace: Namespace
) -> None:
    environ = environment(command, namespace, CNI_ARGS=f"{text};MAC=02:00:5e:10:00:01")
    found = read_call(environ, config(), plugin=plugin())
    assert found.mac_argument() == "02:00:5e:10:00:01"
    with pytest.raises(CniError, match=r"^CNI_ARGS: "):
        read_call(environ, config(), plugin=replace(plugin(), strict_args=True))


@pytest.mark.parametrize("text", BAD_ARGS)
def test_a_delete_does_not_mind_bad_args(text: str, namespace: Namespace) -> None:
    read_call(environment("DEL", namespace, CNI_ARGS=text), config())


# ---- the config ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stdin", [b"", b"  ", b"garbage", b"[]", b"{", b'{"name":"\xff"}'])
@pytest.mark.parametrize("command", ["DEL", "GC", "STATUS"])
def test_what_is_no_config(command: str, stdin: bytes) -> None:
    message = refused(environment(command), stdin, DECODE_FAILURE)
    assert message.startswith("the network config on stdin")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": None}, "it is empty"),
        ({"name": ""}, "it is empty"),
        ({"name": 5}, "found 5, expected a string"),
        ({"name": "../../x"}, "found '../../x', expected letters"),
        ({"name": "x" * 201}, "it has 201 characters"),
        ({"cniVersion": 1}, "found 1, expected a string"),
        ({"cniVersion": {}}, "found {}, expected a string"),
    ],
)
def test_a_bad_key_is_named(more: dict[str, Any], words: str) -> None:
    message = refused(environment("DEL"), config(**more), INVALID_CONFIG)
    assert f'key "{next(iter(more))}"' in message
    assert words in message


@pytest.mark.parametrize("version", ["0.1", "2.0.0", "1.1.0 ", "latest"])
def test_a_version_we_do_not_speak(version: str) -> None:
    message = refused(environment("DEL"), config(version), INCOMPATIBLE_VERSION)
    assert f'found "{version}"' in message


FIRST = {"ADD": "0.1.0", "DEL": "0.1.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


@each_version
@pytest.mark.parametrize("command", FIRST)
def test_a_verb_needs_its_version(command: str, version: str, namespace: Namespace) -> None:
    environ, stdin = environment(command, namespace), config(version, **GC)
    if version in versions_since(FIRST[command]):
        assert read_call(environ, stdin).version == version
    else:
        refused(environ, stdin, INCOMPATIBLE_VERSION)


# ---- the previous result ------------------------------------------------------------------------


@each_version
def test_a_previous_result_is_read_in_the_configs_version(
    version: str, namespace: Namespace
) -> None:
    document = wire.encode(DUAL_STACK, version)
    del document["cniVersion"]
    call = read_call(environment("ADD", namespace), config(version, prevResult=document))
    assert call.prev_result is not None
    assert call.prev_result.ips[0].address == DUAL_STACK.ips[0].address


def test_a_previous_result_may_name_its_own_version(namespace: Namespace) -> None:
    stdin = config("1.1.0", prevResult=wire.encode(DUAL_STACK, "0.2.0"))
    call = read_call(environment("CHECK", namespace), stdin)
    assert call.prev_result is not None
    assert len(call.prev_result.ips) == 2


def test_null_is_no_previous_result(namespace: Namespace) -> None:
    stdin = b'{"cniVersion":"1.0.0","name":"net","prevResult":null}'
    assert read_call(environment("ADD", namespace), stdin).prev_result is None


BAD_RESULTS: dict[str, Any] = {
    'key "prevResult": found 5': 5,
    'key "prevResult": found []': [],
    'key "prevResult.ips[0].address"': {"ips": [{"address": "x"}]},
    'key "prevResult.interfaces[0].name"': {"interfaces": [{}]},
}


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize("words", BAD_RESULTS)
def test_a_bad_previous_result_is_named(command: str, words: str, namespace: Namespace) -> None:
    stdin = config(prevResult=BAD_RESULTS[words])
    assert words in refused(environment(command, namespace), stdin, INVALID_CONFIG)


def test_a_previous_result_of_an_unknown_version_is_told_apart_from_the_configs(
    namespace: Namespace,
) -> None:
    stdin = config(prevResult={"cniVersion": "9.9.9"})
    said = refused(environment("CHECK", namespace), stdin, INCOMPATIBLE_VERSION)
    assert 'key "prevResult.cniVersion": found "9.9.9"' in said


@pytest.mark.parametrize("previous", [*BAD_RESULTS.values(), {"cniVersion": "9.9.9"}])
def test_a_delete_does_without_a_previous_result_it_cannot_read(previous: object) -> None:
    assert read_call(environment("DEL"), config(prevResult=previous)).prev_result is None


def test_gc_and_status_have_no_previous_result() -> None:
    for command in ("GC", "STATUS"):
        assert read_call(environment(command), config(prevResult=5, **GC)).prev_result is None


# ---- valid attachments --------------------------------------------------------------------------

ONE, TWO = {"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "net1"}
NEW, OLD = "cni.dev/valid-attachments", "cni.dev/attachments"


def collect(**keys: Any) -> Call:
    stdin = json.dumps({"cniVersion": "1.1.0", "name": "net", **keys}).encode()
    return read_call(environment("GC"), stdin)


@pytest.mark.parametrize(
    ("keys", "valid"),
    [
        ({NEW: [ONE, TWO]}, {("a", "eth0"), ("b", "net1")}),
        ({OLD: [ONE]}, {("a", "eth0")}),
        ({NEW: [ONE], OLD: [ONE]}, {("a", "eth0")}),
        ({NEW: [ONE, ONE, {**ONE, "extra": 1}]}, {("a", "eth0")}),
        ({NEW: []}, set()),
        ({NEW: None}, set()),
        ({NEW: None, OLD: None}, set()),
        # What is valid by either key is never collected.
        ({NEW: [ONE], OLD: [TWO]}, {("a", "eth0"), ("b", "net1")}),
        ({NEW: None, OLD: [TWO]}, {("b", "net1")}),
        ({NEW: [], OLD: [TWO]}, {("b", "net1")}),
    ],
)
def test_the_attachments_to_keep(keys: dict[str, Any], valid: set[tuple[str, str]]) -> None:
    assert collect(**keys).valid_attachments == {Attachment(*pair) for pair in valid}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, f'key "{NEW}": it is missing, expected a list'),
        ({NEW: {}}, f'key "{NEW}": found {{}}, expected a list'),
        ({NEW: "all"}, f'key "{NEW}": found "all"'),
        ({NEW: [ONE, "x"]}, f'key "{NEW}[1]": found "x", expected an object'),
        ({NEW: [None]}, f'key "{NEW}[0]": found null'),
        ({NEW: [{"containerID": "a"}]}, f'key "{NEW}[0].ifname": it is missing'),
        ({NEW: [{"containerID": "", "ifname": "eth0"}]}, f'key "{NEW}[0].containerID": found ""'),
        ({NEW: [ONE], OLD: [{}]}, f'key "{OLD}[0].containerID"'),
        ({NEW: [ONE, {**ONE, "containerID": "a/b"}]}, f"key \"{NEW}[1].containerID\": found 'a/b'"),
        ({NEW: [{**ONE, "ifname": "../x"}]}, f"key \"{NEW}[0].ifname\": found '../x'"),
    ],
)
def test_a_list_that_cannot_be_trusted_collects_nothing(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(CniError) as raised:
        collect(**keys)
    assert raised.value.code == INVALID_CONFIG
    assert words in raised.value.msg


def test_very_many_attachments_are_read() -> None:
    many = [{"containerID": f"{number:064}", "ifname": "eth0"} for number in range(20_000)]
    assert len(collect(**{NEW: many}).valid_attachments) == 20_000
