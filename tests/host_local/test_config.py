"""Every key of the configuration: what is accepted, and how a wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import INCOMPATIBLE_VERSION, INVALID_CONFIG, INVALID_ENVIRONMENT, NOT_AVAILABLE
from tests.host_local.network import V4, V6, Network
from tests.kit.versions import SPEC_VERSIONS, each_version

NO_STRING: list[Any] = [5, True, 1.5, [], {}, ["10.1.2.0/24"]]
NO_ADDRESS: list[Any] = [
    *NO_STRING,
    "banana",
    "10.1.2",
    "10.1.2.300",
    "10.1.2.3/24",
    "fe80::1%eth0",
]
NO_SUBNET: list[Any] = [
    *NO_STRING,
    "",
    "10.1.2.0",
    "10.1.2.0/33",
    "10.1.2.0/-1",
    "10.1.2.0/255.0.0.0",
]
NO_LIST: list[Any] = [5, True, "10.1.2.0/24", {}]
NO_OBJECT: list[Any] = [5, True, "x", []]


def nested(path: str, value: Any) -> dict[str, Any]:
    """A config with the value at that path; every other key of it is right."""
    ipam: dict[str, Any] = {"type": "host-local", "ranges": [[dict(V4)]]}
    config: dict[str, Any] = {"ipam": ipam, "runtimeConfig": {}, "args": {"cni": {}}}
    if path.startswith("runtimeConfig.ipRanges[0][0]"):
        config["runtimeConfig"]["ipRanges"] = [[{"subnet": "10.9.0.0/24"}]]
    at: Any = config
    *parents, last = path.replace("[", ".[").split(".")
    for name in parents:
        at = at[int(name[1:-1])] if name.startswith("[") else at[name]
    if last.startswith("["):
        at[int(last[1:-1])] = value
    else:
        at[last] = value
    return config


CASES = [
    *(("ipam", value) for value in [*NO_OBJECT, None]),
    *(("ipam.dataDir", value) for value in [*NO_STRING, "a\0b", "\ud800"]),
    *(("ipam.resolvConf", value) for value in [*NO_STRING, "a\0b"]),
    *(("ipam.reportExhaustion", value) for value in [0, 1, "true", [], {}]),
    *(("ipam.releaseOnReboot", value) for value in [0, 1, "true", [], {}]),
    *(("ipam.ranges", value) for value in [*NO_LIST, None, []]),
    *(("ipam.ranges[0]", value) for value in [*NO_LIST, None, []]),
    *(("ipam.ranges[0][0]", value) for value in [*NO_OBJECT, None]),
    *(("ipam.ranges[0][0].subnet", value) for value in [*NO_SUBNET, None]),
    *(("ipam.ranges[0][0].rangeStart", value) for value in NO_ADDRESS),
    *(("ipam.ranges[0][0].rangeEnd", value) for value in NO_ADDRESS),
    *(("ipam.ranges[0][0].gateway", value) for value in NO_ADDRESS),
    *(("ipam.ranges[0][0].exclude", value) for value in NO_LIST),
    *(("ipam.subnet", value) for value in NO_SUBNET if value != ""),
    *(("ipam.rangeStart", value) for value in NO_ADDRESS),
    *(("ipam.rangeEnd", value) for value in NO_ADDRESS),
    *(("ipam.gateway", value) for value in NO_ADDRESS),
    *(("ipam.exclude", value) for value in NO_LIST),
    *(("ipam.routes", value) for value in NO_LIST),
    *(("runtimeConfig", value) for value in NO_OBJECT),
    *(("runtimeConfig.ipRanges", value) for value in NO_LIST),
    *(("runtimeConfig.ipRanges[0][0].subnet", value) for value in [*NO_SUBNET, None]),
    *(("runtimeConfig.ips", value) for value in NO_LIST),
    *(("args", value) for value in NO_OBJECT),
    *(("args.cni", value) for value in NO_OBJECT),
    *(("args.cni.ips", value) for value in NO_LIST),
]


@pytest.mark.parametrize(("path", "value"), CASES)
def test_wrong_values_are_named(network: Network, path: str, value: Any) -> None:
    config = nested(path, value)
    data_dir = str(network.tmp_path / "data")
    if isinstance(config["ipam"], dict):
        config["ipam"].setdefault("dataDir", data_dir)
    network.ipam = config.pop("ipam")
    network.extra = config
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert f'key "{path}"' in error.msg
    assert "expected" in error.msg
    assert not network.directory.exists(), "nothing is created"
    assert network.fails("status").code == NOT_AVAILABLE


ELEMENTS: list[tuple[str, list[Any]]] = [
    ("ipam.exclude", [5, None, "x", "10.1.2.9/40", "10.1.2.1-10.1.2.9", [], {}]),
    ("ipam.ranges[0][0].exclude", [5, None, "x", "10.1.2.9/40", "10.9.9.9", "10.1.0.0/16", "::1"]),
    ("runtimeConfig.ips", [5, None, "x", "", "10.1.2.9/40", {}]),
    ("args.cni.ips", [5, None, "x", "", "10.1.2.9/40", {}]),
    ("ipam.routes", [5, None, "0.0.0.0/0", []]),
    ("runtimeConfig.ipRanges", [5, None, {}, "10.9.0.0/24", []]),
]


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in ELEMENTS for value in values]
)
def test_wrong_elements_are_named(network: Network, path: str, value: Any) -> None:
    config = nested(path, [value])
    network.ipam = {**config.pop("ipam"), "dataDir": str(network.tmp_path / "data")}
    network.extra = config
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert f'key "{path}[0]"' in error.msg


ROUTES = [
    ({"gw": "10.1.2.1"}, "dst"),
    ({"dst": "10.9.0.0"}, "dst"),
    ({"dst": "10.9.0.0/16", "gw": "::1"}, "gw"),
    ({"dst": "10.9.0.0/16", "gw": 5}, "gw"),
    ({"dst": "10.9.0.0/16", "mtu": "1400"}, "mtu"),
    ({"dst": "10.9.0.0/16", "mtu": -1}, "mtu"),
    ({"dst": "10.9.0.0/16", "advmss": 1.5}, "advmss"),
    ({"dst": "10.9.0.0/16", "priority": 2**32}, "priority"),
    ({"dst": "10.9.0.0/16", "table": True}, "table"),
    ({"dst": "10.9.0.0/16", "scope": 256}, "scope"),
]


@pytest.mark.parametrize(("route", "key"), ROUTES)
def test_wrong_routes_are_named(network: Network, route: Any, key: str) -> None:
    network.ipam["routes"] = [{"dst": "0.0.0.0/0"}, route]
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert f'key "ipam.routes[1].{key}"' in error.msg


RANGES = [
    ({"subnet": "10.1.2.3/24"}, "subnet", "the network address is 10.1.2.0/24"),
    ({"subnet": "10.1.2.0/31"}, "subnet", "too small to allocate from"),
    ({"subnet": "10.1.2.0/32"}, "subnet", "too small to allocate from"),
    ({"subnet": "2001:db8::/127"}, "subnet", "too small to allocate from"),
    ({"subnet": "::fffe:0:0/95"}, "subnet", "embedded IPv4"),
    ({"subnet": "::/64"}, "subnet", "embedded IPv4"),
    ({**V4, "gateway": "2001:db8::1"}, "gateway", "an IPv4 address"),
    ({**V6, "gateway": "10.1.2.1"}, "gateway", "an IPv6 address"),
    ({**V4, "rangeStart": "10.1.1.9"}, "rangeStart", "in network 10.1.2.0/24"),
    ({**V4, "rangeEnd": "10.1.3.9"}, "rangeEnd", "in network 10.1.2.0/24"),
    ({**V4, "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}, "rangeEnd", "10.1.2.9"),
    ({**V4, "rangeStart": "10.1.2.255"}, "rangeStart", "10.1.2.254"),
]


@pytest.mark.parametrize(("given", "key", "says"), RANGES)
def test_ranges_that_make_no_sense(
    network: Network, given: dict[str, str], key: str, says: str
) -> None:
    network.ranges([given])
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert f'key "ipam.ranges[0][0].{key}"' in error.msg
    assert says in error.msg


@pytest.mark.parametrize(
    "sets",
    [
        [[V4, {"subnet": "10.1.2.128/25"}]],
        [[V4], [{"subnet": "10.1.0.0/16"}]],
        [[V6], [V4], [V6]],
        [[{**V4, "rangeEnd": "10.1.2.99"}], [{**V4, "rangeStart": "10.1.2.99"}]],
    ],
)
def test_overlapping_ranges(network: Network, sets: Any) -> None:
    network.ranges(*sets)
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert "overlap" in error.msg


def test_ranges_side_by_side_in_one_subnet(network: Network) -> None:
    network.ranges([{**V4, "rangeEnd": "10.1.2.99"}], [{**V4, "rangeStart": "10.1.2.100"}])
    assert network.add() == "10.1.2.2 10.1.2.100"


def test_mixed_families_in_one_set(network: Network) -> None:
    network.ranges([V4, V6])
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert 'key "ipam.ranges[0]"' in error.msg
    assert "one address family" in error.msg


@pytest.mark.parametrize("exclude", [["10.1.2.0/24"], ["10.1.2.0/25", "10.1.2.128/25"]])
def test_a_set_of_which_all_is_excluded(network: Network, exclude: list[str]) -> None:
    network.ipam["exclude"] = exclude
    error = network.fails("add")
    assert error.code == INVALID_CONFIG
    assert 'key "ipam.ranges[0]"' in error.msg


def test_thousands_of_ranges_and_exclusions(network: Network) -> None:
    """Quadratic work would show here, by the test's time-out."""
    nets = [f"10.{high}.{low}.0/24" for high in range(20) for low in range(256)]
    network.ranges([{"subnet": net} for net in nets])
    network.ipam["exclude"] = [f"10.0.{low}.{n}" for low in range(256) for n in range(2, 10)]
    network.ipam["exclude"] += nets[256:-1]
    assert network.add() == "10.0.0.10"
    network.ipam["exclude"] += nets[:256]
    assert network.add("c2") == "10.19.255.2"


def test_no_ranges_at_all(network: Network) -> None:
    del network.ipam["ranges"]
    assert "no IP ranges specified" in network.fails("add").msg
    network.ipam["gateway"] = "10.1.2.1"  # says nothing without a subnet
    assert "no IP ranges specified" in network.fails("add").msg


def test_the_old_form_and_its_order(network: Network) -> None:
    """The runtime's sets first, then the range in `ipam` itself, then `ranges`."""
    network.ipam |= {
        "subnet": "10.3.0.0/24",
        "rangeStart": "10.3.0.10",
        "rangeEnd": "10.3.0.20",
        "gateway": "10.3.0.99",
        "exclude": ["10.3.0.10"],
    }
    network.extra = {"runtimeConfig": {"ipRanges": [[{"subnet": "10.4.0.0/24"}], [V6]]}}
    result = network.result()
    assert [(one["address"], one["gateway"]) for one in result["ips"]] == [
        ("10.4.0.2/24", "10.4.0.1"),
        ("2001:db8:1::2/64", "2001:db8:1::1"),
        ("10.3.0.11/24", "10.3.0.99"),
        ("10.1.2.2/24", "10.1.2.1"),
    ]
    assert [network.last(number) for number in range(4)] == [
        "10.4.0.2",
        "2001:db8:1::2",
        "10.3.0.11",
        "10.1.2.2",
    ]


def test_keys_match_in_any_case_and_unknown_ones_are_ignored(network: Network) -> None:
    network.ipam["ranges"] = [[{"Subnet": "10.1.2.0/24", "RANGESTART": "10.1.2.7", "x": [1]}]]
    network.ipam["Exclude"] = ["10.1.2.7"]
    network.ipam["unknown"] = {"any": "thing"}
    assert network.add() == "10.1.2.8"


def test_nulls_and_empty_strings_mean_absent(network: Network) -> None:
    network.ranges([{**V4, "rangeStart": None, "rangeEnd": "", "gateway": "", "exclude": None}])
    network.ipam |= {"subnet": "", "routes": None, "resolvConf": "", "exclude": None}
    network.extra = {"runtimeConfig": {"ips": None, "ipRanges": None}, "args": {"cni": None}}
    assert network.add(args="IP=;IgnoreUnknown=1") == "10.1.2.2"


def test_the_default_directory(network: Network) -> None:
    del network.ipam["dataDir"]
    network.add()
    network.directory = type(network.directory)("/var/lib/cni/networks/net")
    assert network.held == {"10.1.2.2": "c1\r\neth0"}
    network.delete()
    for name in ("lock", "last_reserved_ip.0"):
        (network.directory / name).unlink()
    network.directory.rmdir()
    network.directory.parent.rmdir()


def test_an_argument_that_is_no_address(network: Network) -> None:
    error = network.fails("add", args="IP=banana")
    assert error.code == INVALID_ENVIRONMENT
    assert "CNI_ARGS: IP" in error.msg
    assert "banana" in error.msg


@each_version
def test_validity_does_not_depend_on_the_version(network: Network, version: str) -> None:
    network.version = version
    network.ranges([{"subnet": "10.1.2.3/24"}])
    assert network.fails("add").code == INVALID_CONFIG


@each_version
def test_what_a_version_cannot_tell_is_not_reserved(network: Network, version: str) -> None:
    network.version = version
    network.ranges([V4], [{"subnet": "10.1.3.0/24"}])
    if SPEC_VERSIONS.index(version) >= SPEC_VERSIONS.index("0.3.0"):
        assert network.add() == "10.1.2.2 10.1.3.2"
        return
    error = network.fails("add")
    assert error.code == INCOMPATIBLE_VERSION
    assert "does not support more than 1 address per family" in error.msg
    assert network.held == {}
    network.delete()
