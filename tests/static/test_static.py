"""`static`: every verb in every version, where addresses may come from, and each wrong value."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cni.errors import (
    CHECK_FAILED,
    INCOMPATIBLE_VERSION,
    INVALID_CONFIG,
    INVALID_ENVIRONMENT,
    NOT_AVAILABLE,
)
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version, versions_since

REFERENCE = Path("/usr/lib/cni/static")
V4 = {"address": "10.10.0.1/24", "gateway": "10.10.0.254"}
V6 = {"address": "2001:db8:1::1/64", "gateway": "2001:db8:1::ff"}
ROUTES: list[Document] = [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.10.0.5"}]
DNS: Document = {"nameservers": ["10.10.0.254"], "domain": "example.com", "search": ["a", "b"]}


def config(*addresses: Document, version: str = "1.1.0", **keys: Any) -> Document:
    ipam = {"type": "static", "addresses": list(addresses), **keys.pop("ipam", {})}
    return {"cniVersion": version, "name": "net", "type": "static", "ipam": ipam, **keys}


HERE: dict[str, Any] = {"netns": "/dev/null"}
"""The plugin never looks at the namespace, so these tests make none."""


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


def told(result: Document) -> list[str]:
    """The result's addresses, with their gateways behind a blank."""
    return [f"{one['address']} {one.get('gateway', '')}".strip() for one in result["ips"]]


@each_version
def test_add(version: str, runtime: Runtime) -> None:
    asked = config(V4, V6, version=version, ipam={"routes": ROUTES, "dns": DNS})
    result = runtime.add(asked, **HERE)
    assert result["cniVersion"] == version
    assert result["dns"] == DNS
    if version in ("0.1.0", "0.2.0"):
        assert result["ip4"] == {
            "ip": V4["address"],
            "gateway": V4["gateway"],
            "routes": ROUTES,
        }
        assert result["ip6"] == {"ip": V6["address"], "gateway": V6["gateway"]}
    else:
        assert told(result) == ["10.10.0.1/24 10.10.0.254", "2001:db8:1::1/64 2001:db8:1::ff"]
        assert result["routes"] == ROUTES
    runtime.delete(asked, **HERE)


@each_version
def test_several_addresses_of_a_family(version: str, runtime: Runtime) -> None:
    asked = config(V4, {"address": "10.10.1.1/24"}, version=version)
    if version not in ("0.1.0", "0.2.0"):
        assert told(runtime.add(asked, **HERE))[1] == "10.10.1.1/24"
        return
    with pytest.raises(PluginError, match="does not support more than 1 address") as caught:
        runtime.add(asked, **HERE)
    assert caught.value.code == INCOMPATIBLE_VERSION


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_check(version: str, runtime: Runtime) -> None:
    asked = config(V4, V6, version=version)
    result = runtime.add(asked, **HERE)
    runtime.check(asked, result, **HERE)
    spoiled: list[tuple[Document, str]] = [
        ({**result, "ips": result["ips"][1:]}, "lacks the address 10.10.0.1/24"),
        (
            {**result, "ips": [{**result["ips"][0], "address": "10.10.0.1/16"}, result["ips"][1]]},
            "lacks the address 10.10.0.1/24",
        ),
        (
            {**result, "ips": [{**result["ips"][0], "gateway": "10.10.0.9"}, result["ips"][1]]},
            "has 10.10.0.9 as the gateway of 10.10.0.1/24, and the config has 10.10.0.254",
        ),
    ]
    for previous, words in spoiled:
        with pytest.raises(PluginError, match=words) as caught:
            runtime.check(asked, previous, **HERE)
        assert caught.value.code == CHECK_FAILED


def test_a_gateway_that_another_plugin_filled_in_is_right(runtime: Runtime) -> None:
    asked = config({"address": "10.10.0.1/24"})
    result = runtime.add(asked, **HERE)
    result["ips"][0]["gateway"] = "10.10.0.1"
    runtime.check(asked, result, **HERE)


def test_check_needs_the_previous_result(runtime: Runtime) -> None:
    with pytest.raises(PluginError, match='key "prevResult"') as caught:
        runtime.call("CHECK", config(V4), **HERE)
    assert caught.value.code == INVALID_CONFIG


def test_delete_and_gc_do_nothing_whatever_the_config(runtime: Runtime) -> None:
    for ipam in ({"addresses": 5}, {"addresses": [{"address": "x"}]}, {}):
        asked = config(ipam=ipam)
        runtime.delete(asked, **HERE)
        runtime.delete(asked)
        runtime.gc(asked, [])


def test_status(runtime: Runtime) -> None:
    runtime.status(config(V4))
    runtime.status(config())  # the runtime may bring the addresses
    with pytest.raises(PluginError, match=r"ipam\.addresses\[0\]\.address") as caught:
        runtime.status(config({"address": "10.10.0.1"}))
    assert caught.value.code == NOT_AVAILABLE


SOURCES: list[tuple[str, Document, str, list[str]]] = [
    ("beside the config's", {}, "IP=10.10.0.7/24", ["10.10.0.1/24 10.10.0.254", "10.10.0.7/24"]),
    (
        "several, with blanks",
        {},
        "IP=10.10.0.7/24, 2001:db8:1::7/64;GATEWAY=10.10.0.9 ,2001:db8:1::9",
        ["10.10.0.1/24 10.10.0.9", "10.10.0.7/24 10.10.0.9", "2001:db8:1::7/64 2001:db8:1::9"],
    ),
    ("one twice", {}, "IP=10.10.0.1/24", ["10.10.0.1/24 10.10.0.254"]),
    ("an empty one", {}, "IP=;GATEWAY=", ["10.10.0.1/24 10.10.0.254"]),
    ("a gateway of no subnet", {}, "GATEWAY=10.9.0.1", ["10.10.0.1/24 10.10.0.254"]),
    (
        "args instead of both",
        {"args": {"cni": {"ips": ["10.11.0.1/16", "10.12.0.1/16"]}}},
        "IP=10.10.0.7/24;GATEWAY=10.11.9.9",
        ["10.11.0.1/16 10.11.9.9", "10.12.0.1/16"],
    ),
    (
        "runtimeConfig instead of all",
        {"args": {"cni": {"ips": ["10.11.0.1/16"]}}, "runtimeConfig": {"IPs": ["10.12.0.1/16"]}},
        "IP=10.10.0.7/24",
        ["10.12.0.1/16"],
    ),
    (
        "an IPv4 address in IPv6's clothes",
        {"runtimeConfig": {"ips": ["::ffff:10.1.2.3/120"]}},
        "",
        ["10.1.2.3/24"],
    ),
]


@pytest.mark.parametrize(
    ("keys", "args", "expected"), [case[1:] for case in SOURCES], ids=[case[0] for case in SOURCES]
)
def test_where_addresses_come_from(
    keys: Document, args: str, expected: list[str], runtime: Runtime
) -> None:
    result = runtime.add(config(V4, **keys), **HERE, args=args)
    assert told(result) == expected


def test_a_gateway_outside_the_subnet(runtime: Runtime) -> None:
    outside = {"address": "2001:db8:1::1/64", "gateway": "fe80::1"}
    assert told(runtime.add(config(outside), **HERE)) == ["2001:db8:1::1/64 fe80::1"]


def test_keys_match_without_regard_to_case(runtime: Runtime) -> None:
    asked = config(ipam={"Addresses": [{"ADDRESS": "10.10.0.1/24", "Gateway": ""}]})
    del asked["ipam"]["addresses"]
    assert told(runtime.add(asked, **HERE)) == ["10.10.0.1/24"]


NO_LIST: list[Any] = [5, True, "10.10.0.1/24", {}]
NO_OBJECT: list[Any] = [5, True, "x", []]
NO_INTERFACE: list[Any] = [
    *(5, True, 1.5, [], {}, "banana", "10.10.0.1", "10.10.0.1/33", "10.10.0.1/-1"),
    *("10.10.0.300/24", "10.10.0.1/255.0.0.0", "fe80::1%eth0/64", "0.0.0.0/0", "224.0.0.1/24"),
    *("::/64", "ff02::1/64", "10.10.0.1/24\0"),
]
NO_ADDRESS_OBJECT: list[Any] = [5, None, "10.1.0.1/24", []]
NO_GATEWAY: list[Any] = [
    *(5, True, [], {}, "x", "10.10.0.254/24", "2001:db8::1", "fe80::1%eth0"),
]
WRONG: list[tuple[str, Any, str]] = [
    *(("ipam", value, "ipam") for value in [*NO_OBJECT, None]),
    *(("addresses", value, "ipam.addresses") for value in NO_LIST),
    *(("addresses", [value], "ipam.addresses[0]") for value in NO_ADDRESS_OBJECT),
    *(
        ("addresses", [V4, {"address": value}], "ipam.addresses[1].address")
        for value in [*NO_INTERFACE, None, ""]
    ),
    *(
        ("addresses", [{**V4, "gateway": value}], "ipam.addresses[0].gateway")
        for value in NO_GATEWAY
    ),
    *(("routes", value, "ipam.routes") for value in NO_LIST),
    ("routes", [{"gw": "10.10.0.1"}], "ipam.routes[0].dst"),
    ("routes", [{"dst": "10.1.0.0/16", "gw": "::1"}], "ipam.routes[0].gw"),
    *(("dns", value, "ipam.dns") for value in NO_OBJECT),
    ("dns", {"nameservers": "x"}, "ipam.dns.nameservers"),
    ("dns", {"search": [5]}, "ipam.dns.search[0]"),
    ("dns", {"domain": []}, "ipam.dns.domain"),
    *(("runtimeConfig", value, "runtimeConfig") for value in NO_OBJECT),
    *(("args", value, "args") for value in NO_OBJECT),
    ("args", {"cni": 5}, "args.cni"),
]


@pytest.mark.parametrize(("key", "value", "place"), WRONG)
def test_wrong_values_are_named(key: str, value: Any, place: str, runtime: Runtime) -> None:
    asked = config(V4)
    where = asked if key in asked or key in ("args", "runtimeConfig") else asked["ipam"]
    where[key] = value
    with pytest.raises(PluginError) as caught:
        runtime.add(asked, **HERE)
    assert caught.value.code == INVALID_CONFIG
    assert f'key "{place}"' in caught.value.msg
    assert "expected" in caught.value.msg


@pytest.mark.parametrize("value", [*NO_INTERFACE, None, ""])
def test_wrong_addresses_of_the_runtime_are_named(value: Any, runtime: Runtime) -> None:
    for keys, place in (
        ({"runtimeConfig": {"ips": ["10.1.0.1/16", value]}}, "runtimeConfig.ips[1]"),
        ({"args": {"cni": {"ips": [value]}}}, "args.cni.ips[0]"),
    ):
        with pytest.raises(PluginError) as caught:
            runtime.add(config(**keys), **HERE)
        assert caught.value.code == INVALID_CONFIG
        assert f'key "{place}"' in caught.value.msg


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("IP=10.10.0.7", "IP: found '10.10.0.7'"),
        ("IP=10.10.0.7/24,,", "IP: found ''"),
        ("IP=x/24", "IP: found 'x/24'"),
        ("IP=0.0.0.0/0", r"IP: found '0\.0\.0\.0/0'"),
        ("GATEWAY=x", "GATEWAY: found 'x'"),
        ("GATEWAY=10.10.0.1/24", "GATEWAY: found"),
    ],
)
def test_wrong_arguments_are_named(args: str, words: str, runtime: Runtime) -> None:
    with pytest.raises(PluginError, match=f"CNI_ARGS: {words}") as caught:
        runtime.add(config(V4), **HERE, args=args)
    assert caught.value.code == INVALID_ENVIRONMENT


@pytest.mark.parametrize("version", versions_since("0.1.0")[:6])
def test_the_same_answer_as_the_reference(version: str, runtime: Runtime) -> None:
    """The Go-written plugin of Debian speaks up to 1.0.0."""
    for keys, args in (
        ({}, ""),
        ({}, "GATEWAY=10.9.0.9"),
        ({"args": {"cni": {"ips": ["10.11.0.1/16"]}}}, ""),
        ({"runtimeConfig": {"ips": ["10.12.0.1/16"]}}, ""),
    ):
        asked = config(V4, V6, version=version, ipam={"routes": ROUTES, "dns": DNS}, **keys)
        environ = {
            **os.environ,
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": HERE["netns"],
            "CNI_ARGS": args,
            "CNI_PATH": "/usr/lib/cni",
        }
        theirs = subprocess.run(
            [REFERENCE],
            check=False,
            input=json.dumps(asked).encode(),
            env=environ,
            capture_output=True,
        )
        assert theirs.returncode == 0, theirs.stdout
        assert runtime.add(asked, **HERE, args=args) == json.loads(theirs.stdout)


def test_through_bridge(host: Host, container: Namespace, runtime: Runtime) -> None:
    host.share_bridge("cni0")
    asked = {
        **config(V4, V6, ipam={"routes": ROUTES}),
        "type": "bridge",
        "isGateway": True,
        "ipMasqBackend": "nftables",
    }
    result = runtime.add(asked, netns=container)
    assert sorted(container.addresses("eth0")) == [V4["address"], V6["address"]]
    routes = {one["dst"]: one.get("gateway") for one in container.ip("route", "show")}
    assert routes["default"] == V4["gateway"]
    assert routes["192.168.0.0/16"] == "10.10.0.5"
    runtime.check(asked, result, netns=container)
    runtime.delete(asked)
    host.command("ip", "link", "delete", "cni0")
