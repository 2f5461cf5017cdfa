"""The configuration of `ptp`, read once and frozen: every key of the reference."""

from __future__ import annotations

from cni.record import record
from wiring import keys
from wiring.single.attach import Common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Network


@record
class Ptp:
    """What the network asks for. masq_backend: of `wiring.backend`, empty where the config leaves
    it to the host. mac: the container's, empty for a random one.

    What `wiring.firewall` asks of a config and no key of `ptp` says: macspoofchk, inside.
    """

    common: Common
    ip_masq: bool = False
    mac: str = ""
    masq_backend: str = ""
    macspoofchk: bool = False
    inside: tuple[Network, ...] = ()


def read(call: Call) -> Ptp:
    """Read and check the whole config.

    Raises CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    plugin = keys.ipam_plugin(call)
    if not plugin:
        raise config.wrong("ipam", "an IPAM plugin, since ptp routes addresses")
    return Ptp(
        common=Common(ipam=plugin, dns=keys.dns(config), mtu=keys.mtu(config)),
        ip_masq=keys.masquerades(config),
        masq_backend=keys.masq_backend(config),
        mac=keys.mac(call),
    )
