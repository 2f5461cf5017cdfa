"""The bundle's own plugins: each name with a function that imports it when it is called for.

The functions keep one plugin's imports out of another's start-up, and being written out they are
what PyInstaller's analysis follows. `cni.execute` is handed this table so that a delegate runs
in-process without one plugin importing another.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cni.skel import Plugin


def _bandwidth() -> Plugin:
    from cni_bandwidth.main import PLUGIN

    return PLUGIN


def _bridge() -> Plugin:
    from cni_bridge.main import PLUGIN

    return PLUGIN


def _dhcp() -> Plugin:
    from cni_dhcp.main import PLUGIN

    return PLUGIN


def _dummy() -> Plugin:
    from cni_dummy.main import PLUGIN

    return PLUGIN


def _etcd_ipam() -> Plugin:
    from cni_etcd_ipam.main import PLUGIN

    return PLUGIN


def _firewall() -> Plugin:
    from cni_firewall.main import PLUGIN

    return PLUGIN


def _host_device() -> Plugin:
    from cni_host_device.main import PLUGIN

    return PLUGIN


def _host_local() -> Plugin:
    from cni_host_local.main import PLUGIN

    return PLUGIN


def _ipvlan() -> Plugin:
    from cni_ipvlan.main import PLUGIN

    return PLUGIN


def _loopback() -> Plugin:
    from cni_loopback.main import PLUGIN

    return PLUGIN


def _macvlan() -> Plugin:
    from cni_macvlan.main import PLUGIN

    return PLUGIN


def _portmap() -> Plugin:
    from cni_portmap.main import PLUGIN

    return PLUGIN


def _ptp() -> Plugin:
    from cni_ptp.main import PLUGIN

    return PLUGIN


def _sbr() -> Plugin:
    from cni_sbr.main import PLUGIN

    return PLUGIN


def _static() -> Plugin:
    from cni_static.main import PLUGIN

    return PLUGIN


def _tap() -> Plugin:
    from cni_tap.main import PLUGIN

    return PLUGIN


def _tuning() -> Plugin:
    from cni_tuning.main import PLUGIN

    return PLUGIN


def _vlan() -> Plugin:
    from cni_vlan.main import PLUGIN

    return PLUGIN


def _vrf() -> Plugin:
    from cni_vrf.main import PLUGIN

    return PLUGIN


def _vxlan() -> Plugin:
    from cni_vxlan.main import PLUGIN

    return PLUGIN


DAEMON = "cnid"
"""The name under which the bundle is the daemon."""

DHCP_DAEMON = ("dhcp", "daemon")
"""The name and the first argument with which it is the daemon of the leases, as the reference's."""

PLUGINS: Mapping[str, Callable[[], Plugin]] = {
    "bandwidth": _bandwidth,
    "bridge": _bridge,
    "dhcp": _dhcp,
    "dummy": _dummy,
    "etcd-ipam": _etcd_ipam,
    "firewall": _firewall,
    "host-device": _host_device,
    "host-local": _host_local,
    "ipvlan": _ipvlan,
    "loopback": _loopback,
    "macvlan": _macvlan,
    "portmap": _portmap,
    "ptp": _ptp,
    "sbr": _sbr,
    "static": _static,
    "tap": _tap,
    "tuning": _tuning,
    "vlan": _vlan,
    "vrf": _vrf,
    "vxlan": _vxlan,
}
