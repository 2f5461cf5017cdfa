"""What a network asks of a bridge and of the containers on it, whichever plugin reads it.

`read` reads the keys that `bridge` and the plugins beside it have in common, so that they mean the
same everywhere and errors name them alike. A plugin adds its own by `replace`. `lenient` is for DEL
and GC, which must clean up under a config that has since become invalid.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.names import ifname_problem
from cni.record import record
from wiring import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Network
    from cni.jsonvalue import JsonObject
    from cni.result import DNS, Route


PRUNED = "pycni: goes with its last container"
"""The alias of a bridge that does, see `wiring.prune`."""


@record
class Bridged:
    """What a network asks of its bridge. mtu: bytes, 0 for the kernel's choice. masq_backend: of
    `wiring.backend`, empty where the config leaves it to the host.

    vlan: the access VLAN, 0 for none. trunk: inclusive ranges of tagged VLANs, ascending and apart.
    vlan_aware: whether a bridge that is created filters VLANs, though this port may be in none.
    mac: the container's hardware address, empty for a random one. ipam: the IPAM plugin, empty for
    a layer-2 network. dns: of the config, which goes before the IPAM plugin's; None where not set.

    What no config of `bridge` says: bridge_mac: of a bridge that is created, empty for a random
    one. bridge_alias: of such a bridge, empty for none. inside: networks within which `ip_masq`
    masquerades nothing, besides a container's own subnet; those count that contain its address.
    routes: what every container gets besides the IPAM plugin's; without a gateway they get the
    family's.
    """

    bridge: str
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    ip_masq: bool = False
    masq_backend: str = ""
    mtu: int = 0
    hairpin: bool = False
    promisc: bool = False
    vlan: int = 0
    trunk: tuple[tuple[int, int], ...] = ()
    vlan_aware: bool = False
    preserve_default_vlan: bool = True
    macspoofchk: bool = False
    enable_dad: bool = False
    disable_container_interface: bool = False
    port_isolation: bool = False
    mac: str = ""
    ipam: str = ""
    dns: DNS | None = None
    bridge_mac: str = ""
    bridge_alias: str = ""
    inside: tuple[Network, ...] = ()
    routes: tuple[Route, ...] = ()

    @property
    def vlan_filtering(self) -> bool:
        """Whether the bridge must obey VLANs."""
        return bool(self.vlan or self.trunk)


def read(call: Call, bridge: str, *, is_gateway: bool = False) -> Bridged:
    """Read and check the keys that all plugins with a bridge have.

    bridge, is_gateway: what `bridge` and `isGateway` are where the config does not say. Raises
    CniError: INVALID_CONFIG names the key, INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    default_gateway = config.boolean("isDefaultGateway")
    found = Bridged(
        bridge=_bridge(config, bridge),
        is_gateway=config.boolean("isGateway", is_gateway) or default_gateway,
        is_default_gateway=default_gateway,
        force_address=config.boolean("forceAddress"),
        ip_masq=keys.masquerades(config),
        masq_backend=keys.masq_backend(config),
        mtu=keys.mtu(config),
        hairpin=config.boolean("hairpinMode"),
        promisc=config.boolean("promiscMode"),
        macspoofchk=config.boolean("macspoofchk"),
        enable_dad=config.boolean("enabledad"),
        disable_container_interface=config.boolean("disableContainerInterface"),
        port_isolation=config.boolean("portIsolation"),
        mac=keys.mac(call),
        ipam=keys.ipam_plugin(call),
        dns=keys.dns(config),
    )
    _check_together(found)
    return found


def lenient(call: Call, bridge: str) -> tuple[str, str]:
    """(bridge, IPAM plugin) as far as they can be read; empty strings where they cannot.

    bridge: the name where the config does not say one.
    """
    try:
        name = _bridge(call.config, bridge)
    except CniError:
        name = ""
    return name, keys.lenient_ipam(call)


def _bridge(config: JsonObject, default: str) -> str:
    name = config.string("bridge") or default
    if ifname_problem(name):
        raise config.wrong("bridge", "an interface name of at most 15 characters without '/'")
    return name


def _check_together(found: Bridged) -> None:
    """What each key allows and the combination does not."""
    if found.hairpin and found.promisc:
        raise CniError(
            INVALID_CONFIG,
            'keys "hairpinMode" and "promiscMode" are both true: cannot set hairpin mode and '
            "promiscuous mode at the same time; remove one",
        )
    if found.disable_container_interface and found.ipam:
        raise CniError(
            INVALID_CONFIG,
            'key "disableContainerInterface" is true: cannot use IPAM with it, since the '
            'interface stays down; empty the key "ipam"',
        )
