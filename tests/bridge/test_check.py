"""CHECK of the bridge: it passes after ADD, and then each single mutation is named."""

from __future__ import annotations

from typing import Any

import pytest

from cni.errors import CHECK_FAILED
from tests.kit.calls import Document, PluginError, Runtime
from tests.kit.host import Host
from tests.kit.ipam import FakeIpam
from tests.kit.namespace import Namespace
from tests.kit.versions import versions_since
from wiring.veth import host_veth

VETH = host_veth("net/c1/eth0")
ADDRESSES = ("10.1.0.2/16 10.1.0.1", "2001:db8::2/64 2001:db8::1")
ROUTES = [{"dst": "10.5.0.0/16", "mtu": 1300, "priority": 50}]

# Where it is done, what is done, and the words that must name it.
MUTATIONS = [
    ("host", "ip link set cni0 down", "bridge cni0 is down"),
    (
        "host",
        "ip link set cni0 promisc on",
        "bridge cni0 is in promiscuous mode, and promiscMode is false",
    ),
    ("host", "ip link set cni0 address 02:00:00:00:00:99", "cni0 has the MAC 02:00:00:00:00:99"),
    ("host", "ip address delete 10.1.0.1/16 dev cni0", "lacks the gateway address 10.1.0.1/16"),
    ("host", "ip address delete 2001:db8::1/64 dev cni0", "gateway address 2001:db8::1/64"),
    ("host", "sysctl -qw net.ipv4.ip_forward=0", "net.ipv4.ip_forward is not 1"),
    ("host", "sysctl -qw net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.all.forwarding"),
    ("host", f"ip link set {VETH} down", f"host interface {VETH} is down"),
    ("host", f"ip link set {VETH} nomaster", f"{VETH} is not a port of bridge cni0"),
    ("host", f"ip link set {VETH} mtu 1300", f"{VETH} has the MTU 1300, expected 1400"),
    ("host", f"ip link set {VETH} address 02:00:00:00:00:98", f"{VETH} has the MAC"),
    ("host", f"bridge link set dev {VETH} hairpin off", "hairpin off, and hairpinMode is true"),
    ("host", f"bridge link set dev {VETH} isolated off", "isolated off, and portIsolation is true"),
    ("host", "nft flush ruleset", "pycni_masquerade is missing"),
    ("host", "nft delete table bridge pycni_macspoof", f"{VETH} may send from any MAC"),
    ("host", "nft flush chain bridge pycni_macspoof prerouting", f"{VETH} may send from any MAC"),
    ("host", "nft flush map bridge pycni_macspoof ports", f"{VETH} may send from any MAC"),
    ("host", f"nft flush chain bridge pycni_macspoof {VETH}", f"{VETH} may send from any MAC"),
    ("host", "nft flush chain inet pycni_masquerade postrouting", "chain postrouting"),
    ("host", "nft flush set inet pycni_masquerade sources4", "10.1.0.2"),
    ("inside", "ip link set eth0 down", "interface eth0 is down"),
    ("inside", "ip link set eth0 mtu 1300", "eth0 has the MTU 1300, expected 1400"),
    ("inside", "ip link set eth0 address 02:00:00:00:00:97", "interface eth0 has the MAC"),
    ("inside", "ip address delete 10.1.0.2/16 dev eth0", "eth0 lacks its address 10.1.0.2/16"),
    ("inside", "ip address delete 2001:db8::2/64 dev eth0", "its address 2001:db8::2/64"),
    ("inside", "ip address add 10.9.9.9/32 dev eth0", "10.9.9.9/32, which ADD did not give"),
    ("inside", "ip route delete default", "lacks the route to 0.0.0.0/0 via 10.1.0.1"),
    ("inside", "ip route replace default via 10.1.0.77", "found one via 10.1.0.77"),
    ("inside", "ip -6 route delete default", "lacks the route to ::/0 via 2001:db8::1"),
    ("inside", "ip route delete 10.5.0.0/16", "lacks the route to 10.5.0.0/16"),
    ("inside", "ip link set eth0 name eth9", "interface eth0 does not exist in"),
    ("inside", "ip link delete eth0", "interface eth0 does not exist in"),
    ("host", "ip link delete cni0", "bridge cni0 does not exist"),
]


def config(fake: FakeIpam, **keys: Any) -> dict[str, Any]:
    return {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "bridge",
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "portIsolation": True,
        "macspoofchk": True,
        "mtu": 1400,
        "ipam": fake.section(*ADDRESSES, routes=ROUTES),
        **keys,
    }


@pytest.fixture
def attached(runtime: Runtime, fake: FakeIpam, container: Namespace) -> Document:
    return runtime.add(config(fake), netns=container)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation[1])
def test_each_mutation_is_named(
    mutation: tuple[str, str, str],
    attached: Document,
    runtime: Runtime,
    fake: FakeIpam,
    host: Host,
) -> None:
    where, command, words = mutation
    container = host.containers[0]
    runtime.check(config(fake), attached, netns=container)
    ns = host if where == "host" else container
    if " name " in command:
        ns.command("ip", "link", "set", "eth0", "down")
    ns.command(*command.split())
    with pytest.raises(PluginError) as caught:
        runtime.check(config(fake), attached, netns=container)
    assert caught.value.code == CHECK_FAILED
    assert words in caught.value.msg
    runtime.delete(config(fake), netns=container)
    if " name " in command:
        assert "eth9" not in container.links()


@pytest.mark.parametrize("version", versions_since("0.4.0"))
def test_check_in_every_version_that_has_it(
    version: str, runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    asked = config(fake, cniVersion=version)
    result = runtime.add(asked, netns=container)
    runtime.check(asked, result, netns=container)
    assert fake.calls == ["ADD c1", "CHECK c1"]
    runtime.delete(asked, netns=container)


def test_ipams_word_counts(
    attached: Document, runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    broken = config(fake, ipam=fake.section(*ADDRESSES, fail=["CHECK"]))
    with pytest.raises(PluginError, match="told to fail"):
        runtime.check(broken, attached, netns=container)
    runtime.delete(broken, netns=container)


def test_check_needs_the_previous_result(
    attached: Document, runtime: Runtime, fake: FakeIpam, container: Namespace
) -> None:
    with pytest.raises(PluginError, match='key "prevResult"'):
        runtime.call("CHECK", config(fake), netns=container)
    runtime.delete(config(fake), netns=container)
