"""The configuration of `vlan`, read once and frozen: every key of the reference."""

from __future__ import annotations

from cni.record import record
from hostnet.sublink import VLAN_MAX
from wiring import keys
from wiring.single import lower
from wiring.single.attach import Common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from wiring.single.lower import Lower


@record
class Vlan:
    """What the network asks for. lower: the link below. number: the VLAN's, 0 to 4094."""

    common: Common
    lower: Lower
    number: int


def read(call: Call) -> Vlan:
    """Read and check the whole config. Raises CniError(INVALID_CONFIG), which names the key."""
    config = call.config
    below = lower.read(config)
    if not below.name:
        raise config.wrong("master", "the interface that carries the VLAN")
    number = config.integer("vlanId", None, 0, VLAN_MAX)
    if number is None:
        raise config.wrong("vlanId", f"an integer from 0 to {VLAN_MAX}")
    return Vlan(
        common=Common(
            ipam=keys.ipam_plugin(call),
            dns=keys.dns(config),
            mtu=keys.mtu(config),
            enable_dad=keys.enable_dad(config),
        ),
        lower=below,
        number=number,
    )
