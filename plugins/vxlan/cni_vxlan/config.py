"""The configuration of `vxlan`, read once and frozen: the overlay's keys and the bridge's.

`read` raises CniError for the first key that is wrong. `lenient` is for DEL and GC, which must
clean up under a config that has since become invalid: it never raises for a key of ours.
"""

from __future__ import annotations

from cni.errors import CniError
from cni.record import record
from cni_vxlan import identity, ipam_call, overlay
from wiring import bridged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_vxlan.overlay import Overlay
    from wiring.bridged import Bridged


@record
class Config:
    """What ADD, CHECK and STATUS work with.

    bridged: the bridge's side; what only the host knows (MTU, MACs, networks) is not in it yet.
    masquerade: whether the config says anything about `ipMasq`; flannel's file says the default.
    """

    overlay: Overlay
    bridged: Bridged
    says_masquerade: bool


@record
class Lenient:
    """What DEL and GC work with. vni: 0 where nobody knows it. bridge, ipam: empty likewise."""

    vni: int
    port: int
    bridge: str
    ipam: str


def read(call: Call) -> Config:
    """Read and check the whole config.

    Raises CniError: INVALID_CONFIG names the key, UNSUPPORTED_FIELD the backend we do not have,
    INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    found = overlay.read(call.config, call.network)
    routed = found.mode == "l3"
    if routed:
        ipam_call.refuse_ranges(call.config)
        if not call.config.boolean("isGateway", True):
            raise call.config.wrong(
                "isGateway", 'true in mode "l3", where containers reach other hosts by their bridge'
            )
    filled = ipam_call.with_subnets(call) if routed else ipam_call.with_connection(call)
    wanted = bridged.read(filled, found.bridge, is_gateway=routed)
    return Config(found, wanted, call.config.has("ipMasq"))


def lenient(call: Call) -> Lenient:
    """What can be read. The IPAM plugin is that of the filled-in call (`ipam_call.lenient`)."""
    vni = port = 0
    try:
        vni = call.config.integer("vni", 0, 1, 2**24 - 1)
        port = call.config.integer("port", overlay.PORT, 1, 65535)
    except CniError:
        pass
    default = identity.bridge_name(vni) if vni else ""
    bridge, ipam = bridged.lenient(ipam_call.lenient(call), default)
    return Lenient(vni, port or overlay.PORT, bridge, ipam)
