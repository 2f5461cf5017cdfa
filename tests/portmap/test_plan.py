"""From config and previous result to what is published, without a kernel."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import INVALID_CONFIG, CniError
from cni.jsonvalue import JsonObject
from cni.wire import decode
from cni_portmap.config import read
from cni_portmap.plan import container_addresses, publish, shown, unreachable
from cni_portmap.tables import ALL, GATED, NEAR, PENDING, Published, pack, unpack

FOUR, SIX = ip_address("10.1.0.2"), ip_address("fd00:1::2")
DUAL = {4: FOUR, 6: SIX}


def plan(
    *mappings: dict[str, Any], addresses: Any = None, links: Any = None, **keys: Any
) -> list[Published]:
    document = {"runtimeConfig": {"portMappings": list(mappings)}, **keys}
    links = {4: "br0", 6: "br0"} if links is None else links
    return publish(read(JsonObject(document)), DUAL if addresses is None else addresses, links)


def web(host: str = "", port: int = 8080, to: int = 80, protocol: str = "tcp") -> dict[str, Any]:
    return {"hostPort": port, "containerPort": to, "hostIP": host, "protocol": protocol}


def test_one_mapping_is_a_port_of_each_version() -> None:
    assert plan(web()) == [
        Published(4, 6, 8080, None, FOUR, 80, "br0", NEAR),
        Published(6, 6, 8080, None, SIX, 80, "br0", NEAR),
    ]


@pytest.mark.parametrize(
    ("keys", "flags"),
    [
        ({}, NEAR),
        ({"snat": False}, 0),
        ({"masqAll": True}, ALL),
        ({"masqAll": True, "snat": False}, 0),
        ({"conditionsV4": ["tcp sport 1"]}, NEAR | GATED),
        ({"conditionsV6": ["tcp sport 1"]}, NEAR),
    ],
)
def test_flags(keys: dict[str, Any], flags: int) -> None:
    assert [one.flags for one in plan(web("0.0.0.0"), **keys)] == [flags]


@pytest.mark.parametrize(
    ("host", "addresses", "versions"),
    [
        ("", {4: FOUR}, [4]),
        ("", {6: SIX}, [6]),
        ("0.0.0.0", DUAL, [4]),
        # Published at both "any" addresses by the runtime, whatever the container has.
        ("::", {4: FOUR}, []),
        ("0.0.0.0", {6: SIX}, []),
        ("192.0.2.1", DUAL, [4]),
    ],
)
def test_versions(host: str, addresses: Any, versions: list[int]) -> None:
    assert [one.version for one in plan(web(host), addresses=addresses)] == versions


@pytest.mark.parametrize(
    ("host", "addresses", "problems"),
    [
        ("", {}, ["the container's interface has no address in prevResult"]),
        ("192.0.2.1", {}, ["the container's interface has no address in prevResult"]),
        ("192.0.2.1", {6: SIX}, ["the container has no IPv4 address to lead 192.0.2.1 to"]),
        ("2001:db8::1", {4: FOUR}, ["the container has no IPv6 address to lead 2001:db8::1 to"]),
        ("::", {4: FOUR}, []),
        ("192.0.2.1", {4: FOUR}, []),
    ],
)
def test_no_address_to_lead_to(host: str, addresses: Any, problems: list[str]) -> None:
    config = read(JsonObject({"runtimeConfig": {"portMappings": [web(host)]}}))
    assert [why for _mapping, why in unreachable(config, addresses)] == problems
    if problems:
        assert plan(web(host), addresses=addresses) == []


@pytest.mark.parametrize(
    "mappings",
    [
        (web(), web()),
        (web(), web("0.0.0.0"), web("::")),
        (web("192.0.2.1"), web("192.0.2.1"), web("::ffff:192.0.2.1")),
    ],
)
def test_a_repetition_counts_once(mappings: tuple[dict[str, Any], ...]) -> None:
    assert plan(*mappings) == plan(mappings[0])


@pytest.mark.parametrize(
    ("mappings", "shown_port"),
    [
        ((web(), web(to=81)), "0.0.0.0:8080/tcp"),
        ((web(), web("192.0.2.1")), "192.0.2.1:8080/tcp"),
        ((web("192.0.2.1"), web("0.0.0.0")), "0.0.0.0:8080/tcp"),
        ((web("2001:db8::1"), web("2001:db8::1", to=81)), "[2001:db8::1]:8080/tcp"),
    ],
)
def test_mappings_that_exclude_each_other(
    mappings: tuple[dict[str, Any], ...], shown_port: str
) -> None:
    with pytest.raises(CniError) as error:
        plan(*mappings)
    assert error.value.code == INVALID_CONFIG
    assert f'key "runtimeConfig.portMappings[1]": host port {shown_port} is in' in error.value.msg
    assert "runtimeConfig.portMappings[0] already" in error.value.msg


def test_mappings_that_do_not() -> None:
    mappings = (web("192.0.2.1"), web("192.0.2.2"), web("::"), web(protocol="udp"), web(port=8081))
    assert len(plan(*mappings)) == 7


def result(*ips: tuple[str, int | None]) -> Any:
    interfaces = [
        {"name": "br0"},
        {"name": "eth0", "sandbox": "/ns"},
        {"name": "net1", "sandbox": "/ns"},
        {"name": "eth0"},
    ]
    addresses = [
        {"address": address} if index is None else {"address": address, "interface": index}
        for address, index in ips
    ]
    document: Any = {"cniVersion": "1.1.0", "interfaces": interfaces, "ips": addresses}
    return decode(JsonObject(document))


@pytest.mark.parametrize(
    ("ips", "found"),
    [
        ([("10.1.0.2/24", 1), ("10.1.0.3/24", 1)], {4: "10.1.0.2"}),
        ([("fd00::2/64", None), ("10.1.0.2/24", None)], {4: "10.1.0.2", 6: "fd00::2"}),
        # Of the bridge, of another interface, of the host's end of the same name.
        (
            [("10.1.0.1/24", 0), ("10.1.0.9/24", 2), ("10.1.0.8/24", 3), ("10.1.0.2/24", 1)],
            {4: "10.1.0.2"},
        ),
        ([("10.1.0.1/24", 0)], {}),
        ([], {}),
    ],
)
def test_the_containers_addresses(ips: Any, found: dict[int, str]) -> None:
    addresses = container_addresses(result(*ips), "eth0")
    assert {version: str(address) for version, address in addresses.items()} == found


PUBLISHED = st.integers(0, 1).flatmap(
    lambda six: st.builds(
        Published,
        version=st.just(6 if six else 4),
        protocol=st.sampled_from([6, 17, 132]),
        host_port=st.integers(1, 65535),
        host=st.none() | st.ip_addresses(v=6 if six else 4).filter(lambda a: not a.is_unspecified),
        container=st.ip_addresses(v=6 if six else 4),
        container_port=st.integers(1, 65535),
        link=st.from_regex(r"[a-z0-9._-]{0,15}", fullmatch=True),
        flags=st.integers(0, NEAR | ALL | GATED | PENDING),
    )
)


@given(PUBLISHED)
def test_the_record_holds_all_of_it(one: Published) -> None:
    assert unpack(pack(one)) == one
    assert str(one.host_port) in shown(one)
