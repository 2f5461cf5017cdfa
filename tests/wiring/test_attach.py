"""What a plugin may ask of a bridge and of its containers, and `bridge` has no key for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any, TypeAlias

import pytest

from cni.call import Call, read_call
from cni.errors import CHECK_FAILED, CniError
from cni.record import replace
from cni.result import Route
from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask
from wiring import attach, check, detach
from wiring.bridged import Bridged

ADDRESSES = ("10.244.1.5/24 10.244.1.1", "fd00:1:0:1::5/64 fd00:1:0:1::1")
POOLS = (ip_network("10.244.0.0/16"), ip_network("fd00:1::/48"))
CONFIG = Bridged("cni0", is_gateway=True, ip_masq=True, ipam="fake")

Caller: TypeAlias = Callable[..., Call]


@pytest.fixture
def calls(runtime: Runtime, fake: FakeIpam, container: Namespace) -> Caller:
    """Makes the calls of one attachment, whose addresses are ADDRESSES."""

    def make(command: str, **ipam: Any) -> Call:
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": str(container),
            "CNI_PATH": str(runtime.path),
        }
        section = fake.section(*ADDRESSES, **ipam)
        document = {"cniVersion": "1.1.0", "name": "net", "type": "any", "ipam": section}
        return read_call(environ, json.dumps(document).encode())

    return make


@pytest.fixture
def beyond(host: Host) -> Iterator[Namespace]:
    """A machine at the other end of the host's uplink, which also has addresses of POOLS."""
    made = host.container("beyond")
    host.command(
        "ip", "link", "add", "uplink", "type", "veth", "peer", "name", "e", "netns", str(made)
    )
    for ns, dev, number in ((host, "uplink", 1), (made, "e", 2)):
        for address in (f"192.0.2.{number}/24", f"2001:db8::{number}/64"):
            ns.command("ip", "address", "add", address, "dev", dev, "nodad")
        ns.command("ip", "link", "set", dev, "up")
    for address in ("10.244.9.9/32", "fd00:1:0:9::9/128"):
        made.command("ip", "address", "add", address, "dev", "e", "nodad")
    for ns, dev in ((host, "uplink"), (made, "e")):
        ns.wait_ready(dev)
    for ns, four, six, number in (
        (host, "10.244.9.0/24", "fd00:1:0:9::/64", 2),
        (made, "10.244.1.0/24", "fd00:1:0:1::/64", 1),
    ):
        ns.command("ip", "route", "add", four, "via", f"192.0.2.{number}")
        ns.command("ip", "route", "add", six, "via", f"2001:db8::{number}")
    yield made
    host.command("ip", "link", "delete", "uplink")


def test_within_its_networks_a_container_keeps_its_address(
    calls: Caller, beyond: Namespace, container: Namespace
) -> None:
    outside = (Route(ip_network("192.0.2.0/24")), Route(ip_network("2001:db8::/64")))
    config = replace(CONFIG, routes=(*(Route(pool) for pool in POOLS), *outside))
    seen = {}
    for name, inside in (("own subnet", ()), ("pools", POOLS)):
        attach.add(calls("ADD"), replace(config, inside=inside))
        with EchoServer(beyond, "0.0.0.0") as four, EchoServer(beyond, "::") as six:
            seen[name] = [
                ask(container, address, server.port).client
                for address, server in (
                    ("10.244.9.9", four),
                    ("192.0.2.2", four),
                    ("fd00:1:0:9::9", six),
                    ("2001:db8::2", six),
                )
            ]
        detach.delete(calls("DEL"), "fake")
    assert seen == {
        "own subnet": ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::1"],
        "pools": ["10.244.1.5", "192.0.2.1", "fd00:1:0:1::5", "2001:db8::1"],
    }


def test_check_compares_how_far_addresses_reach(calls: Caller, host: Host) -> None:
    config = replace(CONFIG, inside=POOLS)
    result = attach.add(calls("ADD"), config)
    asked = replace(calls("CHECK"), prev_result=result)
    assert check.problems(asked, config) == []
    narrower = check.problems(asked, CONFIG)
    assert "10.244.1.5/24 is not masqueraded" in narrower
    assert "10.244.1.5/16 is masqueraded and should not be" in narrower
    assert "fd00:1:0:1::5/64 is not masqueraded" in narrower
    host.command("nft", "flush", "set", "inet", "pycni_masquerade", "inside4_16")
    (lost,) = check.problems(asked, config)
    assert "10.244.1.5/16 is not in inside4_16" in lost
    with pytest.raises(CniError) as caught:
        check.check(asked, config)
    assert (caught.value.code, caught.value.msg) == (CHECK_FAILED, lost)
    detach.delete(calls("DEL"), "fake")


def test_the_bridges_mac(calls: Caller, host: Host) -> None:
    config = replace(CONFIG, bridge_mac="02:42:0a:f4:01:01")
    result = attach.add(calls("ADD"), config)
    assert host.links()["cni0"]["address"] == result.interfaces[0].mac == "02:42:0a:f4:01:01"
    detach.delete(calls("DEL"), "fake")


def test_the_bridges_alias(calls: Caller, host: Host) -> None:
    attach.add(calls("ADD"), replace(CONFIG, bridge_alias="of my own"))
    assert host.links()["cni0"]["ifalias"] == "of my own"
    detach.delete(calls("DEL"), "fake")


def test_mac_and_alias_of_a_bridge_that_is_there_stay(calls: Caller, host: Host) -> None:
    host.command("ip", "link", "add", "cni0", "address", "02:00:00:00:00:07", "type", "bridge")
    given = replace(CONFIG, bridge_mac="02:42:0a:f4:01:01", bridge_alias="of my own")
    attach.add(calls("ADD"), given)
    found = host.links()["cni0"]
    assert (found["address"], found.get("ifalias")) == ("02:00:00:00:00:07", None)
    detach.delete(calls("DEL"), "fake")


def test_routes_of_the_network(calls: Caller, container: Namespace) -> None:
    more = (*(Route(pool) for pool in POOLS), Route(ip_network("10.5.0.0/16")))
    given = [{"dst": "10.5.0.0/16", "gw": "10.244.1.77"}]
    config = replace(CONFIG, routes=more)
    result = attach.add(calls("ADD", routes=given), config)
    assert result.routes == (
        Route(ip_network("10.5.0.0/16"), ip_address("10.244.1.77")),
        *(Route(pool) for pool in POOLS),
    )
    via = {
        one["dst"]: one.get("gateway")
        for family in ("-4", "-6")
        for one in container.ip(family, "route", "show", "dev", "eth0")
    }
    assert via["10.5.0.0/16"] == "10.244.1.77"
    assert via["10.244.0.0/16"] == "10.244.1.1"
    assert via["fd00:1::/48"] == "fd00:1:0:1::1"
    asked = replace(calls("CHECK"), prev_result=result)
    assert check.problems(asked, config) == []
    container.command("ip", "route", "delete", "10.244.0.0/16")
    assert check.problems(asked, config) == [
        "the container lacks the route to 10.244.0.0/16 via 10.244.1.1"
    ]
    detach.delete(calls("DEL"), "fake")
