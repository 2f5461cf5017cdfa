"""IPv6: leases of a DHCPv6 server, addresses the kernel forms of what routers announce."""

from __future__ import annotations

from pathlib import Path

import pytest

from cni.errors import TRY_AGAIN_LATER
from tests.dhcp.world import IMPATIENT, RANGE4, Daemon, Dnsmasq, Lan, Network, addresses
from tests.kit.calls import PluginError
from tests.kit.namespace import Namespace
from tests.kit.probe import wait_reach, wait_until

SLAAC = ("--dhcp-range=fd99::,ra-only,64,1h", "--enable-ra")
STATEFUL = ("--dhcp-range=fd99::100,fd99::1ff,64,1h", "--enable-ra")
BOTH = ("--dhcp-range=fd99::100,fd99::1ff,slaac,64,1h", "--enable-ra")
OTHER_STATEFUL = ("--dhcp-range=fd99::500,fd99::5ff,64,1h", "--enable-ra")


@pytest.fixture
def only_six(network: Network) -> Network:
    network.ipam["ipv4"] = False
    return network


def router_of(lan: Lan) -> str:
    (found,) = lan.servers.ip("-6", "address", "show", "dev", "eth0")
    return str(next(one["local"] for one in found["addr_info"] if one["scope"] == "link"))


def test_an_address_of_a_routers_prefix(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    only_six.ipam["ipv6"] = "slaac"
    with Dnsmasq(lan, tmp_path, *SLAAC):
        result = only_six.add(container)
        (one,) = result["ips"]
        assert one["address"].startswith("fd99::")
        assert one["address"].endswith("/64")
        assert one["gateway"] == router_of(lan)
        assert container.addresses("eth0") == [one["address"]]
        (default,) = container.ip("-6", "route", "show", "default")
        assert (default["gateway"], default["protocol"]) == (one["gateway"], "ra")
        only_six.runtime.check(only_six.config, result, netns=container)
        wait_reach(container, "fd99::1")
        only_six.delete(container)


def test_an_address_of_a_server(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    only_six.ipam |= {"ipv6": "dhcp", "request": [{"option": "6"}, {"option": "domain-search"}]}
    options = ("--dhcp-option=option6:dns-server,[fd99::3]", "--dhcp-option=option6:24,example.org")
    with Dnsmasq(lan, tmp_path, *STATEFUL, *options) as server:
        result = only_six.add(container)
        (one,) = result["ips"]
        assert one["address"].startswith("fd99::1")
        assert one["address"].endswith("/128")
        assert one["gateway"] == router_of(lan)
        assert result["dns"] == {"nameservers": ["fd99::3"], "search": ["example.org"]}
        assert container.addresses("eth0") == [one["address"]]
        assert container.ip("-6", "route", "show", "default")
        only_six.runtime.check(only_six.config, result, netns=container)
        wait_reach(container, "fd99::1")
        got = server.mark()
        daemon.renew()
        server.wait("DHCPRENEW", got)
        daemon.wait('"msg":"lease".*IPv6.*"changed":false')
        only_six.delete(container)
        assert "fd99::1" not in server.end("", after=got), "released"


def test_without_routers_a_servers_address_stands_alone(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    only_six.ipam["ipv6"] = "dhcp"
    with Dnsmasq(lan, tmp_path, STATEFUL[0]):
        result = only_six.add(container)
        assert "gateway" not in result["ips"][0]
        only_six.delete(container)


def test_what_the_router_says_goes(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    only_six.ipam["ipv6"] = "auto"
    with Dnsmasq(lan, tmp_path, *SLAAC):
        assert addresses(only_six.add(container))[0].endswith("/64")
        assert not daemon.files[0]["lease6"]
        only_six.delete(container)
    with Dnsmasq(lan, tmp_path, *BOTH) as server:
        result = only_six.add(container)
        assert [one.partition("/")[2] for one in addresses(result)] == ["128", "64"]
        assert sorted(container.addresses("eth0")) == sorted(addresses(result))
        only_six.runtime.check(only_six.config, result, netns=container)
        only_six.delete(container)
        server.wait("DHCPRELEASE")


def test_both_families_at_once(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    network.ipam["ipv6"] = "dhcp"
    with Dnsmasq(lan, tmp_path, RANGE4, *STATEFUL) as server:
        result = network.add(container)
        assert [":" in one for one in addresses(result)] == [False, True]
        assert container.addresses("eth0") == addresses(result)
        network.runtime.check(network.config, result, netns=container)
        daemon.kill()
        daemon.start()
        got = server.mark()
        daemon.renew()
        server.wait("DHCPRENEW", got)
        server.wait("DHCPACK", got)
        network.delete(container)
        left = server.end(" 10.99.0.", r"\) [0-9a-f]+:", after=got)
        assert "10.99.0." not in left
        assert "fd99::1" not in left


def test_one_family_that_fails_gives_the_others_address_back(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    daemon.start_again(IMPATIENT)
    network.ipam["ipv6"] = "slaac"
    with Dnsmasq(lan, tmp_path, RANGE4) as server:
        with pytest.raises(PluginError, match="no router gave interface eth0 an") as caught:
            network.add(container)
        assert caught.value.code == TRY_AGAIN_LATER
        assert "router solicitation" in caught.value.msg
        server.wait("DHCPRELEASE")
        assert container.links().keys() == {"lo"}


def test_a_router_that_leaves_addresses_to_a_server(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    daemon.start_again(IMPATIENT)
    only_six.ipam["ipv6"] = "slaac"
    with (
        Dnsmasq(lan, tmp_path, *STATEFUL),
        pytest.raises(PluginError, match="a DHCPv6 server gives addresses"),
    ):
        only_six.add(container)


def test_no_server_of_ipv6(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace
) -> None:
    daemon.start_again(IMPATIENT)
    only_six.ipam["ipv6"] = "dhcp"
    with pytest.raises(PluginError, match="no DHCPv6 server or router") as caught:
        only_six.add(container)
    assert "SOLICIT" in caught.value.msg


def test_a_server_without_addresses(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    daemon.start_again(IMPATIENT)
    only_six.ipam["ipv6"] = "dhcp"
    with (
        Dnsmasq(lan, tmp_path, "--dhcp-range=fd99::100,fd99::100,64,1h", "--enable-ra"),
    ):
        only_six.add(container)
        with pytest.raises(PluginError, match="a server has no address: NoAddrsAvail"):
            only_six.runtime.add(only_six.config, netns=container, ifname="eth1")
        only_six.delete(container)


def test_a_lease_that_the_server_does_not_know_any_more_is_replaced(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    only_six.ipam["ipv6"] = "dhcp"
    with Dnsmasq(lan, tmp_path, *STATEFUL) as server:
        before = addresses(only_six.add(container))
    server.forget()
    with Dnsmasq(lan, tmp_path, *OTHER_STATEFUL) as server:
        daemon.renew()
        daemon.wait('"msg":"lease".*IPv6.*"changed":true')
        (after,) = container.addresses("eth0")
        assert after.startswith("fd99::5")
        assert [after] != before
        only_six.delete(container)
        assert "fd99::5" not in server.end(""), "released"


def test_a_prefix_that_changes_is_the_kernels_affair(
    only_six: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    only_six.ipam["ipv6"] = "slaac"
    with Dnsmasq(lan, tmp_path, *SLAAC):
        only_six.add(container)
    lan.servers.command("ip", "address", "add", "fd98::1/64", "dev", "eth0", "nodad")
    with Dnsmasq(lan, tmp_path, "--dhcp-range=fd98::,ra-only,64,1h", "--enable-ra"):
        wait_until(lambda: any(one.startswith("fd98:") for one in container.addresses("eth0")))
        only_six.delete(container)


@pytest.mark.parametrize("version", ["0.2.0", "0.4.0"])
def test_the_result_in_every_version(
    version: str, only_six: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    only_six.version = version
    only_six.ipam["ipv6"] = "slaac"
    with Dnsmasq(lan, tmp_path, *SLAAC):
        result = only_six.add(container)
        if version in ("0.1.0", "0.2.0"):
            assert result["ip6"]["ip"].startswith("fd99::")
        else:
            assert addresses(result)[0].startswith("fd99::")
        only_six.delete(container)
