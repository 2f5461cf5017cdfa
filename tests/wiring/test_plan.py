"""The plan: gateways and routes from what the IPAM plugin allocated."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from cni.errors import CniError
from cni.result import DNS, IPConfig, Result, Route
from wiring import plan


def make(allocated: Result, **keys: Any) -> plan.Plan:
    return plan.make(allocated, ipam="host-local", interface=2, **keys)


def ip(address: str, gateway: str = "") -> IPConfig:
    return IPConfig(ip_interface(address), ip_address(gateway) if gateway else None)


def route(dst: str, gw: str = "", **attributes: int) -> Route:
    return Route(ip_network(dst), ip_address(gw) if gw else None, **attributes)


V4 = ip("10.1.0.2/16", "10.1.0.1")
V6 = ip("2001:db8::2/64", "2001:db8::1")


def test_addresses_belong_to_the_container_interface() -> None:
    made = make(Result(ips=(V4, V6)))
    assert [one.interface for one in made.ips] == [2, 2]
    assert made.gateways == ()
    assert made.routes == ()


def test_the_gateway_is_the_bridge() -> None:
    made = make(Result(ips=(V4, V6)), is_gateway=True)
    assert made.gateways == (ip_interface("10.1.0.1/16"), ip_interface("2001:db8::1/64"))
    assert made.routes == ()


def test_a_missing_gateway_is_the_first_address() -> None:
    made = make(Result(ips=(ip("10.9.8.7/24"),)), is_gateway=True)
    assert made.ips[0].gateway == ip_address("10.9.8.1")
    assert make(Result(ips=(ip("10.9.8.7/24"),))).ips[0].gateway is None


def test_default_routes_of_each_family() -> None:
    made = make(Result(ips=(V4, V6)), is_gateway=True, is_default_gateway=True)
    assert made.routes == (route("0.0.0.0/0", "10.1.0.1"), route("::/0", "2001:db8::1"))
    assert made.installed == made.routes


def test_a_default_route_that_is_there_stays_the_only_one() -> None:
    for gateway, installed in (("10.1.0.254", "10.1.0.254"), ("", "10.1.0.1")):
        given = route("0.0.0.0/0", gateway)
        made = make(Result(ips=(V4,), routes=(given,)), is_gateway=True, is_default_gateway=True)
        assert made.routes == (given,)
        assert made.installed == (route("0.0.0.0/0", installed),)


def test_a_default_route_of_another_table_is_not_ours() -> None:
    given = route("0.0.0.0/0", "10.1.0.1", table=100)
    made = make(Result(ips=(V4,), routes=(given,)), is_gateway=True, is_default_gateway=True)
    assert made.routes == (given, route("0.0.0.0/0", "10.1.0.1"))


def test_routes_take_their_familys_gateway_unless_on_link() -> None:
    given = (route("10.5.0.0/16"), route("fd00::/8"), route("10.6.0.0/16", scope=253))
    made = make(Result(ips=(V4, V6), routes=given))
    assert made.routes == given
    assert made.installed == (
        route("10.5.0.0/16", "10.1.0.1"),
        route("fd00::/8", "2001:db8::1"),
        route("10.6.0.0/16", scope=253),
    )


def test_a_route_given_twice_is_installed_once() -> None:
    given = (route("10.5.0.0/16"), route("10.5.0.0/16", "10.1.0.1"))
    assert len(make(Result(ips=(V4,), routes=given)).installed) == 1


def test_the_configs_dns_goes_first() -> None:
    allocated = Result(ips=(V4,), dns=DNS(nameservers=("1.1.1.1",)))
    assert make(allocated).dns.nameservers == ("1.1.1.1",)
    made = make(allocated, dns=DNS(nameservers=("9.9.9.9",)))
    assert made.dns == DNS(nameservers=("9.9.9.9",))


def test_no_address_is_an_error() -> None:
    with pytest.raises(CniError, match="missing IP config"):
        make(Result())


def test_an_mtu_too_small_for_ipv6() -> None:
    assert make(Result(ips=(V4,)), mtu=1000).ips
    with pytest.raises(CniError, match="at least 1280"):
        make(Result(ips=(V6,)), mtu=1000)


def test_the_networks_routes_go_the_familys_way() -> None:
    more = (route("10.244.0.0/16"), route("10.8.0.0/16", "10.1.0.9"), route("fd00::/8"))
    made = make(Result(ips=(V4, V6)), routes=more)
    assert made.routes == more
    assert made.installed == (
        route("10.244.0.0/16", "10.1.0.1"),
        route("10.8.0.0/16", "10.1.0.9"),
        route("fd00::/8", "2001:db8::1"),
    )


def test_the_networks_routes_come_after_the_ipam_plugins() -> None:
    given = (route("10.244.0.0/16", "10.1.0.77"), route("10.9.0.0/16", table=100))
    more = (route("10.244.0.0/16"), route("10.9.0.0/16"))
    made = make(Result(ips=(V4,), routes=given), routes=more)
    assert made.routes == (*given, route("10.9.0.0/16"))


def test_the_networks_routes_that_the_container_does_not_need() -> None:
    """One into a family that it has not got, and one to its own subnet."""
    made = make(Result(ips=(V4,)), routes=(route("fd00::/8"), route("10.1.0.0/16")))
    assert made.routes == made.installed == ()


def test_a_default_route_of_the_network_is_the_only_one() -> None:
    more = (route("0.0.0.0/0", "10.1.0.9"),)
    made = make(Result(ips=(V4,)), routes=more, is_gateway=True, is_default_gateway=True)
    assert made.routes == more


def test_the_interfaces_place_is_the_plugins_affair() -> None:
    made = plan.make(Result(ips=(V4,)), ipam="host-local", interface=0)
    assert made.ips[0].interface == 0
