"""What a network asks of a bridge and of the containers on it, whichever plugin reads it.

`read` reads the keys that `bridge` and the plugins beside it have in common, so that they mean the
same everywhere and errors name them alike. A plugin adds its own by `replace`. `lenient` is for DEL
and GC, which must clean up under a config that has since become invalid.
"""

from __future__ import annotations

from cni import ipam, wire
from cni.errors import INVALID_CONFIG, INVALID_ENVIRONMENT, UNSUPPORTED_FIELD, CniError
from cni.ip import parse_mac
from cni.names import ifname_problem
from cni.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.ip import Network
    from cni.jsonvalue import JsonObject
    from cni.result import DNS, Route

_MIN_MTU = 68  # RFC 791: what every IPv4 link must carry
_MAX_MTU = 65535


@record
class Bridged:
    """What a network asks of its bridge. mtu: bytes, 0 for the kernel's choice.

    vlan: the access VLAN, 0 for none. trunk: inclusive ranges of tagged VLANs, ascending and apart.
    mac: the container's hardware address, empty for a random one. ipam: the IPAM plugin, empty for
    a layer-2 network. dns: of the config, which goes before the IPAM plugin's; None where not set.

    What no config of `bridge` says: bridge_mac: of a bridge that is created, empty for a random
    one. inside: networks within which `ip_masq` masquerades nothing, besides a container's own
    subnet; those count that contain its address. routes: what every container gets besides the
    IPAM plugin's; without a gateway they get the family's.
    """

    bridge: str
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    ip_masq: bool = False
    mtu: int = 0
    hairpin: bool = False
    promisc: bool = False
    vlan: int = 0
    trunk: tuple[tuple[int, int], ...] = ()
    preserve_default_vlan: bool = True
    macspoofchk: bool = False
    enable_dad: bool = False
    disable_container_interface: bool = False
    port_isolation: bool = False
    mac: str = ""
    ipam: str = ""
    dns: DNS | None = None
    bridge_mac: str = ""
    inside: tuple[Network, ...] = ()
    routes: tuple[Route, ...] = ()

    @property
    def vlan_filtering(self) -> bool:
        """Whether the bridge must obey VLANs."""
        return bool(self.vlan or self.trunk)


def read(call: Call, bridge: str, *, is_gateway: bool = False) -> Bridged:
    """Read and check the keys that all plugins with a bridge have.

    bridge, is_gateway: what `bridge` and `isGateway` are where the config does not say. Raises
    CniError: INVALID_CONFIG names the key, UNSUPPORTED_FIELD the backend we do not have,
    INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    default_gateway = config.boolean("isDefaultGateway")
    found = Bridged(
        bridge=_bridge(config, bridge),
        is_gateway=config.boolean("isGateway", is_gateway) or default_gateway,
        is_default_gateway=default_gateway,
        force_address=config.boolean("forceAddress"),
        ip_masq=config.boolean("ipMasq") and _masquerades_by_nftables(config),
        mtu=_mtu(config),
        hairpin=config.boolean("hairpinMode"),
        promisc=config.boolean("promiscMode"),
        macspoofchk=config.boolean("macspoofchk"),
        enable_dad=config.boolean("enabledad"),
        disable_container_interface=config.boolean("disableContainerInterface"),
        port_isolation=config.boolean("portIsolation"),
        mac=_mac(call),
        ipam=ipam.configured(call),
        dns=wire.read_dns(config.object("dns")) if config.object("dns").raw else None,
    )
    _check_together(found, config, call.version)
    return found


def lenient(call: Call, bridge: str) -> tuple[str, str]:
    """(bridge, IPAM plugin) as far as they can be read; empty strings where they cannot.

    bridge: the name where the config does not say one.
    """
    try:
        name = _bridge(call.config, bridge)
    except CniError:
        name = ""
    try:
        return name, ipam.configured(call)
    except CniError:
        return name, ""


def _bridge(config: JsonObject, default: str) -> str:
    name = config.string("bridge") or default
    if ifname_problem(name):
        raise config.wrong("bridge", "an interface name of at most 15 characters without '/'")
    return name


def _mtu(config: JsonObject) -> int:
    mtu = config.integer("mtu", 0, 0, _MAX_MTU)
    if 0 < mtu < _MIN_MTU:
        raise config.wrong("mtu", f"0 or an integer from {_MIN_MTU} to {_MAX_MTU}")
    return mtu


def _masquerades_by_nftables(config: JsonObject) -> bool:
    backend = config.choice("ipMasqBackend", ("nftables", "iptables"), "nftables")
    if backend == "iptables":
        raise CniError(
            UNSUPPORTED_FIELD,
            'key "ipMasqBackend": found "iptables", which this release does not have: '
            'remove the key or set it to "nftables"',
        )
    return True


def _mac(call: Call) -> str:
    """runtimeConfig before args.cni before CNI_ARGS, as in the reference."""
    for place in (call.config.object("runtimeConfig"), call.config.object("args").object("cni")):
        mac = place.mac("mac")
        if mac:
            return mac
    text = call.args.get("MAC", "")
    if not text:
        return ""
    try:
        return parse_mac(text)
    except ValueError as error:
        raise CniError(
            INVALID_ENVIRONMENT, f"CNI_ARGS MAC: {error}; expected such as 02:00:5e:10:00:01"
        ) from None


def _check_together(found: Bridged, config: JsonObject, version: str) -> None:
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
    if not found.ipam and version in ("0.1.0", "0.2.0"):
        raise config.wrong(
            "ipam", f"an IPAM plugin: cniVersion {version} cannot tell a result without addresses"
        )
