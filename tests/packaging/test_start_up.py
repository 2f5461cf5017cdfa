"""The import budget: what a verb loads is what a user waits for, every time.

Each verb runs from source in a fresh interpreter. A module outside the verb's budget fails the
test, with the module that asked for it: import it in the function that needs it, do without it, or
argue here why every call should pay. Measured in the bundle (CPU ms): `json` 4 with the `re` and
`enum` it brings, `typing` 10, `dataclasses` 19, `logging` 17, `subprocess` 15.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cni_bundle.plugins import PLUGINS
from hostnet.netlink import Netlink
from hostnet.sublink import kernel_has
from tests.dhcp.world import RANGE4, Daemon, Dnsmasq, Lan
from tests.kit.etcd import EtcdServer
from tests.kit.host import Host
from tests.kit.namespace import Namespace
from tests.packaging.cold import Caller

# What opens the door: VERSION, which runtimes ask over and over, has to do with this.
DOOR = {
    "__future__",
    "_json",
    "cni",
    "cni.bundle",
    "cni.errors",
    "cni.jsontext",
    "cni.record",
    "cni.skel",
    "cni.stderr",
    "cni.versions",
    "cni_bundle",
    "cni_bundle.plugins",
}
# What reads a call and its config. Addresses need `ipaddress`, here as the bundle has it.
CALL = {
    "cni.call",
    "cni.ip",
    "cni.jsonvalue",
    "cni.names",
    "cni.result",
    "cni.wire",
    "cni_bundle.few_functools",
    "ipaddress",
}
# What speaks netlink, enters a namespace (before Python 3.12 by way of _ctypes) and delegates.
# Not libnftables: that is loaded by the first ADD on a host, whose rules are the others' too.
KERNEL = {"_ctypes", "cni.execute", "cni.ipam", "struct"}
# What an IPAM plugin of ranges reads them with.
RANGES = {"cni.range_config", "cni.ranges", "cni.resolvconf"}


@dataclass(frozen=True)
class Budget:
    """What a plugin's verbs may load. packages: of these everything. modules: these as well."""

    packages: tuple[str, ...]
    modules: set[str] = field(default_factory=set)

    def allows(self, module: str) -> bool:
        return module in self.modules or module.partition(".")[0] in self.packages


BUDGETS = {
    "bandwidth": Budget(
        ("cni_bandwidth", "hostnet", "wiring"),
        DOOR | CALL | {"_ctypes", "_sha2", "_sha512", "struct"},
    ),
    "bridge": Budget(
        ("cni_bridge", "cni_host_local", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "dhcp": Budget(("cni_dhcp",), DOOR | CALL),
    "dummy": Budget(
        ("cni_dummy", "cni_host_local", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "etcd-ipam": Budget(
        ("cni_etcd_ipam", "etcd_json"), DOOR | CALL | RANGES | {"wiring", "wiring.etcd_settings"}
    ),
    "firewall": Budget(
        ("cni_firewall", "hostnet"),
        DOOR | CALL | KERNEL | {"wiring", "wiring.backend", "wiring.steps"},
    ),
    "host-device": Budget(
        ("cni_host_device", "cni_host_local", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "host-local": Budget(("cni_host_local", "hostnet"), DOOR | CALL | RANGES | {"struct"}),
    "ipvlan": Budget(
        ("cni_host_local", "cni_ipvlan", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "loopback": Budget(("cni_loopback", "hostnet"), DOOR | CALL | KERNEL),
    "macvlan": Budget(
        ("cni_host_local", "cni_macvlan", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "portmap": Budget(
        ("cni_portmap", "hostnet"),
        DOOR | CALL | KERNEL | {"wiring", "wiring.backend", "wiring.steps"},
    ),
    "ptp": Budget(
        ("cni_host_local", "cni_ptp", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "sbr": Budget(("cni_sbr", "hostnet", "wiring"), DOOR | CALL | {"_ctypes", "struct"}),
    "static": Budget(("cni_static",), DOOR | CALL),
    "tap": Budget(
        ("cni_host_local", "cni_tap", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "tuning": Budget(("cni_tuning", "hostnet"), DOOR | CALL | {"_ctypes", "struct"}),
    "vlan": Budget(
        ("cni_host_local", "cni_vlan", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
    "vrf": Budget(("cni_vrf", "hostnet", "wiring"), DOOR | CALL | KERNEL),
    # With static peers: nothing of etcd's.
    "vxlan": Budget(
        ("cni_vxlan", "cni_host_local", "hostnet", "wiring"), DOOR | CALL | RANGES | KERNEL
    ),
}

# What works on an interface that another plugin has made.
CHAINED = ("bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf")


def config(plugin: str, state: Path) -> dict[str, Any]:
    """A config that has the plugin do everything usual."""
    ipam = {
        "type": "host-local",
        "dataDir": str(state / "networks"),
        "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    mapping = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
    usual: dict[str, dict[str, Any]] = {
        "bandwidth": {"ingressRate": 8000000, "egressRate": 8000000},
        "bridge": {
            "bridge": "budget0",
            "isGateway": True,
            "ipMasq": True,
            "ipMasqBackend": "nftables",
            "ipam": ipam,
        },
        "dhcp": {"ipam": {"type": "dhcp", "daemonSocketPath": str(state.parent / "dhcp.sock")}},
        "dummy": {"ipam": ipam},
        "etcd-ipam": {
            "ipam": {
                **ipam,
                "type": "etcd-ipam",
                "endpoints": ["http://127.0.0.1:2379"],
                "node": "n1",
            }
        },
        "firewall": {"backend": "nftables", "ingressPolicy": "same-bridge"},
        "host-device": {"device": "below0", "ipam": ipam},
        "host-local": {"ipam": ipam},
        "ipvlan": {"master": "below0", "ipam": ipam},
        "loopback": {},
        "macvlan": {"master": "below0", "ipam": ipam},
        "portmap": {"backend": "nftables", "runtimeConfig": {"portMappings": [mapping]}},
        "ptp": {"ipMasq": True, "ipMasqBackend": "nftables", "ipam": ipam},
        "tap": {"ipam": ipam},
        "vlan": {"master": "below0", "vlanId": 5, "ipam": ipam},
        "sbr": {},
        "static": {"ipam": {"type": "static", "addresses": [{"address": "10.1.0.2/24"}]}},
        "tuning": {"sysctl": {"net.core.somaxconn": "5"}, "mtu": 1400, "dataDir": str(state)},
        "vrf": {"vrfname": "blue"},
        "vxlan": {
            "vni": 42,
            "bridge": "budget0",
            "ipMasq": True,
            "network": ["10.1.0.0/16", "fd00:1::/48"],
            "peers": {
                "type": "static",
                "nodes": [
                    {"address": "192.0.2.1", "subnets": ["10.1.1.0/24", "fd00:1:0:1::/64"]},
                    {"address": "192.0.2.2", "subnets": ["10.1.2.0/24", "fd00:1:0:2::/64"]},
                ],
            },
            "ipam": {"type": "host-local", "dataDir": ipam["dataDir"]},
        },
    }
    return {"cniVersion": "1.1.0", "name": "budget", "type": plugin, **usual[plugin]}


@pytest.fixture
def services(
    request: pytest.FixtureRequest, host: Host, container: Namespace, tmp_path: Path
) -> Iterator[None]:
    """What the plugin needs to run on the host."""
    if request.node.callspec.params["plugin"] == "etcd-ipam":
        with EtcdServer(host, tmp_path / "etcd"):
            yield
    elif request.node.callspec.params["plugin"] == "dhcp":
        lan = Lan(host, tmp_path)
        lan.plug(container, "eth0", "port0")
        with Dnsmasq(lan, tmp_path, RANGE4), Daemon(host, tmp_path):
            yield
        container.command("ip", "link", "delete", "eth0")
        lan.close()
    elif request.node.callspec.params["plugin"] == "vxlan":
        host.command("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
        host.command("ip", "link", "set", "wire0", "up")
        host.command("ip", "address", "add", "192.0.2.1/24", "dev", "wire0")
        host.share("nft element inet pycni_vxlan *")
        yield
        host.command("ip", "link", "delete", "wire0")  # and with it the overlay's device
    elif "below0" in config(request.node.callspec.params["plugin"], tmp_path).values():
        host.command("ip", "link", "add", "below0", "type", "veth", "peer", "name", "below1")
        host.command("ip", "link", "set", "below0", "up")
        yield
        host.command("ip", "link", "delete", "below0")
    elif request.node.callspec.params["plugin"] in CHAINED:
        peer = ("peer", "name", "eth0", "address", "02:00:00:00:00:02", "netns", str(container))
        host.command("ip", "link", "add", "port0", "type", "veth", *peer)
        container.command("ip", "address", "add", "10.1.0.2/24", "dev", "eth0")
        yield
        host.command("ip", "link", "delete", "port0")
    else:
        yield


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_version_loads_only_the_door(
    plugin: str, executables: Path, roots: list[Path], host: Host, container: Namespace
) -> None:
    loaded = Caller(plugin, executables, roots, container, "eth0").call("VERSION", {})
    over = [
        f"{module}, asked for by {importer}" for module, importer in loaded if module not in DOOR
    ]
    assert not over, f"{plugin} VERSION loads too much: {over}"


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_verbs_stay_within_the_budget(
    plugin: str, executables: Path, roots: list[Path], host: Host, container: Namespace
) -> None:
    host.share_bridge("budget0")
    host.share_nft()
    host.share_locks()
    host.share("sysctl *", "link lo *", "address dev lo *", "route * dev lo *")
    ifname = "lo" if plugin == "loopback" else "eth0"
    caller = Caller(plugin, executables, roots, container, ifname)
    if plugin in CHAINED:
        caller.result = {
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "port0"}, {"name": "eth0", "sandbox": str(container)}],
            "ips": [{"address": "10.1.0.2/24", "interface": 1}],
        }
    document = config(plugin, host.state)
    with Netlink() as nl:
        # Where the kernel has no such links, verbs fail when they have loaded what they need.
        optional = plugin in ("dummy", "ipvlan", "vlan", "vrf")
        caller.may_fail = optional and not kernel_has(nl, plugin)
    # The first on a host lays down what all attachments share, and loads libnftables for it.
    caller.call("ADD", document)
    caller.call("DEL", document)
    over = []
    for verb in ("ADD", "CHECK", "DEL", "STATUS", "GC"):
        asked = {**document, "cni.dev/valid-attachments": []} if verb == "GC" else document
        if verb in ("STATUS", "GC"):
            caller.result = None
        over += [
            f"{verb}: {module}, asked for by {importer}"
            for module, importer in caller.call(verb, asked)
            if not BUDGETS[plugin].allows(module)
        ]
    assert not over, f"{plugin} loads too much: {over}"
