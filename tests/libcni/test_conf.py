"""Network configurations: what is read, what is refused and in which words."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.errors import DECODE_FAILURE, INCOMPATIBLE_VERSION, INVALID_CONFIG, CniError
from cni.versions import SPEC_VERSIONS
from libcni import (
    Attachment,
    NetworkConfigList,
    NetworkNotFoundError,
    conf_files,
    load_network,
    load_networks,
    network_from_bytes,
    network_from_file,
)
from libcni.gojson import compact, pretty
from libcni.invoke import request
from tests.libcni.fakes import Fakes, result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.jsonvalue import JsonValue


def read(**keys: Any) -> NetworkConfigList:
    document = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}]} | keys
    return network_from_bytes(
        json.dumps({key: value for key, value in document.items() if value != ...}).encode()
    )


def types(network: NetworkConfigList) -> list[str]:
    return [plugin.type for plugin in network.plugins]


# ---- lists ---------------------------------------------------------------------------------------


def test_a_list() -> None:
    network = read(
        plugins=[
            {"type": "bridge", "capabilities": {"mac": True, "ips": False, "none": None}},
            {"Type": "portmap", "Capabilities": {"portMappings": True}},
        ]
    )
    assert (network.name, network.version) == ("net", "1.0.0")
    assert types(network) == ["bridge", "portmap"]
    assert network.capabilities == {"mac", "portMappings"}
    assert (network.disable_check, network.disable_gc) == (False, False)
    assert not network.load_only_inlined_plugins


@pytest.mark.parametrize("value", [True, "true", "True", "TRUE"])
@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("disableCheck", "disable_check"),
        ("disableGC", "disable_gc"),
        ("loadOnlyInlinedPlugins", "load_only_inlined_plugins"),
    ],
)
def test_flags(key: str, field: str, value: object) -> None:
    assert getattr(read(**{key: value}), field) is True
    assert getattr(read(**{key: "False"}), field) is False


@pytest.mark.parametrize(
    ("version", "versions", "chosen"),
    [
        ("1.0.0", ..., "1.0.0"),
        (..., ..., "0.1.0"),
        ("", ..., "0.1.0"),
        ("0.4.0", ["1.0.0", "1.1.0"], "1.1.0"),
        ("1.0.0", ["0.3.1", "0.4.0"], "1.0.0"),
        ("1.0.0", ["1.2.0", "2.0.0"], "1.0.0"),
        ("9.0.0", ["0.3.1", "0.4.0"], "0.4.0"),
        (..., ["1.1.0", "0.4.0", "1.2.0"], "1.1.0"),
        ("0.4.0", [], "0.4.0"),
    ],
)
def test_the_newest_version_that_both_know(version: Any, versions: Any, chosen: str) -> None:
    assert read(cniVersion=version, cniVersions=versions).version == chosen


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_every_spec_version(version: str) -> None:
    assert read(cniVersion=version).version == version


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ({"name": ...}, INVALID_CONFIG, ['"name"', "empty"]),
        ({"name": 7}, INVALID_CONFIG, ['"name"', "7", "a string"]),
        ({"name": "../x"}, INVALID_CONFIG, ['"name"', "../x"]),
        ({"name": "n" * 300}, INVALID_CONFIG, ['"name"', "300"]),
        ({"cniVersion": 1.0}, INVALID_CONFIG, ['"cniVersion"', "1.0"]),
        ({"cniVersion": "2.0.0"}, INCOMPATIBLE_VERSION, ['"cniVersion"', "2.0.0", "1.1.0"]),
        ({"cniVersion": "banana"}, INCOMPATIBLE_VERSION, ['"cniVersion"', "banana"]),
        ({"cniVersions": "1.0.0"}, INVALID_CONFIG, ['"cniVersions"', "a list"]),
        ({"cniVersions": [1]}, INVALID_CONFIG, ['"cniVersions[0]"', "a string"]),
        ({"cniVersions": ["1.0.0", "x.y"]}, INVALID_CONFIG, ['"cniVersions[1]"', "x.y"]),
        ({"cniVersion": ..., "cniVersions": ["7.0.0"]}, INCOMPATIBLE_VERSION, ["7.0.0"]),
        ({"disableCheck": "yes"}, INVALID_CONFIG, ['"disableCheck"', '"yes"']),
        ({"disableGC": 1}, INVALID_CONFIG, ['"disableGC"', "1", "true or false"]),
        ({"plugins": ...}, INVALID_CONFIG, ["no plugin configs found"]),
        ({"plugins": ..., "loadOnlyInlinedPlugins": True}, INVALID_CONFIG, ["no plugin configs"]),
        ({"plugins": []}, INVALID_CONFIG, ['"plugins"', "[]", "at least one"]),
        ({"plugins": None}, INVALID_CONFIG, ['"plugins"', "at least one"]),
        ({"plugins": {}}, INVALID_CONFIG, ['"plugins"', "a list"]),
        ({"plugins": ["bridge"]}, INVALID_CONFIG, ['"plugins[0]"', '"bridge"', "an object"]),
        ({"plugins": [{"type": "a"}, {}]}, INVALID_CONFIG, ['"plugins[1].type"', "missing"]),
        ({"plugins": [{"type": "a/b"}]}, INVALID_CONFIG, ['"plugins[0].type"', "a/b"]),
        (
            {"plugins": [{"type": "a", "capabilities": {"mac": "yes"}}]},
            INVALID_CONFIG,
            ['plugin "a"', '"plugins[0].capabilities.mac"', '"yes"'],
        ),
        (
            {"plugins": [{"type": "a", "capabilities": ["mac"]}]},
            INVALID_CONFIG,
            ['plugin "a"', '"plugins[0].capabilities"', "an object"],
        ),
    ],
)
def test_refusals_name_the_file_and_the_key(
    tmp_path: Path, keys: dict[str, Any], code: int, words: list[str]
) -> None:
    document = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}]} | keys
    path = tmp_path / "10-net.conflist"
    path.write_text(json.dumps({k: v for k, v in document.items() if v != ...}))
    with pytest.raises(CniError) as raised:
        network_from_file(str(path))
    assert raised.value.code == code
    for word in [str(path), *words]:
        assert word in raised.value.msg


@pytest.mark.parametrize(
    "data", [b"", b"  ", b"{", b"[]", b"\xff", b'{"a":NaN}', b"[" * 100_000, b'{"a":' * 990]
)
def test_what_is_no_json_object(data: bytes) -> None:
    with pytest.raises(CniError, match="the network configuration") as raised:
        network_from_bytes(data)
    assert raised.value.code == DECODE_FAILURE


# ---- files and folders ---------------------------------------------------------------------------


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_the_folder_beside_a_list(tmp_path: Path, fakes: Fakes) -> None:
    """`<name>/*.conf`, sorted, after those of the list; the cache keeps the network as a whole."""
    path = write(
        tmp_path / "d" / "10.conflist",
        {"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "one"}]},
    )
    write(tmp_path / "d" / "net" / "20.conf", {"type": "three"})
    write(tmp_path / "d" / "net" / "10.conf", {"type": "two", "capabilities": {"mac": True}})
    write(tmp_path / "d" / "net" / "ignored.json", {"type": "other"})
    network = network_from_file(str(path))
    assert types(network) == ["one", "two", "three"]
    assert network.capabilities == {"mac"}
    again = network_from_bytes(network.data)
    assert types(again) == ["one", "two", "three"]

    for name in ("one", "two", "three"):
        fakes.plugin(name)
        fakes.answer(name, "ADD", result("1.1.0"))
    fakes.runtime.add(network, Attachment("c1", "/run/netns/c1"))
    assert types(network_from_bytes(fakes.cached()[0].config)) == ["one", "two", "three"]


def test_a_list_of_nothing_but_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "d" / "10.conflist", {"cniVersion": "1.1.0", "name": "net"})
    with pytest.raises(CniError, match=r"no plugin configs found.*folder net/"):
        network_from_file(str(path))
    (tmp_path / "d" / "net").mkdir()
    plugin = write(tmp_path / "d" / "net" / "10.conf", {"type": "one"})
    assert types(network_from_file(str(path))) == ["one"]
    plugin.write_text('{"type":5}')
    with pytest.raises(CniError, match=f'{plugin}: key "type"'):
        network_from_file(str(path))


def test_only_inlined_plugins(tmp_path: Path) -> None:
    document = {"name": "net", "loadOnlyInlinedPlugins": "true", "plugins": [{"type": "one"}]}
    path = write(tmp_path / "d" / "10.conflist", document)
    (tmp_path / "d" / "net").mkdir()
    write(tmp_path / "d" / "net" / "10.conf", {"type": "two"})
    network = network_from_file(str(path))
    assert types(network) == ["one"]
    assert network.data == path.read_bytes()


def test_a_single_plugin_becomes_a_list(tmp_path: Path, fakes: Fakes) -> None:
    single = {"cniVersion": "0.4.0", "name": "single", "type": "one", "mtu": 9000.0}
    path = write(tmp_path / "d" / "10.conf", single)
    network = network_from_file(str(path))
    assert (network.name, network.version, types(network)) == ("single", "0.4.0", ["one"])
    # What Go's libcni keeps of such a file, byte for byte.
    assert network.data == (
        b'{"cniVersion":"0.4.0","name":"single","plugins":'
        b'[{"cniVersion":"0.4.0","mtu":9000,"name":"single","type":"one"}]}'
    )
    fakes.plugin("one")
    fakes.answer("one", "ADD", result("0.4.0"))
    fakes.runtime.add(network, Attachment("c1", "/run/netns/c1"))
    assert fakes.calls()[0].stdin == (
        b'{"cniVersion":"0.4.0","mtu":9000,"name":"single","type":"one"}'
    )
    entry = json.loads((fakes.cache / "results" / "single-c1-eth0").read_bytes())
    assert base64.b64decode(entry["config"]) == network.data


def test_conf_files(tmp_path: Path) -> None:
    for name in ("b.conf", "a.conf", "c.json", "d.conflist", "e.conf~", "conf"):
        (tmp_path / name).touch()
    (tmp_path / "folder.conf").mkdir()
    (tmp_path / "link.conf").symlink_to(tmp_path / "nowhere")
    names = [os.path.basename(path) for path in conf_files(str(tmp_path), (".conf", ".json"))]
    assert names == ["a.conf", "b.conf", "c.json", "link.conf"]
    assert conf_files(str(tmp_path / "absent"), (".conf",)) == []
    with pytest.raises(CniError, match="cannot be read"):
        conf_files(str(tmp_path / "a.conf"), (".conf",))


# ---- a directory of networks ---------------------------------------------------------------------


def listed(name: str, kind: str) -> dict[str, object]:
    return {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": kind}]}


def test_load_by_name(tmp_path: Path) -> None:
    write(tmp_path / "10-single.conf", {"name": "net", "type": "single"})
    write(tmp_path / "20-b.conflist", listed("net", "second"))
    write(tmp_path / "15-a.conflist", listed("net", "first"))
    write(tmp_path / "30-c.json", {"name": "json", "type": "json"})
    assert types(load_network(str(tmp_path), "net")) == ["first"]
    assert types(load_network(str(tmp_path), "json")) == ["json"]
    networks, problems = load_networks(str(tmp_path))
    assert [types(network)[0] for network in networks] == ["first", "second", "single", "json"]
    assert problems == []


def test_a_broken_neighbour_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "00.conflist", "{")
    (tmp_path / "05.conflist").symlink_to(tmp_path / "nowhere")
    write(tmp_path / "10.conflist", listed("net", "one"))
    assert types(load_network(str(tmp_path), "net")) == ["one"]
    networks, problems = load_networks(str(tmp_path))
    assert len(networks) == 1
    assert [error.msg.split()[0] for error in problems] == [
        str(tmp_path / "00.conflist"),
        str(tmp_path / "05.conflist"),
    ]


def test_the_broken_file_of_the_name_is_the_error(tmp_path: Path) -> None:
    write(tmp_path / "10.conflist", {"cniVersion": "1.0.0", "name": "net", "plugins": [{}]})
    with pytest.raises(CniError, match=r'10.conflist: key "plugins\[0\].type"'):
        load_network(str(tmp_path), "net")


def test_not_found_lists_what_is_there(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NetworkNotFoundError) as raised:
            load_network(str(directory), "net")
        assert raised.value.msg.startswith(f"no net configurations found in {directory}")
    write(tmp_path / "10.conflist", listed("one", "x"))
    write(tmp_path / "20.conf", {"name": "two", "type": "x"})
    write(tmp_path / "30.conf", "{")
    with pytest.raises(NetworkNotFoundError) as raised:
        load_network(str(tmp_path), "net")
    assert raised.value.msg == (
        f'no net configuration with name "net" in {tmp_path}, which has one, two'
    )
    assert "30.conf is not JSON" in raised.value.details
    assert raised.value.names == ("one", "two")
    with pytest.raises(NetworkNotFoundError) as raised:
        load_network(str(tmp_path), "x" * 100_000)
    assert len(raised.value.msg) < 1000


# ---- JSON as Go writes it ------------------------------------------------------------------------


def test_json_as_go_writes_it() -> None:
    value: JsonValue = {
        "b": [1.0, 1.5, -0.0, 1e20],
        "a": "<é&>\u2028\ud800",
        "c": {"z": None, "y": True},
    }
    assert (
        compact(value)
        == (
            '{"a":"\\u003cé\\u0026\\u003e\\u2028\ufffd","b":[1,1.5,0,100000000000000000000],'
            '"c":{"y":true,"z":null}}'
        ).encode()
    )
    assert compact(value, sort=False).startswith(b'{"b":')
    assert (
        pretty({"b": [], "a": {"x": 1}}) == '{\n    "b": [],\n    "a": {\n        "x": 1\n    }\n}'
    )


# ---- whatever is in a file -----------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "name", "Name", "cniVersion", "cniVersions", "plugins", "type", "capabilities",
        "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "prevResult", "runtimeConfig",
    ]
)  # fmt: skip
PLUGINS = st.dictionaries(KEYS, VALUES | st.just("bridge"), max_size=5)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("net") | st.text(max_size=6) | VALUES,
        "cniVersion": st.sampled_from(SPEC_VERSIONS) | VALUES,
        "cniVersions": st.lists(st.sampled_from(SPEC_VERSIONS) | st.text(max_size=5)) | VALUES,
        "plugins": st.lists(PLUGINS | VALUES, max_size=3) | VALUES,
        "type": st.just("bridge") | VALUES,
        "capabilities": VALUES,
        "disableCheck": VALUES,
    },
)


def outcome(data: bytes) -> NetworkConfigList | CniError:
    try:
        return network_from_bytes(data, "FILE")
    except CniError as error:
        return error


def examine(data: bytes) -> None:
    """A network that can be used, or a CniError that says something; nothing else."""
    network = outcome(data)
    if isinstance(network, CniError):
        assert network.code in (INVALID_CONFIG, DECODE_FAILURE, INCOMPATIBLE_VERSION)
        assert "FILE" in network.msg
        return
    assert network.plugins
    for plugin in network.plugins:
        config = json.loads(request(network, plugin, Attachment("c", "/n")))
        assert config["name"] == network.name
        assert config["cniVersion"] in SPEC_VERSIONS
        assert "prevResult" not in config
    again = network_from_bytes(network.data)
    assert (again.name, again.version, types(again)) == (
        network.name,
        network.version,
        types(network),
    )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    examine(data)


@settings(max_examples=100, deadline=None)
@given(LIKELY | st.dictionaries(KEYS, VALUES))
def test_any_document(document: dict[str, Any]) -> None:
    examine(json.dumps(document).encode())
