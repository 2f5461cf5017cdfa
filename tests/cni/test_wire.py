"""Results in every version. The golden files up to 1.0.0 are what the reference prints.

They were made by its `types100.NewResult(…).GetAsVersion(…).PrintTo(…)`; those of 1.1.0 and
those with all attributes follow its newer structures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG, CniError
from cni.ip import parse_interface
from cni.jsonvalue import JsonObject, parse_object
from cni.record import replace
from cni.result import DNS, Interface, IPConfig, Result, Route
from cni.versions import at_least
from cni.wire import decode, encode
from tests.cni.samples import ALL_ATTRIBUTES, LAYER2, SAMPLES
from tests.cni.strategies import JSON, results
from tests.kit.versions import SPEC_VERSIONS, each_version, versions_since

GOLDEN = Path(__file__).parent / "golden"
LISTS = versions_since("0.3.0")
FAMILIES = ("0.1.0", "0.2.0")
TOLD = [
    (name, version)
    for name in SAMPLES
    for version in SPEC_VERSIONS
    if name != "layer2" or version in LISTS
]


def as_told(result: Result, version: str) -> Result:
    """What of a result that version has words for."""
    if at_least(version, "1.0.0"):
        return result
    if at_least(version, "0.3.0"):
        bare = tuple(Interface(one.name, one.mac, one.sandbox) for one in result.interfaces)
        return replace(result, interfaces=bare)
    ips: list[IPConfig] = []
    routes: list[Route] = []
    for family in (4, 6):
        first = [one for one in result.ips if one.address.version == family][:1]
        ips += (replace(one, interface=None) for one in first)
        routes += (
            Route(one.dst, one.gw) for one in result.routes if first and one.dst.version == family
        )
    return Result(ips=tuple(ips), routes=tuple(routes), dns=result.dns)


def read(document: object, version: str = "") -> Result:
    return decode(parse_object(json.dumps(document).encode(), "the result"), version)


@pytest.mark.parametrize(("name", "version"), TOLD)
def test_a_result_is_written_as_the_reference_writes_it(name: str, version: str) -> None:
    golden = (GOLDEN / f"{name}.{version}.json").read_text()
    assert json.dumps(encode(SAMPLES[name], version), indent=4) + "\n" == golden


@pytest.mark.parametrize(("name", "version"), TOLD)
def test_what_the_reference_writes_is_read(name: str, version: str) -> None:
    golden = (GOLDEN / f"{name}.{version}.json").read_bytes()
    assert decode(parse_object(golden, name)) == as_told(SAMPLES[name], version)


@pytest.mark.parametrize("version", FAMILIES)
def test_a_result_without_addresses_has_no_place_before_lists(version: str) -> None:
    with pytest.raises(CniError, match=r'set "cniVersion" to 0\.3\.0') as raised:
        encode(LAYER2, version)
    assert raised.value.code == INCOMPATIBLE_VERSION


@each_version
def test_an_empty_result(version: str) -> None:
    if version in FAMILIES:
        return
    empty: dict[str, Any] = {"cniVersion": version}
    if not at_least(version, "1.0.0"):
        empty["dns"] = {}
    assert encode(Result(), version) == empty
    assert read(empty) == Result()


@given(results(), st.sampled_from(SPEC_VERSIONS))
def test_what_is_written_is_read_again(result: Result, version: str) -> None:
    if version in FAMILIES and not result.ips:
        with pytest.raises(CniError):
            encode(result, version)
        return
    document = encode(result, version)
    assert document["cniVersion"] == version
    assert read(document) == as_told(result, version)
    assert encode(read(document), version) == document  # nothing is lost on a second way


@given(results())
def test_a_chain_of_old_and_new_plugins_keeps_what_the_old_ones_know(result: Result) -> None:
    through = read(encode(read(encode(result, "1.1.0")), "0.4.0"))
    assert through == as_told(result, "0.4.0")


# ---- what plugins of others write ---------------------------------------------------------------

ADDRESS = {"address": "10.1.0.2/16"}


@pytest.mark.parametrize("version", LISTS)
@pytest.mark.parametrize(
    "more",
    [
        {"dns": {}},
        {"dns": None},
        {"dns": {"nameservers": None, "search": []}},
        {"interfaces": None},
        {"interfaces": []},
        {"routes": None},
        {"routes": []},
        {"unknown": {"deep": [1]}},
        {"ips": [{**ADDRESS, "version": "4"}]},
        {"ips": [{**ADDRESS, "version": "6"}]},
        {"ips": [{**ADDRESS, "interface": None, "gateway": ""}]},
        {"ips": [{**ADDRESS, "interface": -1}]},
        {"ips": [{**ADDRESS, "interface": 0}]},
        {"IPs": [{"Address": "10.1.0.2/16"}]},
    ],
)
def test_what_other_plugins_leave_empty_or_add(version: str, more: dict[str, Any]) -> None:
    document = {"cniVersion": version, "ips": [ADDRESS], **more}
    if "IPs" in more:
        del document["ips"]
    assert read(document) == Result(ips=(IPConfig(parse_interface("10.1.0.2/16")),))


@pytest.mark.parametrize("index", [-1, -(2**31), 1, 9])
def test_an_index_that_leads_to_no_interface_is_none(index: int) -> None:
    ips = [{**ADDRESS, "interface": index}]
    found = read({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}], "ips": ips})
    assert found.ips[0].interface is None


@pytest.mark.parametrize("key", ["mtu", "advmss", "priority"])
def test_a_route_attribute_of_zero_is_none_as_in_go(key: str) -> None:
    route = {"dst": "10.0.0.0/8", "gw": "", key: 0}
    assert read({"cniVersion": "1.1.0", "routes": [route]}).routes == (
        Route(parse_interface("10.0.0.0/8").network),
    )


@pytest.mark.parametrize("key", ["table", "scope"])
def test_table_and_scope_zero_are_said(key: str) -> None:
    route = {"dst": "10.0.0.0/8", key: 0}
    found = read({"cniVersion": "1.1.0", "routes": [route]}).routes[0]
    assert getattr(found, key) == 0
    assert encode(Result(routes=(found,)), "1.1.0")["routes"] == [route]


def test_the_host_bits_of_a_route_are_cleared() -> None:
    found = read({"cniVersion": "1.0.0", "routes": [{"dst": "10.1.2.3/8"}]})
    assert str(found.routes[0].dst) == "10.0.0.0/8"


def test_a_missing_version_is_the_callers_or_the_first() -> None:
    lists = {"ips": [ADDRESS]}
    assert read(lists, "1.0.0").ips
    assert read({"ip4": {"ip": "10.1.0.2/16"}}).ips
    assert read({**lists, "cniVersion": "0.4.0"}, "0.1.0").ips
    assert not read(lists).ips


@pytest.mark.parametrize("version", FAMILIES)
def test_the_old_shape_with_everything_empty(version: str) -> None:
    assert read({"cniVersion": version, "ip4": None, "dns": {}}) == Result()


def test_dns_of_every_version_is_read() -> None:
    dns = {"nameservers": ["10.1.0.1"], "domain": "d", "search": ["s"], "options": ["o"]}
    for version in SPEC_VERSIONS:
        assert read({"cniVersion": version, "dns": dns}).dns == DNS(
            ("10.1.0.1",), "d", ("s",), ("o",)
        )


# ---- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"interfaces": {}}, "interfaces"),
        ({"interfaces": [3]}, "interfaces[0]"),
        ({"interfaces": [{}]}, "interfaces[0].name"),
        ({"interfaces": [{"name": "a"}, {"name": ""}]}, "interfaces[1].name"),
        ({"interfaces": [{"name": "a", "mac": 3}]}, "interfaces[0].mac"),
        ({"interfaces": [{"name": "a", "mtu": -1}]}, "interfaces[0].mtu"),
        ({"interfaces": [{"name": "a", "mtu": "9000"}]}, "interfaces[0].mtu"),
        ({"ips": 3}, "ips"),
        ({"ips": [{}]}, "ips[0].address"),
        ({"ips": [{"address": "10.1.0.2"}]}, "ips[0].address"),
        ({"ips": [{"address": ""}]}, "ips[0].address"),
        ({"ips": [ADDRESS, {**ADDRESS, "gateway": "x"}]}, "ips[1].gateway"),
        ({"ips": [{**ADDRESS, "interface": "0"}]}, "ips[0].interface"),
        ({"ips": [{**ADDRESS, "interface": True}]}, "ips[0].interface"),
        ({"routes": [{}]}, "routes[0].dst"),
        ({"routes": [{"dst": "10.0.0.0"}]}, "routes[0].dst"),
        ({"routes": [{"dst": "10.0.0.0/8", "gw": "::1"}]}, "routes[0].gw"),
        ({"routes": [{"dst": "10.0.0.0/8", "mtu": 2**32}]}, "routes[0].mtu"),
        ({"routes": [{"dst": "10.0.0.0/8", "scope": 256}]}, "routes[0].scope"),
        ({"dns": []}, "dns"),
        ({"dns": {"nameservers": "10.1.0.1"}}, "dns.nameservers"),
        ({"dns": {"search": [None]}}, "dns.search[0]"),
    ],
)
def test_a_wrong_key_is_named(more: dict[str, Any], key: str) -> None:
    with pytest.raises(CniError) as raised:
        read({"cniVersion": "1.1.0", **more})
    assert raised.value.code == INVALID_CONFIG
    assert raised.value.msg.startswith(f'key "{key}": ')


@pytest.mark.parametrize("version", FAMILIES)
@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"ip4": []}, "ip4"),
        ({"ip4": {}}, "ip4.ip"),
        ({"ip6": {"ip": "::1"}}, "ip6.ip"),
        ({"ip4": {"ip": "10.1.0.2/16", "routes": [{"dst": 3}]}}, "ip4.routes[0].dst"),
    ],
)
def test_a_wrong_key_of_the_old_shape_is_named(
    version: str, more: dict[str, Any], key: str
) -> None:
    with pytest.raises(CniError) as raised:
        read({"cniVersion": version, **more})
    assert raised.value.code == INVALID_CONFIG
    assert raised.value.msg.startswith(f'key "{key}": ')


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(CniError, match=r"2\.0\.0") as raised:
        read({"cniVersion": "2.0.0"})
    assert raised.value.code == INCOMPATIBLE_VERSION


@given(
    st.sampled_from(SPEC_VERSIONS),
    st.dictionaries(
        st.sampled_from(["interfaces", "ips", "routes", "dns", "ip4", "ip6", "cniVersion"]),
        JSON
        | st.lists(
            st.dictionaries(
                st.sampled_from(["name", "address", "interface", "dst", "gw", "mtu", "ip"]), JSON
            ),
            max_size=2,
        ),
    ),
)
def test_anything_is_a_result_or_a_named_error(version: str, document: dict[str, Any]) -> None:
    try:
        found = decode(JsonObject(document), version)
    except CniError as refused:
        failure = refused
    else:
        assert isinstance(found, Result)
        return
    assert failure.code in (INVALID_CONFIG, INCOMPATIBLE_VERSION)
    assert failure.msg.startswith('key "')


def test_old_readers_get_no_interface_attributes_and_all_route_attributes() -> None:
    old = encode(ALL_ATTRIBUTES, "0.4.0")
    assert set(old["interfaces"][0]) == {"name", "mac", "sandbox"}  # type: ignore[index,arg-type]
    assert read(old).routes == ALL_ATTRIBUTES.routes
