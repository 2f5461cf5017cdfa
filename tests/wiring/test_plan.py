"""The bridge's plan: gateways and routes from what the IPAM plugin allocated."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from cni.errors import CniError
from cni.result import DNS, IPConfig, Result, Route
from wiring import plan
from wiring.bridged import Bridged


def config(**keys: Any) -> Bridged:
    return Bridged("br0", ipam="host-local", **keys)


def ip(address: str, gateway: str = "") -> IPConfig:
    return IPConfig(ip_interface(address), ip_address(gateway) if gateway else None)


def route(dst: str, gw: str = "", **attributes: int) -> Route:
    return Route(ip_network(dst), ip_address(gw) if gw else None, **attributes)


V4 = ip("10.1.0.2/16", "10.1.0.1")
V6 = ip("2001:db8::2/64", "2001:db8::1")


def test_addresses_belong_to_the_container_interface() -> None:
    made = plan.make(config(), Result(ips=(V4, V6)))
    assert [one.interface for one in made.ips] == [2, 2]
    assert made.gateways == ()
    assert made.routes == ()


def test_the_gateway_is_the_bridge() -> None:
    made = plan.make(config(is_gateway=True), Result(ips=(V4, V6)))
    assert made.gateways == (ip_interface("10.1.0.1/16"), ip_interface("2001:db8::1/64"))
    assert made.routes == ()


def test_a_missing_gateway_is_the_first_address() -> None:
    made = plan.make(config(is_gateway=True), Result(ips=(ip("10.9.8.7/24"),)))
    assert made.ips[0].gateway == ip_address("10.9.8.1")
    assert plan.make(config(), Result(ips=(ip("10.9.8.7/24"),))).ips[0].gateway is None


def test_default_routes_of_each_family() -> None:
    made = plan.make(config(is_gateway=True, is_default_gateway=True), Result(ips=(V4, V6)))
    assert made.routes == (route("0.0.0.0/0", "10.1.0.1"), route("::/0", "2001:db8::1"))
    assert made.installed == made.routes


def test_a_default_route_that_is_there_stays_the_only_one() -> None:
    for gateway, installed in (("10.1.0.254", "10.1.0.254"), ("", "10.1.0.1")):
        given = route("0.0.0.0/0", gateway)
        made = plan.make(
            config(is_gateway=True, is_default_gateway=True), Result(ips=(V4,), routes=(given,))
        )
        assert made.routes == (given,)
        assert made.installed == (route("0.0.0.0/0", installed),)


def test_a_default_route_of_another_table_is_not_ours() -> None:
    given = route("0.0.0.0/0", "10.1.0.1", table=100)
    made = plan.make(
        config(is_gateway=True, is_default_gateway=True), Result(ips=(V4,), routes=(given,))
    )
    assert made.routes == (given, route("0.0.0.0/0", "10.1.0.1"))


def test_routes_take_their_familys_gateway_unless_on_link() -> None:
    given = (route("10.5.0.0/16"), route("fd00::/8"), route("10.6.0.0/16", scope=253))
    made = plan.make(config(), Result(ips=(V4, V6), routes=given))
    assert made.routes == given
    assert made.installed == (
        route("10.5.0.0/16", "10.1.0.1"),
        route("fd00::/8", "2001:db8::1"),
        route("10.6.0.0/16", scope=253),
    )


def test_a_route_given_twice_is_installed_once() -> None:
    given = (route("10.5.0.0/16"), route("10.5.0.0/16", "10.1.0.1"))
    assert len(plan.make(config(), Result(ips=(V4,), routes=given)).installed) == 1


def test_the_configs_dns_goes_first() -> None:
    allocated = Result(ips=(V4,), dns=DNS(nameservers=("1.1.1.1",)))
    assert plan.make(config(), allocated).dns.nameservers == ("1.1.1.1",)
    made = plan.make(config(dns=DNS(nameservers=("9.9.9.9",))), allocated)
    assert made.dns == DNS(nameservers=("9.9.9.9",))


def test_no_address_is_an_error() -> None:
    with pytest.raises(CniError, match="missing IP config"):
        plan.make(config(), Result())


def test_an_mtu_too_small_for_ipv6() -> None:
    assert plan.make(config(mtu=1000), Result(ips=(V4,))).ips
    with pytest.raises(CniError, match="at least 1280"):
        plan.make(config(mtu=1000), Result(ips=(V6,)))


def test_host_veth_names() -> None:
    names = {plan.host_veth(f"net/c{number}/eth0") for number in range(10000)}
    assert len(names) == 10000
    assert all(len(name) == 15 and name.startswith("veth") for name in names)
    # A release that names them otherwise cannot DEL what this one ADDed.
    assert plan.host_veth("net/c1/eth0") == "vethba363e9935a"
