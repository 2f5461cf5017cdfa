"""An overlay is a network like others, for podman on two hosts, which never heard of it."""

from __future__ import annotations

from collections.abc import Callable

from tests.clients.conftest import BEYOND, UPLINK
from tests.clients.machine import SECONDS, Machine, fetch, is_silent
from tests.clients.podman import Podman
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping

SUBNETS = [["10.244.1.0/24", "fd00:244:0:1::/64"], ["10.244.2.0/24", "fd00:244:0:2::/64"]]
OVERLAY = {
    "type": "vxlan",
    "vni": 42,
    "network": ["10.244.0.0/16", "fd00:244::/48"],
    "isDefaultGateway": True,
    "ipMasq": True,
    "peers": {
        "type": "static",
        "nodes": [
            {"address": address, "subnets": subnets}
            for address, subnets in zip((UPLINK[0], BEYOND[0]), SUBNETS, strict=True)
        ],
    },
    "capabilities": {"ips": True, "mac": True},
    "ipam": {"type": "host-local"},
}
"""The same on both hosts."""
PORTS = {"type": "portmap", "capabilities": {"portMappings": True}}


def share_overlay(host: Host) -> None:
    """What stays of a routed overlay: its device, bridge and guard, the way to the others."""
    host.share_bridge("vxbr42")
    host.share("link vxlan42 *", "address dev vxlan42 *", "route * dev vxlan42 *")
    host.share("nft element inet pycni_vxlan *")


def test_podman_on_two_hosts(
    host: Host, outside: Namespace, machines: Callable[[Namespace], Machine]
) -> None:
    share_overlay(host)
    here, there = (Podman(machines(network)) for network in (host, outside))
    for podman in (here, there):
        podman.network("blue", OVERLAY, PORTS, {"type": "firewall"})
    found = here.serve("one", "--network=blue", "--publish=8080:80")["Networks"]["blue"]
    assert (found["IPAddress"], found["GlobalIPv6Address"]) == ("10.244.1.2", "fd00:244:0:1::2")
    there.serve("two", "--network=blue", "--ip=10.244.2.77", "--mac-address=02:00:00:00:00:42")
    one, two = here.namespace("one"), there.namespace("two")
    assert two.links()["eth0"]["address"] == "02:00:00:00:00:42"
    assert two.addresses("eth0")[0] == "10.244.2.77/24"
    for ns, address, name in (
        (one, "10.244.2.77", "two"), (two, "10.244.1.2", "one"), (two, "fd00:244:0:1::2", "one"),
        (two, UPLINK[0], "one"), (outside, UPLINK[0], "one"),
    ):  # fmt: skip
        assert fetch(ns, address, 8080 if address == UPLINK[0] else 80) == name
    assert ping(one, BEYOND[0], SECONDS) is not None  # masqueraded
    here("network", "reload", "--all")
    assert fetch(two, "10.244.1.2", 80) == "one"
    there.remove("two")
    assert is_silent(one, "10.244.2.77", 80)
    here.remove("one")


def test_a_stretched_overlay_goes_with_its_last_container(
    host: Host, outside: Namespace, machines: Callable[[Namespace], Machine]
) -> None:
    nodes = [{"address": address} for address in (UPLINK[0], BEYOND[0])]
    overlay = {"type": "vxlan", "vni": 42, "mode": "l2", "capabilities": {"ips": True}}
    podmans: list[Podman] = []
    for number, network in enumerate((host, outside), 1):
        podmans.append(Podman(machines(network)))
        first, last = f"10.42.{number}.1", f"10.42.{number}.254"
        ranges = [[{"subnet": "10.42.0.0/16", "rangeStart": first, "rangeEnd": last}]]
        peers = {"type": "static", "nodes": nodes}
        ipam = {"type": "host-local", "ranges": ranges}
        podmans[-1].network("red", {**overlay, "peers": peers, "ipam": ipam})
        podmans[-1].serve(f"c{number}", "--network=red")
    for podman, name, address in zip(
        podmans, ("c1", "c2"), ("10.42.2.1", "10.42.1.1"), strict=True
    ):
        assert fetch(podman.namespace(name), address, 80) != name
    for podman, name in zip(podmans, ("c1", "c2"), strict=True):
        podman.remove(name)
