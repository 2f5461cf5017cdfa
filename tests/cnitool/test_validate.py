"""`cnitool validate`: what it finds, in which words, and that it survives any document."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnitool import known, schemas
from cnitool.schema import Finding
from cnitool.schemas import readers
from cnitool.settings import Settings
from cnitool.validate import validate
from tests.cnitool.conftest import ROOT, Tool

BRIDGE: dict[str, Any] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipMasq": True,
    "ipMasqBackend": "nftables",
    "mtu": 1500.0,
    "HairpinMode": False,
    "vlanTrunk": [{"minID": 1, "maxID": 9}, {"id": 12}],
    "capabilities": {"ips": True, "mac": True, "my-own": True},
    "ipam": {
        "type": "host-local",
        "ranges": [
            [
                {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "gateway": "10.1.0.1"},
                {"subnet": "10.2.0.0/24"},
            ],
            [{"subnet": "fd00::/64"}],
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::1", "mtu": 1400}],
        "exclude": ["10.1.0.128/25"],
    },
    "dns": {"nameservers": ["10.1.0.1"]},
}
PORTMAP: dict[str, Any] = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
VXLAN: dict[str, Any] = {
    "type": "vxlan",
    "vni": 42,
    "network": ["10.244.0.0/16"],
    "peers": {
        "type": "static",
        "nodes": [
            {"address": "192.0.2.1", "subnets": ["10.244.1.0/24"]},
            {"address": "192.0.2.2", "subnets": ["10.244.2.0/24"]},
        ],
    },
    "ipam": {"type": "host-local"},
}


@pytest.fixture
def good(tool: Tool) -> Tool:
    for name in ("bridge", "portmap", "host-local", "vxlan"):
        tool.plugin(name)
    return tool


def test_an_overlay_without_problems(good: Tool) -> None:
    path = good.network(VXLAN)
    assert good.succeed("validate", "net") == f"{path}: no problems\n"


def test_a_network_without_problems(good: Tool) -> None:
    path = good.network(BRIDGE, PORTMAP)
    assert good.succeed("validate", "net") == f"{path}: no problems\n"
    # Nothing but VERSION of each executable.
    assert good.fakes.order() == [
        ("VERSION", "bridge"),
        ("VERSION", "host-local"),
        ("VERSION", "portmap"),
    ]
    assert good.succeed("validate", str(path), "/run/netns/ignored") == f"{path}: no problems\n"


def findings(tool: Tool, path: Path) -> list[str]:
    environ = {"PATH": tool.env["PATH"]}
    made = Settings((str(tool.fakes.directory),), str(tool.conf_dir), environ)
    return [str(finding) for finding in validate(made, str(path))]


def bridge(**keys: Any) -> dict[str, Any]:
    """BRIDGE with these keys, without those that are `...`."""
    return {key: value for key, value in (BRIDGE | keys).items() if value is not ...}


def ipam(**keys: Any) -> dict[str, Any]:
    return {"type": "host-local", **keys}


def ranges(*sets: list[dict[str, str]]) -> dict[str, Any]:
    return bridge(ipam=ipam(ranges=list(sets)))


ONE = {"subnet": "10.1.0.0/24"}


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        (bridge(isGatway=True), ['error: P.isGatway: unknown key; did you mean "isGateway"?']),
        (bridge(_note="x"), ["warning: P._note: unknown key, which plugins ignore"]),
        (bridge(mtu="1500"), ['error: P.mtu: found "1500", expected an integer']),
        (bridge(mtu=1.5), ["error: P.mtu: found 1.5, expected an integer"]),
        (bridge(ipMasq="true"), ['error: P.ipMasq: found "true", expected true or false']),
        (bridge(ipMasqBackend="nftable"), ['or "nftables"; did you mean "nftables"?']),
        (bridge(vlanTrunk=[{"minId": 1, "why": 2}]), ["warning: P.vlanTrunk[0].why: unknown key"]),
        (bridge(vlanTrunk={}), ["error: P.vlanTrunk: found {}, expected a list"]),
        (
            bridge(capabilities={"portMapping": True, "mac": "yes"}),
            [
                'error: P.capabilities.portMapping: unknown key; did you mean "portMappings"?',
                'error: P.capabilities.mac: found "yes", expected true or false',
            ],
        ),
        (bridge(prevResult={}), ["warning: P.prevResult: a plugin gets the result"]),
        (bridge(ipam=...), ["error: P.ipam: it is missing, but isGateway needs addresses"]),
        (bridge(ipam=7), ["error: P.ipam: found 7, expected an object"]),
        (bridge(ipam=ONE), ["error: P.ipam.type: it is missing"]),
        (
            bridge(ipam={"type": "my-ipam", "whatever": 1}),
            ['error: P.ipam.type: failed to find plugin "my-ipam" in path'],
        ),
        (
            bridge(ipam=ipam(subnett="10.1.0.0/16")),
            [
                'error: P.ipam.subnett: unknown key; did you mean "subnet"?',
                "error: P.ipam: no ranges, expected",
            ],
        ),
        (
            bridge(ipam=ipam(subnet="x")),
            ['error: P.ipam.subnet: found "x", expected an IP address with prefix length'],
        ),
        (
            ranges([ONE | {"gateway": "10.2.0.1"}]),
            ["error: P.ipam.ranges[0][0].gateway: 10.2.0.1 is not in subnet 10.1.0.0/24"],
        ),
        (
            ranges([ONE | {"rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.3"}]),
            ["error: P.ipam.ranges[0][0].rangeStart: it comes after rangeEnd"],
        ),
        (
            ranges([{"subnet": "10.1.0.0/31"}]),
            ["error: P.ipam.ranges[0][0].subnet: 10.1.0.0/31 is too small to allocate from"],
        ),
        (
            ranges([{"rangeStart": "10.1.0.1"}]),
            ["error: P.ipam.ranges[0][0].subnet: it is missing"],
        ),
        (
            ranges([ONE, {"subnet": "fd00::/64"}]),
            ["error: P.ipam.ranges[0][0]: IPv4 and IPv6 in one range set"],
        ),
        (
            ranges([ONE], [{"subnet": "10.1.0.128/25"}]),
            ["error: P.ipam.ranges[1][0]: the range overlaps with P.ipam.ranges[0][0]"],
        ),
        (
            bridge(ipam=ipam(**ONE, routes=[{"dst": "::/0"}, {"gw": "10.1.0.1"}])),
            [
                "warning: P.ipam.routes[0]: the container gets no IPv6 address",
                "error: P.ipam.routes[1].dst: it is missing",
            ],
        ),
        (
            bridge(ipam=ipam(**ONE, routes=[{"dst": "0.0.0.0/0", "gw": "fd00::1"}])),
            ["error: P.ipam.routes[0].gw: fd00::1 is not of the same family as dst 0.0.0.0/0"],
        ),
        (
            bridge(ipam=ipam(**ONE, routes=[{"dst": "0.0.0.0/0", "gw": "10.9.0.1"}])),
            ["warning: P.ipam.routes[0].gw: 10.9.0.1 is in none of the subnets"],
        ),
        (VXLAN | {"vni": "42"}, ['error: P.vni: found "42", expected an integer']),
        (VXLAN | {"vni": 0}, ["error: P.vni: found 0, expected an integer from 1 to 16777215"]),
        (VXLAN | {"mode": "l1"}, ['error: P.mode: found "l1", expected "l2" or "l3"']),
        (
            VXLAN | {"peers": {"type": "multicast", "group": "10.1.1.1"}, "network": None},
            [
                'error: key "P.peers.group": found "10.1.1.1", expected a multicast address',
                "error: P.ipam: no ranges",
            ],
        ),
        (
            VXLAN | {"ipam": ipam(**ONE)},
            ['error: key "P.ipam.subnet": found "10.1.0.0/24", expected nothing in mode "l3"'],
        ),
        (
            VXLAN | {"peers": {"type": "static", "nodes": [], "group": "239.1.1.1"}},
            ['error: key "P.peers.nodes": found [], expected a list of all hosts'],
        ),
        (PORTMAP, ["error: P.type: portmap changes what another plugin has made"]),
        (
            {"type": "unknown", "capabilites": {}, "anything": [1]},
            [
                'error: P.capabilites: unknown key; did you mean "capabilities"?',
                'error: P.type: failed to find plugin "unknown" in path',
            ],
        ),
        ({"mtu": 1}, ["error: P.type: it is missing, expected the plugin's executable"]),
        ({"type": "../x"}, ["key \"P.type\": found '../x'", "error: P.type: plugin type '../x'"]),
    ],
)
def test_findings(good: Tool, plugin: dict[str, Any], expected: list[str]) -> None:
    found = [line.replace("plugins[0]", "P") for line in findings(good, good.network(plugin))]
    assert len(found) == len(expected), found
    for line, words in zip(found, expected, strict=True):
        assert words in line


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"disableGc": "maybe"},
            ["error: disableGc: found", 'or one of these as a string ("true")'],
        ),
        ({"cniVersions": ["1.0.0", 3]}, ["error: cniVersions[1]: found 3, expected a string"]),
        ({"pluginz": []}, ['error: pluginz: unknown key; did you mean "plugins"?']),
        ({"cniVersion": "3.0.0"}, ['"cniVersion": found "3.0.0"', "1.1.0"]),
        ({"cniVersion": ""}, ["warning: cniVersion: it is missing, which means 0.1.0"]),
        ({"name": "a b"}, ['key "name"', "'a b'"]),
        ({"plugins": {}}, ["error: plugins: found {}, expected a list"]),
        ({"plugins": [7]}, ['key "plugins[0]": found 7, expected an object']),
    ],
)
def test_keys_of_the_list(good: Tool, keys: dict[str, Any], expected: list[str]) -> None:
    path = good.conf_dir / "10-net.conflist"
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": [BRIDGE]} | keys))
    (finding,) = findings(good, path)
    for word in expected:
        assert word in finding


def test_exit_status_tells_errors_from_warnings(good: Tool) -> None:
    path = good.network(bridge(_comment="x"), {"type": "portmap"})
    done = good.run("validate", "net")
    assert done.returncode == 0
    assert done.stdout.endswith(f"{path}: 0 errors, 2 warnings\n")
    assert '"portMappings" is not true: the runtime will not tell portmap' in done.stdout
    good.network(bridge(), {"type": "portmap", "capabilities": {"portmappings": True}})
    assert '"portMappings" is not true' in good.run("validate", "net").stdout
    good.network(bridge(mtuu=1))
    done = good.run("validate", "net")
    assert (done.returncode, done.stdout) == (
        1,
        f'error: plugins[0].mtuu: unknown key; did you mean "mtu"?\n{path}: 1 error, 0 warnings\n',
    )


def test_a_plugin_of_another_version(good: Tool) -> None:
    answer = '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
    good.fakes.answer("bridge", "VERSION", answer)
    path = good.network(BRIDGE)
    assert findings(good, path) == [
        "error: plugins[0].type: bridge does not support cniVersion 1.1.0: it supports 0.4.0, 1.0.0"
    ]


def test_a_single_plugins_file(good: Tool) -> None:
    single = {"cniVersion": "1.0.0", "name": "net", "disableGC": True, **bridge(mtu=True)}
    path = good.conf_dir / "10-net.conf"
    path.write_text(json.dumps(single))
    assert findings(good, path) == ["error: mtu: found true, expected an integer from 0 to 65535"]


def test_the_folder_beside_a_list(good: Tool) -> None:
    path = good.network(BRIDGE)
    folder = good.conf_dir / "net"
    folder.mkdir()
    (folder / "20.conf").write_text(json.dumps(PORTMAP | {"snatt": True}))
    assert findings(good, path) == ['error: net/20.conf.snatt: unknown key; did you mean "snat"?']
    (folder / "20.conf").write_text("{")
    assert "20.conf is not JSON" in findings(good, path)[0]


def test_two_files_of_one_name(good: Tool) -> None:
    good.network(BRIDGE, PORTMAP)
    second = good.network(BRIDGE, PORTMAP, file="20-net.conflist")
    assert "20-net.conflist; only the first file counts" in good.run("validate", "net").stdout
    assert "10-net.conflist; only the first file counts" in findings(good, second)[0]


def test_a_file_that_is_broken_or_missing(good: Tool) -> None:
    path = good.conf_dir / "10-net.conflist"
    assert "cannot be read" in good.fail("validate", str(path))
    path.write_text("{")
    assert "is not JSON" in good.fail("validate", str(path))
    assert "no net configuration with name" in good.fail("validate", "net")


def test_every_plugin_there_is_knows_its_keys() -> None:
    every = {path.parent.name for path in ROOT.glob("plugins/*/README.md")}
    assert {*readers.INTERFACES, *readers.IPAM} == every
    assert set(readers.INTERFACES) >= known.CHAINED
    assert set(readers.IPAM) >= known.RANGES


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        ({"type": "macvlan", "master": "eth0/1"}, 'error: key "P.master": found "eth0/1"'),
        ({"type": "vlan", "master": "eth0"}, 'error: key "P.vlanId": it is missing'),
        (bridge(vlan=1, vlanTrunk=[{"id": 2}]), 'error: keys "vlan" and "vlanTrunk"'),
        (bridge(ipam={"type": "static", "addresses": [{}]}), 'key "P.ipam.addresses[0].address"'),
        (
            bridge(ipam=ipam(ranges=[[{**ONE, "exclude": ["10.2.0.0/24"]}]])),
            'error: key "P.ipam.ranges[0][0].exclude[0]": found "10.2.0.0/24"',
        ),
    ],
)
def test_what_only_the_plugin_itself_knows(
    tool: Tool, plugin: dict[str, Any], expected: str
) -> None:
    for name in {plugin["type"], plugin.get("ipam", {"type": "host-local"})["type"]}:
        tool.plugin(name)
    lines = [line.replace("plugins[0]", "P") for line in findings(tool, tool.network(plugin))]
    assert expected in "\n".join(lines)


@pytest.mark.parametrize(
    "plugin",
    [
        {"type": "host-device", "capabilities": {"deviceID": True}},
        bridge(capabilities={"ipRanges": True}, ipam=ipam()),
        {**VXLAN, "ipam": {"exclude": ["10.244.1.9"]}},
    ],
)
def test_what_a_runtime_or_an_overlay_fills_in_is_not_missing(
    good: Tool, plugin: dict[str, Any]
) -> None:
    good.plugin("host-device")
    assert findings(good, good.network(plugin)) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["10.1.0.0/24", "10.1.0.9", "fd00::/64", "host-local", "bridge", "nftables"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "subnet", "ranges", "routes", "dst", "gw", "rangeStart", "rangeEnd", "gateway"]
        )
        | st.text(max_size=6),
        inner,
        max_size=4,
    ),
    max_leaves=15,
)  # fmt: skip
PLUGIN = st.dictionaries(
    st.sampled_from([*schemas.load("bridge")["properties"], "prevResult"]),  # type: ignore[misc]
    VALUES,
    max_size=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("net") | VALUES,
        "cniVersion": st.just("1.0.0") | VALUES,
        "plugins": st.lists(PLUGIN | VALUES, max_size=3) | VALUES,
        "type": st.just("bridge") | VALUES,
        "ipam": VALUES,
        "loadOnlyInlinedPlugins": VALUES,
    },
)


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_any_document(document: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "10.conflist")
        path.write_text(json.dumps(document))
        made = Settings((directory,), directory, {}, cache_dir=directory)
        for finding in validate(made, str(path)):
            assert isinstance(finding, Finding)
            assert str(finding).startswith(("error: ", "warning: "))
