"""The config completed by what only this host knows: MTU, subnets, MACs, what flanneld has written.

ADD, CHECK and STATUS complete it alike and hand it to `wiring`, where a container is put on its
bridge, checked, and so on.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record, replace
from cni.result import Route
from cni_vxlan import identity, ipam_call, subnet_env
from hostnet import link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Network
    from cni_vxlan.config import Config
    from cni_vxlan.peers import Flannel
    from hostnet.netlink import Netlink
    from wiring.bridged import Bridged


@record
class Completed:
    """What `wiring`'s verbs take.

    call: as the IPAM plugin sees it. bridged: what the bridge and the container get; `inside` are
    the overlay's pools. subnets: this host's, in mode l3, as far as they are known.
    """

    call: Call
    bridged: Bridged
    subnets: tuple[Network, ...] = ()


def for_overlay(call: Call, config: Config, mtu: int, subnets: tuple[Network, ...]) -> Completed:
    """Completed for a device of this MTU. subnets: this host's, in mode l3.

    Raises CniError(INVALID_CONFIG) where the gateway of a segment cannot be read.
    """
    pools = config.overlay.pools
    bridged = replace(
        config.bridged,
        mtu=mtu,
        bridge_alias=identity.alias(call.network),
        inside=pools,
        routes=tuple(map(Route, pools)),
    )
    if config.overlay.mode == "l3":
        return Completed(ipam_call.with_subnets(call, subnets), bridged, subnets)
    derived = ipam_call.with_connection(call)
    return Completed(derived, replace(bridged, bridge_mac=_gateway_mac(derived, config)))


def for_flannel(nl: Netlink, call: Call, config: Config, flannel: Flannel) -> Completed:
    """Completed by what flanneld's file says. Raises CniError."""
    env = subnet_env.read(flannel.subnet_file)
    mtu = _flannel_mtu(nl, config, env.mtu)
    bridged = replace(
        config.bridged,
        mtu=mtu,
        bridge_alias=identity.alias(call.network),
        inside=env.networks,
        routes=tuple(map(Route, env.networks)),
        ip_masq=config.bridged.ip_masq if config.says_masquerade else not env.masquerades,
    )
    return Completed(ipam_call.with_subnets(call, env.subnets), bridged, env.subnets)


def _flannel_mtu(nl: Netlink, config: Config, said: int) -> int:
    """The file's, or that of flannel's devices where it is smaller.

    flanneld takes off 50 bytes on an underlay of IPv6 too, where it needs 70 (flannel#1781).
    """
    overlay = config.overlay
    devices = (link.find(nl, f"flannel{v6}.{overlay.vni}") for v6 in ("", "-v6"))
    room = min([said, *(one.mtu for one in devices if one is not None)])
    if overlay.mtu > room:
        raise CniError(
            INVALID_CONFIG,
            f'key "mtu": found {overlay.mtu}, expected at most {room}, what flannel has room for',
        )
    return overlay.mtu or room


def _gateway_mac(derived: Call, config: Config) -> str:
    """The bridge's MAC where it is the gateway of a segment; empty where any will do."""
    if not config.bridged.is_gateway:
        return ""
    if config.bridged.ipam not in (ipam_call.HOST_LOCAL, ipam_call.ETCD_IPAM):
        return ""
    from cni import range_config

    first = range_config.read_sets(derived.config)[0].ranges[0]
    return identity.gateway_mac(config.overlay.vni, first.gateway)
