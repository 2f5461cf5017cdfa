"""The suite's plugins, to be asked in-process what they would do. No executable answers that."""

from __future__ import annotations

from cni_bandwidth.main import PLUGIN as BANDWIDTH
from cni_bridge.main import PLUGIN as BRIDGE
from cni_dhcp.main import PLUGIN as DHCP
from cni_dummy.main import PLUGIN as DUMMY
from cni_etcd_ipam.main import PLUGIN as ETCD_IPAM
from cni_firewall.main import PLUGIN as FIREWALL
from cni_host_device.main import PLUGIN as HOST_DEVICE
from cni_host_local.main import PLUGIN as HOST_LOCAL
from cni_ipvlan.main import PLUGIN as IPVLAN
from cni_loopback.main import PLUGIN as LOOPBACK
from cni_macvlan.main import PLUGIN as MACVLAN
from cni_portmap.main import PLUGIN as PORTMAP
from cni_ptp.main import PLUGIN as PTP
from cni_sbr.main import PLUGIN as SBR
from cni_static.main import PLUGIN as STATIC
from cni_tap.main import PLUGIN as TAP
from cni_tuning.main import PLUGIN as TUNING
from cni_vlan.main import PLUGIN as VLAN
from cni_vrf.main import PLUGIN as VRF
from cni_vxlan.main import PLUGIN as VXLAN

PLUGINS = {
    one.name: one
    for one in (
        BANDWIDTH, BRIDGE, DHCP, DUMMY, ETCD_IPAM, FIREWALL, HOST_DEVICE, HOST_LOCAL, IPVLAN,
        LOOPBACK, MACVLAN, PORTMAP, PTP, SBR, STATIC, TAP, TUNING, VLAN, VRF, VXLAN,
    )
}  # fmt: skip
