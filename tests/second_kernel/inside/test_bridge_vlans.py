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
