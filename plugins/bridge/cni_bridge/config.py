"""The configuration of `bridge`, read once and frozen: every key of the reference.

`read` raises CniError for the first key that is wrong. `lenient` is for DEL and GC, which must
clean up under a config that has since become invalid: it never raises for a key of ours.
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
    from cni.jsonvalue import JsonObject
    from cni.result import DNS

DEFAULT_BRIDGE = "cni0"
_MAX_VLAN = 4094
_MIN_MTU = 68  # RFC 791: what every IPv4 link must carry
_MAX_MTU = 65535


@record
class BridgeConfig:
    """What a network asks of its bridge. mtu: bytes, 0 for the kernel's choice.

    vlan: the access VLAN, 0 for none. trunk: inclusive ranges of tagged VLANs, ascending and apart.
    mac: the container's hardware address, empty for a random one. ipam: the IPAM plugin, empty for
    a layer-2 network. dns: of the config, which goes before the IPAM plugin's; None where not set.
    """

    bridge: str
    is_gateway: bool
    is_default_gateway: bool
    force_address: bool
    ip_masq: bool
    mtu: int
    hairpin: bool
    promisc: bool
    vlan: int
    trunk: tuple[tuple[int, int], ...]
    preserve_default_vlan: bool
    macspoofchk: bool
    enable_dad: bool
    disable_container_interface: bool
    port_isolation: bool
    mac: str
    ipam: str
    dns: DNS | None

    @property
    def vlan_filtering(self) -> bool:
        """Whether the bridge must obey VLANs."""
        return bool(self.vlan or self.trunk)


def read(call: Call) -> BridgeConfig:
    """Read and check the whole config.

    Raises CniError: INVALID_CONFIG names the key, UNSUPPORTED_FIELD the backend we do not have,
    INVALID_ENVIRONMENT a MAC in CNI_ARGS.
    """
    config = call.config
    default_gateway = config.boolean("isDefaultGateway")
    read_ipam = ipam.configured(call)
    found = BridgeConfig(
        bridge=_bridge(config),
        is_gateway=config.boolean("isGateway") or default_gateway,
        is_default_gateway=default_gateway,
        force_address=config.boolean("forceAddress"),
        ip_masq=config.boolean("ipMasq") and _masquerades_by_nftables(config),
        mtu=_mtu(config),
        hairpin=config.boolean("hairpinMode"),
        promisc=config.boolean("promiscMode"),
        vlan=config.integer("vlan", 0, 0, _MAX_VLAN),
        trunk=_trunk(config),
        preserve_default_vlan=config.boolean("preserveDefaultVlan", True),
        macspoofchk=config.boolean("macspoofchk"),
        enable_dad=config.boolean("enabledad"),
        disable_container_interface=config.boolean("disableContainerInterface"),
        port_isolation=config.boolean("portIsolation"),
        mac=_mac(call),
        ipam=read_ipam,
        dns=wire.read_dns(config.object("dns")) if config.object("dns").raw else None,
    )
    _check_together(found, config, call.version)
    return found


def lenient(call: Call) -> tuple[str, str]:
    """(bridge, IPAM plugin) as far as they can be read; empty strings where they cannot."""
    try:
        bridge = _bridge(call.config)
    except CniError:
        bridge = ""
    try:
        return bridge, ipam.configured(call)
    except CniError:
        return bridge, ""


def _bridge(config: JsonObject) -> str:
    name = config.string("bridge") or DEFAULT_BRIDGE
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


def _trunk(config: JsonObject) -> tuple[tuple[int, int], ...]:
    """The VLANs of `vlanTrunk` as ranges: each entry has `id`, or `minID` and `maxID`, or both."""
    wanted: set[int] = set()
    for entry in config.objects("vlanTrunk"):
        single = entry.integer("id", None, 1, _MAX_VLAN)
        low = entry.integer("minID", None, 1, _MAX_VLAN)
        high = entry.integer("maxID", None, 1, _MAX_VLAN)
        if low is not None and high is not None:
            if high < low:
                raise entry.wrong("maxID", f"an integer not below minID {low}")
            wanted.update(range(low, high + 1))
        elif low is not None or high is not None:
            missing = "minID" if low is None else "maxID"
            raise entry.wrong(missing, "an integer, since minID and maxID go together")
        if single is not None:
            wanted.add(single)
    return _ranges(sorted(wanted))


def _ranges(vids: list[int]) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for vid in vids:
        if ranges and ranges[-1][1] == vid - 1:
            ranges[-1] = (ranges[-1][0], vid)
        else:
            ranges.append((vid, vid))
    return tuple(ranges)


def _check_together(found: BridgeConfig, config: JsonObject, version: str) -> None:
    """What each key allows and the combination does not."""
    if found.hairpin and found.promisc:
        raise CniError(
            INVALID_CONFIG,
            'keys "hairpinMode" and "promiscMode" are both true: cannot set hairpin mode and '
            "promiscuous mode at the same time; remove one",
        )
    if found.vlan and found.trunk:
        raise CniError(
            INVALID_CONFIG,
            f'keys "vlan" and "vlanTrunk": cannot set vlan and vlanTrunk at the same time; '
            f"found vlan {found.vlan} and {len(found.trunk)} trunk ranges; remove one",
        )
    if found.disable_container_interface and found.ipam:
        raise CniError(
            INVALID_CONFIG,
            'key "disableContainerInterface" is true: cannot use IPAM with it, since the '
            'interface stays down; empty the key "ipam"',
        )
    if found.vlan and found.is_gateway and len(f"{found.bridge}.{found.vlan}") > 15:
        raise config.wrong(
            "bridge", f"a name that leaves room for the gateway's, {found.bridge}.{found.vlan}"
        )
    if not found.ipam and version in ("0.1.0", "0.2.0"):
        raise config.wrong(
            "ipam", f"an IPAM plugin: cniVersion {version} cannot tell a result without addresses"
        )
