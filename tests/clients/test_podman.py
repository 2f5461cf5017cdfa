"""podman runs containers on the built executables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import BEYOND, UPLINK
from tests.clients.machine import SECONDS, Machine, fetch, is_silent
from tests.clients.podman import Podman
from tests.kit import iptables
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask, ping

OURS = "/opt/cni/bin"
THEIRS = "/usr/lib/cni"
CHAIN = ["bridge", "portmap", "firewall", "tuning"]
"""What podman makes a network of."""


@pytest.fixture
def podman(machine: Machine) -> Podman:
    """podman with a network `podman`, of IPv4 and IPv6, which is also its default."""
    made = Podman(machine)
    ranges = [[{"subnet": "10.88.0.0/16"}], [{"subnet": "fd00:88::/64"}]]
    bridge = {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipMasq": True,
              "hairpinMode": True, "capabilities": {"ips": True},
              "ipam": {"type": "host-local", "ranges": ranges}}  # fmt: skip
    made.network("podman", bridge, {"type": "portmap", "capabilities": {"portMappings": True}})
    machine.host.share_bridge("cni0")
    return made


@pytest.fixture
def own(machine: Machine) -> Podman:
    """podman to make its networks itself."""
    return Podman(machine)


def test_two_containers_publish_and_vanish(podman: Podman, outside: Namespace) -> None:
    podman.serve("one", "--publish", "8080:80")
    podman.serve("two", "--publish", f"{UPLINK[0]}:8081:80")
    one, two = podman.namespace("one"), podman.namespace("two")
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    assert fetch(outside, UPLINK[0], 8081) == "two"
    assert is_silent(outside, UPLINK[1], 8081)
    assert fetch(podman.machine.host, "127.0.0.1", 8080) == "one"
    assert fetch(one, UPLINK[0], 8080) == "one"  # to itself, by way of the host
    for address in ("10.88.0.2", "fd00:88::2", UPLINK[0]):
        assert fetch(two, address, 8080 if address in UPLINK else 80) == "one"
    for address in BEYOND:  # which has no route back but to the host
        assert ping(one, address, SECONDS) is not None
    podman.remove("one")
    assert is_silent(outside, UPLINK[0], 8080)
    assert fetch(outside, UPLINK[0], 8081) == "two"
    podman.remove("two")


def test_cnid_comes_or_goes_meanwhile(podman: Podman, outside: Namespace) -> None:
    """What was attached cold is attached anew and detached warm, and the other way round."""
    podman.serve("one", "--publish", "8080:80")
    podman.serve("two", "--publish", "8081:80")
    podman.machine.switch_cnid()
    podman("network", "reload", "one")
    for number, name in enumerate(("one", "two")):
        assert fetch(outside, UPLINK[0], 8080 + number) == name
    podman.remove("one", "two")


def test_ports_of_every_kind(podman: Podman, outside: Namespace) -> None:
    """Protocols, ranges, a port that podman chooses, one address of each family."""
    podman.serve(
        "one", "--publish=5300:53/udp", "--publish=7000-7003:8000-8003",
        "--publish=7000-7003:8000-8003/udp", "--publish=90", f"--publish={UPLINK[0]}:8081:80",
        f"--publish=[{UPLINK[1]}]:8082:80", "--publish=127.0.0.1:8083:80",
    )  # fmt: skip
    inside, host = podman.namespace("one"), podman.machine.host
    chosen = int(podman("port", "one", "90/tcp").rpartition(":")[2])
    published = [(5300, 53, "udp"), (chosen, 90, "tcp")]
    published += [(7000 + n, 8000 + n, protocol) for n in range(4) for protocol in ("tcp", "udp")]
    for host_port, port, protocol in published:
        with EchoServer(inside, "::", port, protocol) as server:
            for address in UPLINK:
                assert (
                    ask(outside, address, host_port, protocol, seconds=SECONDS).server
                    == server.name
                )
    places = ((outside, UPLINK[0], 8081), (outside, UPLINK[1], 8082), (host, "127.0.0.1", 8083))
    for ns, address, port in places:
        assert fetch(ns, address, port) == "one"
        for other in {8081, 8082, 8083} - {port}:
            assert is_silent(ns, address, other), (address, other)
    podman.remove("one")


def test_addresses_that_are_asked_for(podman: Podman) -> None:
    options = "ip=10.88.3.4,ip=fd00:88::34,mac=02:00:00:00:00:42,interface_name=lan0"
    found = podman.serve("one", "--network", f"podman:{options}")
    assert (found["IPAddress"], found["GlobalIPv6Address"]) == ("10.88.3.4", "fd00:88::34")
    assert found["MacAddress"] == "02:00:00:00:00:42"
    inside = podman.namespace("one")
    assert inside.addresses("lan0") == ["10.88.3.4/16", "fd00:88::34/64"]
    assert inside.links()["lan0"]["address"] == "02:00:00:00:00:42"
    said = podman.refused(*podman.arguments("two", "--ip", "10.88.3.4"))
    assert "10.88.3.4" in said
    flags = ("--ip=10.88.3.5", "--ip6=fd00:88::35", "--mac-address=02:00:00:00:00:43")
    found = podman.serve("three", *flags)
    assert (found["IPAddress"], found["GlobalIPv6Address"]) == ("10.88.3.5", "fd00:88::35")
    assert found["MacAddress"] == "02:00:00:00:00:43"
    podman.remove("one", "two", "three")


def test_a_port_that_is_taken(podman: Podman, outside: Namespace) -> None:
    podman.serve("one", "--publish", "8080:80")
    said = podman.refused(*podman.arguments("two", "--publish", "8080:80"))
    assert "host port 8080/tcp is taken" in said
    assert podman("inspect", "--format", "{{.ID}}", "one").strip() in said
    assert fetch(outside, UPLINK[0], 8080) == "one"
    podman.remove("two")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    podman.remove("one")


def test_networks_of_podmans_own_making(own: Podman, outside: Namespace) -> None:
    subnets = ("--subnet", "10.89.1.0/24", "--ipv6", "--subnet", "fd00:89::/64")
    assert own.create("first", *subnets, "--ip-range", "10.89.1.64/26") == CHAIN
    found = own.serve("one", "--network", "first", "--publish", "8080:80")
    assert found["Networks"]["first"]["IPAddress"] == "10.89.1.65"
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    own.restart("one")
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    own.remove("one")


def test_a_plugin_of_podmans_gives_names(machine: Machine) -> None:
    """`dnsname` comes last in the chain, and answers on the bridge of the network."""
    if not Path(THEIRS, "dnsname").exists():
        pytest.skip("no plugin dnsname here: Debian 12's is called golang-…-plugin-dnsname")
    podman = Podman(machine, OURS, THEIRS)
    iptables.share(machine.host)
    machine.host.share("nft rule ip filter INPUT *")  # dnsname lets questions in, for good
    isolated = ("--opt=isolate=true", "--subnet=10.89.1.0/24")
    assert podman.create("first", *isolated) == [*CHAIN, "dnsname"]
    podman.serve("one", "--network=first", "--network-alias=web")
    podman.serve("two", "--network=first")
    for name in ("one", "web"):
        found = podman("exec", "two", "busybox", "nslookup", name)
        assert "Address: 10.89.1.2" in found, found
    podman.remove("one")
    podman.refused("exec", "two", "busybox", "nslookup", "one")
    podman.remove("two")


def test_reload_restores_what_a_firewall_flushed(own: Podman, outside: Namespace) -> None:
    own.create("first", "--subnet", "10.89.1.0/24", "--ipv6", "--subnet", "fd00:89::/64")
    before = own.serve("one", "--network", "first", "--publish", "8080:80")
    own.machine.host.command("nft", "flush", "ruleset")
    own("network", "reload", "--all")
    assert own.settings("one")["Networks"] == before["Networks"]
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    assert ping(own.namespace("one"), BEYOND[0], SECONDS) is not None
    own("network", "reload", "one")  # with nothing flushed: all that is there comes again
    assert fetch(outside, UPLINK[0], 8080) == "one"
    own.remove("one")


def test_a_host_that_forwards_nothing(own: Podman, outside: Namespace) -> None:
    """Docker's FORWARD has the policy DROP; so have hosts of careful people."""
    host = own.machine.host
    iptables.share(host)
    host.share("nft * ip* filter CNI-*", "nft rule ip* filter FORWARD *")
    for program in ("iptables", "ip6tables"):
        host.command(program, "-P", "FORWARD", "DROP")
    own.create("first", "--subnet", "10.89.1.0/24", "--ipv6", "--subnet", "fd00:89::/64")
    own.serve("one", "--network", "first", "--publish", "8080:80")
    for address in UPLINK:
        assert fetch(outside, address, 8080) == "one"
    assert ping(own.namespace("one"), BEYOND[0], SECONDS) is not None
    outside.command("ip", "route", "add", "10.89.1.0/24", "via", UPLINK[0])
    assert is_silent(outside, "10.89.1.2", 80)  # it is not published
    own.remove("one")
    assert is_silent(outside, UPLINK[0], 8080)


def test_networks_apart(own: Podman, outside: Namespace) -> None:
    """`isolate` keeps networks from each other, `--internal` a network from everything."""
    isolate = "--opt=isolate=true"
    networks = {"one": [isolate], "two": [isolate], "open": [], "inner": [isolate, "--internal"]}
    for number, (name, options) in enumerate(networks.items()):
        own.create(name, *options, "--subnet", f"10.89.{number}.0/24")
    for number, name in enumerate((*networks, "other")):
        network = name if name in networks else "inner"
        own.serve(name, "--network", network, "--publish", f"{8080 + number}:80")
    one, two, other = map(own.namespace, ("one", "two", "other"))
    assert is_silent(one, "10.89.1.2", 80)
    assert is_silent(two, "10.89.0.2", 80)
    assert fetch(one, "10.89.2.2", 80) == "open"
    assert fetch(outside, UPLINK[0], 8080) == "one"
    assert ping(one, BEYOND[0], SECONDS) is not None
    assert fetch(other, "10.89.3.2", 80) == "inner"
    assert other.ip("route", "show", "default") == []
    # By a route that a curious container could set for itself.
    other.command("ip", "route", "add", "default", "via", "10.89.3.1")
    assert ping(other, BEYOND[0], 0.2) is None
    assert is_silent(other, "10.89.2.2", 80)
    own.remove(*networks, "other")


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")], ids=" then ".join)
def test_a_container_on_several_networks(
    order: tuple[str, str], own: Podman, outside: Namespace
) -> None:
    """podman publishes the container's ports on each of them; they answer until the last goes."""
    own.create("first", "--subnet", "10.89.1.0/24")
    own.create("second", "--subnet", "10.89.2.0/24", "--opt", "mtu=1400")
    own.serve("one", "--network", "first", "--publish", "8080:80")
    own("network", "connect", "second", "one")
    inside = own.namespace("one")
    assert inside.addresses("eth0") + inside.addresses("eth1") == ["10.89.1.2/24", "10.89.2.2/24"]
    assert [inside.links()[one]["mtu"] for one in ("eth0", "eth1")] == [1500, 1400]
    assert ping(inside, BEYOND[0], SECONDS) is not None
    assert fetch(outside, UPLINK[0], 8080) == "one"
    said = own.refused(*own.arguments("two", "--network", "second", "--publish", "8080:80"))
    assert "host port 8080/tcp is taken" in said
    own.remove("two")
    own("network", "disconnect", order[0], "one")
    assert ("eth0" in inside.links()) is (order[0] != "first")
    assert ping(inside, BEYOND[0], SECONDS) is not None
    assert fetch(outside, UPLINK[0], 8080) == "one"
    own("network", "disconnect", order[1], "one")
    assert is_silent(outside, UPLINK[0], 8080)
    own("network", "connect", order[1], "one")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    own.remove("one")


def test_several_networks_from_the_start(own: Podman, outside: Namespace) -> None:
    for number, name in enumerate(("first", "second"), 1):
        own.create(name, "--subnet", f"10.89.{number}.0/24")
    own.serve("one", "--network", "first,second", "--publish", "8080:80")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    own.restart("one")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    own.machine.host.command("nft", "flush", "ruleset")
    own("network", "reload", "--all")
    assert fetch(outside, UPLINK[0], 8080) == "one"
    own.remove("one")
