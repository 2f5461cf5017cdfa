"""What a config says about the overlay itself, read once and frozen: the same for every container.

Read by the plugin's verbs and by the watcher, which has a network's config and no call.
"""

from __future__ import annotations

from cni.errors import INVALID_CONFIG, CniError
from cni.names import ifname_problem
from cni.record import record
from cni_vxlan import identity, peers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Address, Network
    from cni.jsonvalue import JsonObject
    from cni_vxlan.peers import Peers

PORT = 4789  # IANA's (RFC 7348, section 8)
_MAX_VNI = 2**24 - 1  # RFC 7348, section 5
_FLANNEL_VNI = 1  # flanneld's, where its own config does not say another


@record
class Overlay:
    """One VXLAN network as its config describes it.

    network: its name. mode: "l3" or "l2". underlay: a device, empty for the one that the peers say.
    local: the VTEP's address on it, None for that device's first. mtu: bytes, 0 for the largest.
    bridge: its name. pools: the overlay's networks in l3, at most one of each family. Flannel's are
    in its file.
    """

    network: str
    vni: int
    mode: str
    port: int
    underlay: str
    local: Address | None
    mtu: int
    bridge: str
    pools: tuple[Network, ...]
    peers: Peers
    checksum_offload: bool = True

    @property
    def device(self) -> str:
        """The name of the VXLAN device."""
        return identity.device_name(self.vni)


def read(config: JsonObject, network: str) -> Overlay:
    """Read and check the overlay's keys of a plugin's whole config; asks nobody, not even a file.

    Raises CniError(INVALID_CONFIG) for the first key that is wrong.
    """
    engine = peers.read_engine(config)
    mode = _mode(config, engine)
    vni = _vni(config, engine)
    pools = _pools(config, mode, engine)
    found = Overlay(
        network=network,
        vni=vni,
        mode=mode,
        port=config.integer("port", PORT, 1, 65535),
        underlay=_underlay(config),
        local=peers.vtep(config, "local"),
        mtu=config.integer("mtu", 0, 0, 65535),
        bridge=config.string("bridge") or identity.bridge_name(vni),
        pools=pools,
        peers=peers.read(config, network, mode, pools),
        checksum_offload=config.boolean("txChecksumOffload", True),
    )
    _check_together(found, config)
    return found


def _mode(config: JsonObject, engine: str) -> str:
    modes = peers.MODES[engine]
    mode = config.choice("mode", ("l3", "l2"), peers.default_mode(engine))
    if mode not in modes:
        able = [f'"{name}"' for name, its in peers.MODES.items() if mode in its]
        raise config.wrong(
            "mode",
            f'"{modes[0]}" with peers.type "{engine}": mode "{mode}" is for {", ".join(able)}',
        )
    return mode


def _vni(config: JsonObject, engine: str) -> int:
    vni = config.integer("vni", None, 1, _MAX_VNI)
    if vni is None and engine != "flannel":
        raise config.wrong("vni", f"an integer from 1 to {_MAX_VNI}, the same on every host")
    return _FLANNEL_VNI if vni is None else vni


def _pools(config: JsonObject, mode: str, engine: str) -> tuple[Network, ...]:
    pools = peers.subnets(config, "network")
    if mode == "l2" and pools:
        raise config.wrong(
            "network", 'none in mode "l2": the segment\'s subnet stands in "ipam" alone'
        )
    if engine == "flannel" and pools:
        raise config.wrong("network", 'none with peers.type "flannel": flanneld says it')
    if mode == "l3" and engine != "flannel" and not pools:
        raise config.wrong(
            "network", 'what all hosts\' subnets are part of, such as ["10.244.0.0/16"]'
        )
    return pools


def _underlay(config: JsonObject) -> str:
    name = config.string("underlay")
    if name and ifname_problem(name):
        raise config.wrong("underlay", "the name of an interface of this host")
    return name


def _check_together(found: Overlay, config: JsonObject) -> None:
    """What each key allows and the combination does not."""
    if found.device in (found.bridge, found.underlay):
        key = "bridge" if found.device == found.bridge else "underlay"
        raise config.wrong(key, f"a name other than {found.device}, the VXLAN device's own")
    if found.bridge == found.underlay:
        raise config.wrong(
            "underlay", f"an interface other than the overlay's bridge {found.bridge}"
        )
    least = 1280 if any(pool.version == 6 for pool in found.pools) else 68
    if 0 < found.mtu < least:
        why = " with IPv6 (RFC 8200)" if least == 1280 else ""
        raise config.wrong("mtu", f"0 or an integer from {least} to 65535{why}")
    family = _family(found.peers)
    if found.local is not None and family and found.local.version != family:
        raise config.wrong("local", f"an IPv{family} address as those of its peers")
    if isinstance(found.peers, peers.Static):
        _check_local(found, found.peers)


def _check_local(found: Overlay, static: peers.Static) -> None:
    if found.local is not None and all(node.address != found.local for node in static.nodes):
        raise CniError(
            INVALID_CONFIG,
            f'key "local": found {found.local}, expected one of the addresses in "peers.nodes": '
            f"{addresses(static)}",
        )


def _family(engine: Peers) -> int:
    """The family of the underlay as far as the config says it, else 0."""
    if isinstance(engine, peers.Static):
        return engine.nodes[0].address.version
    if isinstance(engine, peers.Multicast):
        return engine.group.version
    return 0


def addresses(static: peers.Static) -> str:
    """The nodes' addresses for an error, not more than fit on a line."""
    shown = [str(node.address) for node in static.nodes[:8]]
    more = len(static.nodes) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
