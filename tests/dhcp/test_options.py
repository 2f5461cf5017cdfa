"""What servers say, in the result; what a config has the client tell and ask them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cni.errors import INVALID_CONFIG
from tests.dhcp.world import RANGE4, Daemon, Dnsmasq, Lan, Network, addresses
from tests.kit.calls import PluginError
from tests.kit.namespace import Namespace
from tests.kit.versions import each_version

CLASSLESS = "--dhcp-option=121,10.5.0.0/16,10.99.0.7,10.99.0.7/32,0.0.0.0"
STATIC = "--dhcp-option=33,172.16.0.1,10.99.0.7"
REQUEST_ALL = [
    {"option": name}
    for name in (
        *("rfc3442-classless-static-routes", "33", "domain-name-servers", "domain-name"),
        *("domain-search", "interface-mtu"),
    )
]


def test_only_what_is_asked_for_comes(
    network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    with Dnsmasq(lan, tmp_path, RANGE4, CLASSLESS, "--dhcp-option=option:dns-server,10.99.0.3"):
        result = network.add(container)
        assert [one["dst"] for one in result["routes"]] == ["0.0.0.0/0"]
        assert "dns" not in result
        network.delete(container)


def test_classless_routes_are_all_routes(
    network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    network.ipam["request"] = REQUEST_ALL
    with Dnsmasq(lan, tmp_path, RANGE4, CLASSLESS, STATIC):
        result = network.add(container)
        assert result["ips"][0]["gateway"] == "10.99.0.1"
        assert result["routes"] == [
            {"dst": "10.5.0.0/16", "gw": "10.99.0.7"},
            {"dst": "10.99.0.7/32", "scope": 253},
        ]
        assert container.ip("route", "show", "10.5.0.0/16")[0]["gateway"] == "10.99.0.7"
        assert not container.ip("route", "show", "default")
        network.runtime.check(network.config, result, netns=container)
        network.delete(container)


def test_resolver_mtu_and_static_routes(
    network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    network.ipam["request"] = REQUEST_ALL
    options = (
        *(STATIC, "--dhcp-option=26,1400", "--dhcp-option=option:dns-server,10.99.0.3,10.99.0.4"),
        *("--domain=example.org", "--dhcp-option=option:domain-search,a.example.org,example.net"),
    )
    with Dnsmasq(lan, tmp_path, RANGE4, *options):
        result = network.add(container)
        assert result["dns"] == {
            "nameservers": ["10.99.0.3", "10.99.0.4"],
            "domain": "example.org",
            "search": ["a.example.org", "example.net"],
        }
        assert result["routes"] == [
            {"dst": "172.16.0.0/16", "gw": "10.99.0.7", "mtu": 1400},
            {"dst": "0.0.0.0/0", "gw": "10.99.0.1", "mtu": 1400},
        ]
        (default,) = container.ip("route", "show", "default")
        assert default["metrics"] == [{"mtu": 1400}]
        network.runtime.check(network.config, result, netns=container)
        network.delete(container)


def test_priority_is_the_metric_of_all_routes(
    network: Network, server: Dnsmasq, container: Namespace
) -> None:
    network.ipam["priority"] = 700
    result = network.add(container)
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.99.0.1", "priority": 700}]
    assert container.ip("route", "show", "default")[0]["metric"] == 700
    network.delete(container)


def test_suppress_leaves_the_way_out_to_another_network(
    network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    network.ipam["suppress"] = ["gateway"]
    network.ipam["request"] = [{"option": "33"}]
    with Dnsmasq(lan, tmp_path, RANGE4, STATIC):
        result = network.add(container)
        assert "gateway" not in result["ips"][0]
        assert [one["dst"] for one in result["routes"]] == ["172.16.0.0/16"]
        network.delete(container)


def test_what_the_server_is_told(network: Network, server: Dnsmasq, container: Namespace) -> None:
    network.ipam["provide"] = [
        {"option": "host-name", "value": "unused", "fromArg": "K8S_POD_NAME"},
        {"option": "vendor-class-identifier", "value": "pycni-test"},
        {"option": "user-class", "fromArg": "MISSING"},
        {"option": "61", "value": "me"},
    ]
    args = "IgnoreUnknown=1;K8S_POD_NAME=pod-7"
    network.add(container, args=args)
    server.wait("client provides name: pod-7")
    server.wait("vendor class: pycni-test")
    assert not server.count("user class")
    assert b"me".hex(":") in server.leases.read_text()
    network.delete(container, args=args)
    assert server.end("") == "", "released under the same identifier"


def test_a_value_that_is_too_long(network: Network, container: Namespace) -> None:
    network.ipam["provide"] = [{"option": "host-name", "fromArg": "NAME"}]
    with pytest.raises(PluginError, match="CNI_ARGS NAME: 300 bytes, expected 1 to 255") as caught:
        network.add(container, args="IgnoreUnknown=1;NAME=" + "x" * 300)
    assert caught.value.code == INVALID_CONFIG


@each_version
def test_the_result_in_every_version(
    version: str, network: Network, server: Dnsmasq, container: Namespace
) -> None:
    network.version = version
    result = network.add(container)
    if version in ("0.1.0", "0.2.0"):
        assert result["ip4"]["ip"].startswith("10.99.0.")
        assert result["ip4"]["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.99.0.1"}]
    else:
        assert addresses(result) == container.addresses("eth0")
    network.delete(container)
    server.wait("DHCPRELEASE")


def test_the_broadcast_flag(
    lan: Lan, network: Network, server: Dnsmasq, container: Namespace, daemon: Daemon
) -> None:
    daemon.start_again("-broadcast=true")
    network.add(container)
    server.wait("broadcast response")
    network.delete(container)
