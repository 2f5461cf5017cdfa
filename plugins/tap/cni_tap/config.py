"""The configuration of `tap`, read once and frozen: every key of the reference."""

from __future__ import annotations

from cni.names import ifname_problem
from cni.record import record
from hostnet.tuntap import ID_MAX
from wiring import keys
from wiring.single.attach import Common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.jsonvalue import JsonObject


@record
class Tap:
    """What the network asks for. mac: empty for a random one. owner, group: None for root alone.

    bridge: of the container, that it becomes a port of; empty for none. context: SELinux's, in
    which it is made; empty for the plugin's own.
    """

    common: Common
    multi_queue: bool = False
    mac: str = ""
    owner: int | None = None
    group: int | None = None
    bridge: str = ""
    context: str = ""


def read(call: Call) -> Tap:
    """Read and check the whole config.

    Raises CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    return Tap(
        common=Common(
            ipam=keys.ipam_plugin(call),
            dns=keys.dns(config),
            mtu=keys.mtu(config),
            # Not by default: before a program opens it nobody can be asked, and yet its address is
            # of use in the container.
            enable_dad=config.boolean("enabledad"),
        ),
        multi_queue=config.boolean("multiQueue"),
        mac=keys.mac(call) or config.mac("mac"),
        owner=config.integer("owner", None, 0, ID_MAX),
        group=config.integer("group", None, 0, ID_MAX),
        bridge=_bridge(config),
        context=config.string("selinuxContext"),
    )


def _bridge(config: JsonObject) -> str:
    name = config.string("bridge")
    if name and ifname_problem(name):
        raise config.wrong("bridge", "an interface name of at most 15 characters without '/'")
    return name
