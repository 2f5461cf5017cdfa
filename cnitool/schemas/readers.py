"""Every plugin's reader of its configuration, and documents that show all of its branches."""

from __future__ import annotations

from cni.call import Call
from cni.jsontext import dumps
from cni.record import record, replace
from cni.versions import CURRENT
from cni_bandwidth import config as bandwidth
from cni_bridge import config as bridge
from cni_dhcp import config as dhcp
from cni_dummy import main as dummy
from cni_etcd_ipam import config as etcd_ipam
from cni_firewall import config as firewall
from cni_host_device import config as host_device
from cni_host_local import config as host_local
from cni_ipvlan import config as ipvlan
from cni_macvlan import config as macvlan
from cni_portmap import config as portmap
from cni_ptp import config as ptp
from cni_sbr import config as sbr
from cni_static import config as static
from cni_tap import config as tap
from cni_tuning import config as tuning
from cni_vlan import config as vlan
from cni_vrf import config as vrf
from cni_vxlan import config as vxlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.jsonvalue import JsonObject, JsonValue


@record
class Reader:
    """read: what the plugin's ADD begins with; it takes the call, raises CniError.

    samples: documents that are right, such that each branch of `read` is in one of them.
    """

    read: Callable[[Call], object]
    samples: tuple[dict[str, JsonValue], ...] = ({},)

    def of(self, config: JsonObject, network: str = "net") -> object:
        """Read a plugin's whole config as its ADD would. Raises CniError."""
        call = replace(_CALL, config=config, stdin=dumps(config.raw).encode(), network=network)
        return self.read(call)


def _a_call() -> Call:
    from cni.jsonvalue import JsonObject

    return Call("ADD", "net", CURRENT, JsonObject({}), b"{}", {}, "container", "eth0", "/none")


_CALL = _a_call()
_DNS: dict[str, JsonValue] = {"nameservers": ["192.0.2.53"]}
_IPAM: dict[str, JsonValue] = {"ipam": {"type": "static"}, "dns": _DNS}
_RANGES: dict[str, JsonValue] = {
    "subnet": "192.0.2.0/28",
    "ranges": [[{"subnet": "198.51.100.0/28"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}
_ASKED: dict[str, JsonValue] = {"ipRanges": [[{"subnet": "203.0.113.0/28"}]]}
_ETCD: dict[str, JsonValue] = {"endpoints": ["http://192.0.2.11:2379"], "node": "host1"}
_NODE: dict[str, JsonValue] = {"address": "192.0.2.1", "subnets": ["10.244.1.0/24"]}
_BOTH: dict[str, JsonValue] = {"args": {"cni": {"promisc": True, "allmulti": True}}}
_POOLS: JsonValue = ["10.244.0.0/16", "fd00:1::/48"]

INTERFACES: dict[str, Reader] = {
    "bandwidth": Reader(lambda call: bandwidth.read_config(call.config)),
    "bridge": Reader(bridge.read, ({**_IPAM, "vlanTrunk": [{"id": 1}]},)),
    "dummy": Reader(dummy.read, (_IPAM,)),
    "firewall": Reader(lambda call: firewall.read(call.config)),
    "host-device": Reader(host_device.read, ({**_IPAM, "device": "eth1"},)),
    "ipvlan": Reader(ipvlan.read, (_IPAM,)),
    "loopback": Reader(lambda _: None),
    "macvlan": Reader(macvlan.read, (_IPAM,)),
    "portmap": Reader(
        lambda call: portmap.read(call.config),
        (
            {
                "runtimeConfig": {
                    "portMappings": [{"hostPort": 1, "containerPort": 1, "hostIP": "192.0.2.1"}]
                }
            },
        ),
    ),
    "ptp": Reader(ptp.read, (_IPAM,)),
    "sbr": Reader(lambda call: sbr.read_config(call.config)),
    "tap": Reader(tap.read, (_IPAM,)),
    "tuning": Reader(tuning.read_config, ({"promisc": True, "allmulti": True, **_BOTH},)),
    "vlan": Reader(vlan.read, ({**_IPAM, "master": "eth0", "vlanId": 1},)),
    "vrf": Reader(lambda call: vrf.read_config(call.config), ({"vrfname": "blue"},)),
    "vxlan": Reader(
        vxlan.read,
        (
            {"vni": 1, "network": ["10.244.0.0/16"], "peers": {"nodes": [_NODE]}, "dns": _DNS},
            {"vni": 1, "peers": {"type": "multicast", "group": "239.1.1.1"}},
            {"vni": 1, "network": _POOLS, "peers": {"type": "etcd", **_ETCD}},
            {
                "vni": 1,
                "mode": "l2",
                "peers": {"type": "etcd", **_ETCD},
                "ipam": {"type": "etcd-ipam"},
            },
        ),
    ),
}
"""Plugins that stand in a list."""

IPAM: dict[str, Reader] = {
    "dhcp": Reader(
        dhcp.read_config,
        ({"ipam": {"provide": [{"option": "60", "value": "x"}], "request": [{"option": "6"}]}},),
    ),
    "etcd-ipam": Reader(
        etcd_ipam.read_config, ({"ipam": {**_RANGES, **_ETCD}, "runtimeConfig": _ASKED},)
    ),
    "host-local": Reader(host_local.read_config, ({"ipam": _RANGES, "runtimeConfig": _ASKED},)),
    "static": Reader(
        static.read_config,
        (
            {
                "ipam": {
                    "addresses": [{"address": "192.0.2.1/24"}],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dns": _DNS,
                }
            },
        ),
    ),
}
"""Plugins that stand in another one's `ipam`."""
