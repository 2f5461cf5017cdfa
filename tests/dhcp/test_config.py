"""Every key of the configuration: what is accepted, and how a wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INVALID_CONFIG, NOT_AVAILABLE
from cni.jsonvalue import JsonObject
from cni_dhcp import files
from cni_dhcp.config import Terms, read_terms
from cni_dhcp.options import DEFAULT_REQUEST, read_provided, read_requested
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.namespace import Namespace

NO_STRING: list[Any] = [5, True, 1.5, [], {}]
NO_LIST: list[Any] = [5, True, "x", {}]
NO_BOOLEAN: list[Any] = [0, "true", [], {}]
NO_PRIORITY: list[Any] = [True, "1", -1, 2**32, 1.5, []]
NO_OBJECT: list[Any] = [5, True, "x", []]
NO_ITEM: list[Any] = [5, None, "host-name", []]
NO_OPTION: list[Any] = [5, "", "nope", "256"]
NO_REQUEST: list[Any] = [5, "nope", "-1", "0", "255", "\u0661"]
CASES: list[tuple[str, Any]] = [
    *(("ipam", value) for value in NO_OBJECT),
    *(("ipam.daemonSocketPath", value) for value in (*NO_STRING, "relative", "/" + "x" * 107)),
    *(("ipam.ipv4", value) for value in NO_BOOLEAN),
    *(("ipam.ipv6", value) for value in (*NO_STRING, "DHCP", "stateful")),
    *(("ipam.priority", value) for value in NO_PRIORITY),
    *(("ipam.suppress", value) for value in NO_LIST),
    *(("ipam.provide", value) for value in NO_LIST),
    *(("ipam.request", value) for value in NO_LIST),
]
ELEMENTS: list[tuple[str, Any]] = [
    ("ipam.suppress[0]", "routes"),
    ("ipam.suppress[0]", 5),
    *(("ipam.provide[0]", value) for value in NO_ITEM),
    *(("ipam.request[0]", value) for value in NO_ITEM),
    *(("ipam.provide[0].option", {"value": "x", "option": one}) for one in NO_OPTION),
    *(
        ("ipam.provide[0].option", {"value": "x", "option": str(n)})
        for n in (0, 50, 53, 54, 55, 255)
    ),
    ("ipam.provide[0].value", {"option": "12", "value": 5}),
    ("ipam.provide[0].value", {"option": "12", "value": "x" * 256}),
    ("ipam.provide[0].fromArg", {"option": "12", "fromArg": 5}),
    *(
        ("ipam.request[0].option", {"option": one})
        for one in (5, "nope", "-1", "0", "255", "\u0661")
    ),
    ("ipam.request[0].skipDefault", {"skipDefault": "yes"}),
]


def document(path: str, value: Any) -> Document:
    """A config with the value at that path, or holding it as an element."""
    config: Document = {"cniVersion": "1.1.0", "name": "net", "type": "dhcp", "ipam": {}}
    names = path.partition("[")[0].split(".")
    if names == ["ipam"]:
        config["ipam"] = value
    else:
        config["ipam"][names[1]] = [value] if "[" in path else value
    return config


@pytest.mark.parametrize(("path", "value"), [*CASES, *ELEMENTS])
def test_wrong_values_are_named(
    path: str, value: Any, runtime: Runtime, container: Namespace
) -> None:
    config = document(path, value)
    with pytest.raises(PluginError) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "{path}"' in caught.value.msg
    assert "expected" in caught.value.msg
    with pytest.raises(PluginError) as caught:
        runtime.status(config)
    assert caught.value.code == NOT_AVAILABLE
    assert f'key "{path}"' in caught.value.msg


def test_no_family_at_all(runtime: Runtime, container: Namespace) -> None:
    with pytest.raises(PluginError, match=r'key "ipam\.ipv4": found false') as caught:
        runtime.add(document("ipam.ipv4", False), netns=container)
    assert caught.value.code == INVALID_CONFIG


def test_del_and_gc_need_only_the_sockets_path(runtime: Runtime, container: Namespace) -> None:
    config = document("ipam.provide", 5)
    config["ipam"]["daemonSocketPath"] = "/nowhere/dhcp.sock"
    runtime.delete(config, netns=container)
    runtime.gc(config, [])
    with pytest.raises(PluginError, match="daemonSocketPath"):
        runtime.delete(document("ipam.daemonSocketPath", 5), netns=container)


def test_what_is_asked_for() -> None:
    def requested(*items: Document) -> tuple[int, ...]:
        return read_requested(JsonObject({"request": list(items)}))

    assert requested() == DEFAULT_REQUEST
    assert requested({"option": "121"}, {"option": "routers"}) == (121, 3, 1)
    assert requested({"skipDefault": True}) == ()
    assert requested({"option": "42", "skipDefault": True}) == (42,)
    assert requested({"Option": "interface-mtu", "SKIPDEFAULT": False}) == (26, 3, 1)


def test_what_is_told() -> None:
    def provided(*items: Document, **args: str) -> dict[int, bytes]:
        return dict(read_provided(JsonObject({"provide": list(items)}), args))

    name: Document = {"option": "host-name", "value": "a", "fromArg": "NAME"}
    assert provided(name) == {12: b"a"}
    assert provided(name, NAME="b") == {12: b"b"}
    assert provided(name, NAME="") == {12: b"a"}  # as multus passes arguments that it has not
    assert provided({"option": "12", "fromArg": "NAME"}, NAME="") == {}
    assert provided({"option": "12", "value": "a"}, **{"": "b"}) == {12: b"a"}
    assert provided({"option": "12"}) == {}
    assert provided({"option": "12", "fromArg": "NAME"}) == {}
    assert provided({"option": "12", "value": "é"}, {"option": "77", "value": "u"}) == {
        12: "é".encode(),
        77: b"u",
    }


def test_terms_survive_the_way_to_the_daemon() -> None:
    terms = Terms(False, "auto", ((12, b"\0\xff"), (77, b"u")), (1, 121), 700, True)
    assert read_terms(JsonObject(terms.document())) == terms


@pytest.mark.parametrize(
    ("path", "directory"),
    [
        ("/run/cni/dhcp.sock", "/run/cni/dhcp"),
        ("/host/run/cni/dhcp.sock", "/host/run/cni/dhcp"),
        ("/run/cni/dhcp.socket", "/run/cni/dhcp.socket.leases"),
        ("/run/x.sock.d/s", "/run/x.sock.d/s.leases"),
        ("/run/.sock", "/run/.sock.leases"),
        ("/run/dhcp", "/run/dhcp.leases"),
    ],
)
def test_where_leases_are_written(path: str, directory: str) -> None:
    assert files.directory_of(path) == directory
