"""The configuration of `macvlan`, read once and frozen: every key of the reference."""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.record import record
from hostnet.sublink import MACVLAN_MODES
from wiring import keys
from wiring.single import lower
from wiring.single.attach import Common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from wiring.single.lower import Lower

_DEFAULT_MODE = "bridge"
_QUEUE_MAX = 2**32 - 1  # IFLA_MACVLAN_BC_QUEUE_LEN, linux/if_link.h: u32


@record
class Macvlan:
    """What the network asks for. lower: the link below. mode: of `sublink.MACVLAN_MODES`.

    queue: broadcast frames that the link below may hold, 0 for the kernel's choice. mac: empty for
    a random one.
    """

    common: Common
    lower: Lower
    mode: str = _DEFAULT_MODE
    queue: int = 0
    mac: str = ""


def read(call: Call) -> Macvlan:
    """Read and check the whole config.

    Raises CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    found = Macvlan(
        common=Common(
            ipam=keys.ipam_plugin(call),
            dns=keys.dns(config),
            mtu=keys.mtu(config),
            enable_dad=keys.enable_dad(config),
        ),
        lower=lower.read(config),
        mode=config.choice("mode", tuple(MACVLAN_MODES), _DEFAULT_MODE),
        queue=config.integer("bcqueuelen", 0, 0, _QUEUE_MAX),
        mac=keys.mac(call) or config.mac("mac"),
    )
    if found.mac and found.mode == "passthru":
        raise CniError(
            INVALID_CONFIG,
            f'key "mode": found "passthru" and the MAC {found.mac}: such a link has the MAC of '
            "its master, so ask for none, or for another mode",
        )
    return found
