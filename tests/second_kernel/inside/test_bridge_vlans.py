"""VLANs of the bridge, on a kernel that filters them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, IN_THE_WAY, SYSTEM
from hostnet import sysctl
from tests.kit.calls import PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.traffic import ping
from wiring.veth import host_veth


def network(**keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", "name": "net", "type": "bridge", **keys}


def vlans(host: Host, port: str) -> dict[int, list[str]]:
    """The VLANs of a port with their flags, as iproute2 shows them."""
    found = json.loads(host.command("bridge", "-json", "vlan", "show", "dev", port).stdout)
    shown: dict[int, list[str]] = {}
    for one in found[0]["vlans"]:
        for vid in range(one["vlan"], one.get("vlanEnd", one["vlan"]) + 1):
            shown[vid] = sorted(one.get("flags", []))
    return shown


ACCESS = ["Egress Untagged", "PVID"]


@pytest.mark.parametrize("preserve", [True, False])
def test_access_port(preserve: bool, runtime: Runtime, host: Host, container: Namespace) -> None:
    config = network(vlan=100, preserveDefaultVlan=preserve)
    result = runtime.add(config, netns=container)
    port = host_veth("net/c1/eth0")
    expected = {100: ACCESS}
    if preserve:
        expected[1] = ["Egress Untagged"]
    assert vlans(host, port) == expected
    runtime.check(config, result, netns=container)
    host.command("bridge", "vlan", "del", "dev", port, "vid", "100")
    with pytest.raises(PluginError, match="lacks the VLANs 100") as caught:
        runtime.check(config, result, netns=container)
    assert caught.value.code == CHECK_FAILED
    runtime.delete(config, netns=container)


def test_trunk_port(runtime: Runtime, host: Host, container: Namespace) -> None:
    trunk = [{"id": 42}, {"minID": 100, "maxID": 103}]
    config = network(vlanTrunk=trunk, preserveDefaultVlan=False)
    result = runtime.add(config, netns=container)
    assert vlans(host, host_veth("net/c1/eth0")) == {vid: [] for vid in (42, 100, 101, 102, 103)}
    runtime.check(config, result, netns=container)
    container.command(
        "ip", "link", "add", "link", "eth0", "name", "v42", "type", "vlan", "id", "42"
    )
    runtime.delete(config, netns=container)


def test_an_empty_trunk(runtime: Runtime, host: Host, container: Namespace) -> None:
    """As in the reference: a new bridge obeys VLANs, and the port is in the default one."""
    config = network(vlanTrunk=[], preserveDefaultVlan=False)
    result = runtime.add(config, netns=container)
    assert host.links()["cni0"]["linkinfo"]["info_data"]["vlan_filtering"] == 1
    assert vlans(host, host_veth("net/c1/eth0")) == {1: ACCESS}
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "set", "cni0", "type", "bridge", "vlan_filtering", "0")
    result = runtime.add(config, netns=container)  # which it does not need
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)


def test_vlans_keep_containers_apart(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    members = []
    for number, vlan in ((2, 100), (3, 100), (4, 200)):
        config = network(
            vlan=vlan, preserveDefaultVlan=False, ipam=fake.section(f"10.1.0.{number}/24")
        )
        ns = host.container()
        runtime.add(config, container=f"c{number}", netns=ns)
        members.append((config, f"c{number}", ns))
    one = members[0][2]
    assert ping(one, "10.1.0.3") is not None
    assert ping(one, "10.1.0.4", 0.3) is None
    for config, name, ns in members:
        runtime.delete(config, container=name, netns=ns)


def test_the_gateway_of_a_vlan(runtime: Runtime, fake: FakeIpam, host: Host) -> None:
    host.share("link cni0.100 *", "link veth* master cni0 *", "address dev cni0.100 *")
    host.share("address dev veth* *", "route * dev cni0.100 *", "route * dev veth* *")
    config = network(
        vlan=100,
        isGateway=True,
        preserveDefaultVlan=False,
        ipam=fake.section("10.1.0.2/24 10.1.0.1"),
    )
    first, second = host.container(), host.container()
    result = runtime.add(config, netns=first)
    gateway = host.links()["cni0.100"]
    assert result["interfaces"][3]["name"] == "cni0.100"
    assert result["interfaces"][3]["mac"] == gateway["address"]
    assert "10.1.0.1/24" in host.addresses("cni0.100")
    switch = "net/ipv6/conf/cni0.100/accept_ra"
    assert host.run(sysctl.read, switch) == "0"  # of a container it would be (CVE-2020-10749)
    assert ping(first, "10.1.0.1") is not None
    runtime.check(config, result, netns=first)
    other = {**config, "ipam": fake.section("10.1.0.3/24 10.1.0.1")}
    runtime.add(other, container="c2", netns=second)
    assert ping(second, "10.1.0.1") is not None
    host.command("ip", "link", "set", "cni0.100", "down")
    with pytest.raises(PluginError, match=r"cni0\.100 is down"):
        runtime.check(config, result, netns=first)
    runtime.delete(config, netns=first)
    runtime.delete(other, container="c2", netns=second)


def test_gateways_go_with_a_pruned_bridge(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    keys = {"bridge": "prune0", "pruneBridge": True}
    first, second = ({**gateway_network(fake, vlan), **keys} for vlan in (100, 200))
    runtime.add(first, netns=container)
    runtime.delete(first, netns=container)
    assert not [name for name in host.links() if name.startswith("prune0")]
    other = host.container()
    runtime.add(first, netns=container)
    runtime.add(second, container="c2", netns=other)
    runtime.delete(first, netns=container)
    assert {"prune0", "prune0.100", "prune0.200"} <= set(host.links())
    above = ("link", "prune0", "name", "prune0.5", "type", "vlan", "id", "5")
    host.command("ip", "link", "add", *above)  # somebody's
    runtime.delete(second, container="c2", netns=other)
    assert {"prune0", "prune0.5"} <= set(host.links())
    host.command("ip", "link", "delete", "prune0.5")
    runtime.delete(second, container="c2", netns=other)
    assert not [name for name in host.links() if name.startswith("prune0")]


def aware(host: Host) -> None:
    """A bridge as administrators have it."""
    host.share("link cni0 *", "route * dev cni0 *", "address dev cni0 *")
    host.command("ip", "link", "add", "cni0", "type", "bridge", "vlan_filtering", "1")
    host.command("ip", "link", "set", "cni0", "up")


def gateway_network(fake: FakeIpam, vlan: int = 100) -> dict[str, Any]:
    ipam = fake.section("10.1.0.2/24 10.1.0.1")
    return network(vlan=vlan, isGateway=True, preserveDefaultVlan=False, ipam=ipam)


def test_a_gateway_of_the_administrators(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """A VLAN on the bridge serves, with or without the address, and CHECK knows it."""
    aware(host)
    host.share("address dev cni0.100 *", "route * dev cni0.100 *")
    link = ("ip", "link", "add", "link", "cni0", "name", "cni0.100", "type", "vlan", "id", "100")
    host.command(*link)
    itself = ("dev", "cni0", "vid", "100", "self")
    config = gateway_network(fake)
    with pytest.raises(PluginError, match="bridge vlan add dev cni0 vid 100 self") as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    assert "eth0" not in container.links()
    host.command("bridge", "vlan", "add", *itself)
    result = runtime.add(config, netns=container)
    assert ping(container, "10.1.0.1") is not None
    runtime.check(config, result, netns=container)
    for command, words, back in (
        ("link set cni0.100 down", "gateway interface cni0.100 is down", "link set cni0.100 up"),
        (
            "address delete 10.1.0.1/24 dev cni0.100",
            "interface cni0.100 lacks the gateway address 10.1.0.1/24",
            "address add 10.1.0.1/24 dev cni0.100",
        ),
    ):
        host.command("ip", *command.split())
        with pytest.raises(PluginError, match=words):
            runtime.check(config, result, netns=container)
        host.command("ip", *back.split())
    host.command("bridge", "vlan", "del", *itself)
    with pytest.raises(PluginError, match="cni0 itself is not in VLAN 100"):
        runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "cni0.100")


@pytest.mark.parametrize(
    "case",
    [
        ("link cni0 name cni0.100 type vlan id 101", "cni0.100 is VLAN 101, expected 100"),
        ("link up0 name cni0.100 type vlan id 100", "a VLAN of another interface than bridge cni0"),
        ("name cni0.100 type veth peer name p0 netns $other", "not connected to bridge cni0"),
    ],
)
def test_what_cannot_be_the_gateway(
    case: tuple[str, str], runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    made, words = case
    aware(host)
    other = host.container("other")
    host.command("ip", "link", "add", "up0", "type", "dummy")
    host.command("ip", "link", "set", "up0", "up")
    host.command("ip", "link", "add", *made.replace("$other", str(other)).split())
    config = gateway_network(fake)
    with pytest.raises(PluginError, match=words) as caught:
        runtime.add(config, netns=container)
    assert caught.value.code == IN_THE_WAY
    assert "ip link delete cni0.100" in caught.value.msg
    assert "eth0" not in container.links()
    assert "10.1.0.1/24" not in host.addresses("cni0.100")
    host.command("ip", "link", "delete", "cni0.100")
    host.command("ip", "link", "delete", "up0")


def test_a_gateway_of_a_kind_that_tells_nothing(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    aware(host)
    host.share("address dev cni0.100 *", "route * dev cni0.100 *")
    host.command("ip", "link", "add", "cni0.100", "type", "dummy")
    config = gateway_network(fake)
    result = runtime.add(config, netns=container)
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "cni0.100")


def test_the_gateway_of_a_bridge_that_was_made_anew(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    host.share("link cni0.100 *", "link veth* master *", "address dev cni0.100 *")
    host.share("link cni0 *", "address dev *", "route * dev *")
    config = gateway_network(fake)
    runtime.add(config, netns=container)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "cni0")
    result = runtime.add(config, netns=container)
    assert ping(container, "10.1.0.1") is not None
    runtime.check(config, result, netns=container)
    runtime.delete(config, netns=container)
    host.command("ip", "link", "delete", "cni0")
    ipam = fake.section("10.1.0.2/24", routes=[{"dst": "1.0.0.0/8", "gw": "9.9.9.9"}])
    with pytest.raises(PluginError):
        runtime.add({**config, "ipam": ipam}, netns=container)
    assert "cni0" not in host.links(), "the bridge that a failed ADD made is gone"


def test_networks_that_differ_in_the_default_vlan_share_a_gateway(
    runtime: Runtime, fake: FakeIpam, host: Host
) -> None:
    host.share("link cni0.100 *", "link veth* master cni0 *", "address dev cni0.100 *")
    host.share("address dev veth* *", "route * dev cni0.100 *", "route * dev veth* *")
    attached = []
    for number, preserve in ((2, True), (3, False)):
        ipam = fake.section(f"10.1.0.{number}/24 10.1.0.1")
        config = network(vlan=100, isGateway=True, preserveDefaultVlan=preserve, ipam=ipam)
        ns = host.container()
        name = f"c{number}"
        attached.append((config, name, ns, runtime.add(config, container=name, netns=ns)))
    for config, name, ns, result in attached:
        runtime.check(config, result, container=name, netns=ns)
    for config, name, ns, _result in attached:
        runtime.delete(config, container=name, netns=ns)


def test_a_failed_add_takes_the_gateway_back(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    ipam = fake.section("10.1.0.2/24", routes=[{"dst": "1.0.0.0/8", "gw": "9.9.9.9"}])
    with pytest.raises(PluginError):
        runtime.add(network(vlan=100, isGateway=True, ipam=ipam), netns=container)
    assert set(host.links()) == {"lo"}


def test_a_bridge_that_does_not_filter(runtime: Runtime, host: Host, container: Namespace) -> None:
    host.command("ip", "link", "add", "cni0", "type", "bridge")
    with pytest.raises(PluginError, match="vlan_filtering 1") as caught:
        runtime.add(network(vlan=100), netns=container)
    assert caught.value.code == IN_THE_WAY
    host.command("ip", "link", "set", "cni0", "type", "bridge", "vlan_filtering", "1")
    runtime.add(network(vlan=100), netns=container)
    runtime.delete(network(vlan=100), netns=container)


def test_a_host_without_nftables(
    runtime: Runtime, fake: FakeIpam, host: Host, container: Namespace
) -> None:
    """What needs no packet filter works, and DEL and GC do not stumble over its absence."""
    config = network(isGateway=True, ipam=fake.section("10.1.0.2/24"))
    modprobe = ("modprobe", "-d", "/run/modules")
    host.command(*modprobe, "-r", "nf_tables")
    try:
        runtime.add(config, netns=container)
        runtime.gc(config, [("c1", "eth0")])
        runtime.delete(config, netns=container)
        runtime.gc(config, [])
        with pytest.raises(PluginError) as caught:
            runtime.add({**config, "ipMasq": True}, netns=container)
        assert caught.value.code == SYSTEM
        assert "eth0" not in container.links()
    finally:
        host.command(*modprobe, "nf_tables")
