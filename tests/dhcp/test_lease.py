"""A lease's life with real servers: got, renewed, changed, lost, given back."""

from __future__ import annotations

import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni import jsontext
from cni.errors import TRY_AGAIN_LATER
from cni_dhcp.config import Terms
from tests.dhcp.world import (
    IMPATIENT,
    OTHER_RANGE,
    QUICK,
    RANGE4,
    Daemon,
    Dhcpd,
    Dnsmasq,
    Lan,
    Network,
    addresses,
)
from tests.kit.calls import Document, PluginError
from tests.kit.namespace import Namespace
from tests.kit.probe import wait_until


def ip_of(result: Document) -> str:
    return addresses(result)[0].partition("/")[0]


def test_a_container_gets_an_address_and_gives_it_back(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    result = network.add(container)
    (address,) = addresses(result)
    assert address.startswith("10.99.0.")
    assert result["ips"][0]["gateway"] == "10.99.0.1"
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.99.0.1"}]
    assert container.addresses("eth0") == [address]
    assert container.ip("route", "show", "default")[0]["gateway"] == "10.99.0.1"
    network.runtime.check(network.config, result, netns=container)
    (file,) = daemon.directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.directory.stat().st_mode) == 0o700
    network.delete(container)
    server.wait(f"DHCPRELEASE.* {ip_of(result)} ")
    assert daemon.files == []


def test_the_server_knows_the_container_by_its_names(
    network: Network, server: Dnsmasq, container: Namespace
) -> None:
    """`container/network/ifname`, of type 0, as the reference has it."""
    network.add(container)
    assert b"\0c1/net/eth0".hex(":") in server.leases.read_text()
    network.delete(container)


def test_the_same_container_gets_the_same_address_again(
    network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    """Although its MAC is another one each time: a server that remembers clients sees the same."""
    with Dhcpd(lan, tmp_path, "range 10.99.0.10 10.99.0.99;"):
        first = network.add(container)
        network.delete(container)
        assert addresses(network.add(container, ifname="eth1")) != addresses(first)
        assert addresses(network.add(container)) == addresses(first)
        network.delete(container)
        network.delete(container, ifname="eth1")


def test_it_renews_when_the_server_says(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    with Dhcpd(lan, tmp_path, *QUICK) as server:
        result = network.add(container)
        (before,) = daemon.files
        got = server.mark()
        server.wait(f"DHCPACK on {ip_of(result)} ", got)
        daemon.wait('"msg":"lease".*"changed":false')
        (after,) = daemon.files
        assert after["lease4"]["times"][2] > before["lease4"]["times"][2]
        assert container.addresses("eth0") == addresses(result)
        network.delete(container)


def test_a_refused_lease_is_replaced_and_applied(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    with Dnsmasq(lan, tmp_path, RANGE4) as server:
        result = network.add(container)
    container.command("ip", "route", "add", "10.5.0.0/16", "dev", "eth0")
    server.forget()
    options = (OTHER_RANGE, "--dhcp-option=option:router,10.99.0.7")
    with Dnsmasq(lan, tmp_path, *options) as server:
        daemon.renew()
        server.wait("DHCPNAK")
        daemon.wait('"msg":"lease".*"changed":true')
        (address,) = container.addresses("eth0")
        assert address.startswith("10.99.0.1")
        assert address not in addresses(result)
        (default,) = container.ip("route", "show", "default")
        assert default["gateway"] == "10.99.0.7"
        assert container.ip("route", "show", "10.5.0.0/16"), "a route of somebody else's"
        with pytest.raises(PluginError, match=f"given {address} meanwhile"):
            network.runtime.check(network.alone, result, netns=container)
        network.delete(container)
        server.wait(f"DHCPRELEASE.* {address.partition('/')[0]} ")


def test_a_changed_gateway_is_applied(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    with Dnsmasq(lan, tmp_path, RANGE4):
        result = network.add(container)
    with Dnsmasq(lan, tmp_path, RANGE4, "--dhcp-option=option:router,10.99.0.7"):
        daemon.renew()
        daemon.wait('"msg":"lease".*"changed":true')
        assert container.addresses("eth0") == addresses(result)
        (default,) = container.ip("route", "show", "default")
        assert default["gateway"] == "10.99.0.7"
        network.delete(container)


def test_an_address_that_the_interface_has_not_is_not_replaced(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    """It is somebody else's, such as a virtual machine's; the lease is kept all the same."""
    with Dnsmasq(lan, tmp_path, RANGE4) as server:
        result = network.add(container)
        container.command("ip", "address", "flush", "dev", "eth0")
        got = server.mark()
        daemon.renew()
        server.wait(f"DHCPACK.* {ip_of(result)} ", got)
    server.forget()
    with Dnsmasq(lan, tmp_path, OTHER_RANGE):
        daemon.renew()
        daemon.wait('"msg":"lease".*"changed":true')
        assert container.addresses("eth0") == []
        network.delete(container)


def test_while_no_server_answers_the_address_stays(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    with Dnsmasq(lan, tmp_path, RANGE4):
        result = network.add(container)
    daemon.renew()
    daemon.wait('"msg":"no answer"')
    assert container.addresses("eth0") == addresses(result)
    with Dnsmasq(lan, tmp_path, RANGE4) as server:
        daemon.renew()
        server.wait(f"DHCPACK.* {ip_of(result)} ")
        network.delete(container)


def test_any_server_may_take_a_lease_over(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    """The one that gave it is gone: from the rebinding time on everybody is asked."""
    with Dhcpd(lan, tmp_path, *QUICK):
        result = network.add(container)
    lan.servers.command("ip", "address", "delete", "10.99.0.1/24", "dev", "eth0")
    lan.servers.command("ip", "address", "add", "10.99.0.2/24", "dev", "eth0")
    with Dnsmasq(lan, tmp_path, RANGE4, "--dhcp-authoritative") as server:
        server.wait(f"DHCPACK.* {ip_of(result)} ")
        daemon.wait('"msg":"lease"')
        assert daemon.count('"msg":"no answer".*"everybody":false')
        assert daemon.files[0]["lease4"]["server"] == "10.99.0.2"
        assert container.addresses("eth0") == addresses(result)
        network.delete(container)


def test_a_lease_that_runs_out_is_taken_off_and_got_again(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    statements = (
        "range 10.99.0.10 10.99.0.99;",
        "option routers 10.99.0.1;",
        "default-lease-time 2; max-lease-time 2;",
    )
    with Dhcpd(lan, tmp_path, *statements):
        result = network.add(container)
        begun = time.monotonic()
    daemon.wait('"msg":"expired"')
    assert time.monotonic() - begun < 5
    wait_until(lambda: container.addresses("eth0") == [])
    with pytest.raises(PluginError, match="lease is lost"):
        network.runtime.check(network.alone, result, netns=container)
    after = daemon.mark()
    with Dhcpd(lan, tmp_path, *statements):
        daemon.wait('"msg":"lease".*"changed":true', after)
        assert container.addresses("eth0") == addresses(result)
        assert container.ip("route", "show", "default")[0]["gateway"] == "10.99.0.1"
        network.delete(container)


def test_without_a_server_add_fails_in_time(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace
) -> None:
    daemon.start_again(IMPATIENT)
    begun = time.monotonic()
    with pytest.raises(PluginError) as caught:
        network.add(container)
    assert 0.9 < time.monotonic() - begun < 4
    assert caught.value.code == TRY_AGAIN_LATER
    assert "no DHCPv4 server gave interface eth0 an address within 1 s" in caught.value.msg
    assert "DISCOVER, heard nothing" in caught.value.msg
    assert "see that one serves the network" in caught.value.msg
    assert container.links().keys() == {"lo"}


def test_a_server_without_addresses_left(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    daemon.start_again(IMPATIENT)
    only = "--dhcp-range=10.99.0.10,10.99.0.10,255.255.255.0,1h"
    with Dnsmasq(lan, tmp_path, only) as server:
        network.add(container)
        with pytest.raises(PluginError, match="has addresses left"):
            network.runtime.add(network.config, container="c2", ifname="eth1", netns=container)
        server.wait("no address available")
        network.delete(container)


def test_a_server_that_gives_no_netmask_is_named(
    network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    network.daemon.start_again(IMPATIENT)
    with (
        Dnsmasq(lan, tmp_path, RANGE4, "--dhcp-option=1"),
        pytest.raises(PluginError, match=r"10\.99\.0\.1 without a subnet mask"),
    ):
        network.add(container)


def test_the_plugin_goes_away_during_add(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace
) -> None:
    """Nothing is asked for any more, and nothing kept."""
    lan.plug(container, "eth0", "port")
    found = container.path.stat()
    question: Document = {
        "verb": "ADD",
        "network": "net",
        "container": "c1",
        "ifname": "eth0",
        "netns": str(container),
        "namespace": [found.st_dev, found.st_ino],
        "terms": Terms(True, "none", (), (1, 3), 0, False).document(),
    }
    with socket.socket(socket.AF_UNIX) as plugin:
        plugin.connect(str(daemon.socket))
        plugin.sendall(jsontext.dumps(question).encode() + b"\n")
        assert plugin.recv(1) == b"\n", "a sign of life"
    daemon.wait("the plugin went away")
    with pytest.raises(PluginError, match="keeps no lease"):
        network.runtime.check(network.alone, {"cniVersion": "1.1.0"}, netns=container)
    container.command("ip", "link", "delete", "eth0")


@pytest.mark.parametrize("end", [Daemon.stop, Daemon.kill])
def test_a_daemon_that_ended_goes_on_where_it_was(
    end: Callable[[Daemon], int], network: Network, lan: Lan, container: Namespace, tmp_path: Path
) -> None:
    daemon = network.daemon
    with Dhcpd(lan, tmp_path, *QUICK) as server:
        result = network.add(container)
        end(daemon)
        assert len(daemon.files) == 1
        got = server.mark()
        daemon.start()
        daemon.wait('"msg":"resumed","leases":1')
        server.wait(f"DHCPACK on {ip_of(result)} ", got)
        network.runtime.check(network.config, result, netns=container)
        network.delete(container)
        server.wait(f"DHCPRELEASE of {ip_of(result)} ")


def test_what_changed_while_the_daemon_was_away_is_applied(
    network: Network, lan: Lan, daemon: Daemon, container: Namespace, tmp_path: Path
) -> None:
    with Dhcpd(lan, tmp_path, *QUICK):
        network.add(container)
        daemon.kill()
    with Dnsmasq(lan, tmp_path, OTHER_RANGE) as other:
        daemon.start()
        other.wait("DHCPNAK")
        daemon.wait('"msg":"lease".*"changed":true')
        (address,) = container.addresses("eth0")
        assert address.startswith("10.99.0.1")
        network.delete(container)


def test_a_container_that_went_without_a_del(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    network.add(container)
    container.command("ip", "link", "delete", "eth0")
    daemon.renew()
    daemon.wait('"msg":"gone"')
    assert daemon.files == []
    network.delete("")


def test_a_namespace_that_went_while_the_daemon_was_away(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    network.add(container)
    daemon.kill()
    container.command("ip", "link", "delete", "eth0")
    container.close()
    daemon.start()
    daemon.renew()
    daemon.wait('"msg":"gone"')
    assert daemon.files == []


def test_a_torn_file_is_no_obstacle(daemon: Daemon, network: Network) -> None:
    daemon.kill()
    daemon.directory.mkdir(exist_ok=True)
    for number, content in enumerate((b"", b"{", b"{}", b"\0" * 100, b'{"network": 5}')):
        (daemon.directory / f"{number}.json").write_bytes(content)
    (daemon.directory / "5.json.unfinished").write_text("{")
    daemon.start()
    assert daemon.count("removed a torn file") == 5
    assert daemon.files == []
    network.runtime.status(network.alone)


def test_the_daemon_holds_no_namespace_open(
    network: Network, server: Dnsmasq, daemon: Daemon, container: Namespace
) -> None:
    """One that it held would live on, with its interfaces, after its container."""
    network.add(container)
    inode = container.path.stat().st_ino
    open_files = [path.readlink() for path in Path(f"/proc/{daemon.pid}/fd").iterdir()]
    assert f"net:[{inode}]" not in map(str, open_files)
    assert not [path for path in map(str, open_files) if path.startswith("/proc")]
    network.delete(container)
