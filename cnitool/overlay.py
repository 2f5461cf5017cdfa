"""`cnitool overlay`: who is in an overlay, how this host keeps up with them, who is given up."""

from __future__ import annotations

import json
import sys

from cni.call import Call
from cni.errors import INVALID_CONFIG, NOT_AVAILABLE, CniError
from cni_vxlan import etcd_layout, ipam_call, watchstate
from cni_vxlan import overlay as overlays
from cni_vxlan.peers import Etcd as EtcdPeers
from cni_vxlan.peers import Static
from libcni.errors import within

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from cni.jsonvalue import JsonValue
    from cni_vxlan.etcd_layout import Node
    from cni_vxlan.overlay import Overlay
    from cni_vxlan.registry import Registry
    from cnitool.settings import Settings
    from etcd_json import Etcd
    from libcni.conf import NetworkConfigList, PluginConf

_UNKNOWN = "-"


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one of the commands; gives the exit status. Raises CniError."""
    network = settings.network(options.network)
    plugin, overlay = _overlay(network)
    match options.act:
        case "nodes":
            document, text = _nodes(overlay)
        case "state":
            document, text = _state(overlay)
        case "restore":
            document, text = _restore(overlay)
        case _:
            document, text = _reclaim(network, plugin, overlay, options.node)
    sys.stdout.write((json.dumps(document, indent=4) if options.json else text) + "\n")
    return 0


def _overlay(network: NetworkConfigList) -> tuple[PluginConf, Overlay]:
    for plugin in network.plugins:
        if plugin.type == "vxlan":
            try:
                return plugin, overlays.read(plugin.config, network.name)
            except CniError as error:
                raise within(plugin.where, error) from None
    names = ", ".join(plugin.type for plugin in network.plugins)
    raise CniError(
        INVALID_CONFIG,
        f'{network.source}: network "{network.name}" is no overlay: it has {names}, expected vxlan',
    )


def _etcd(overlay: Overlay, what: str) -> EtcdPeers:
    if isinstance(overlay.peers, EtcdPeers):
        return overlay.peers
    raise CniError(
        INVALID_CONFIG,
        f'{what} of network "{overlay.network}" are not in etcd: its peers are of type '
        f'"{overlay.peers.engine}", expected "etcd"',
    )


def _registry(etcd: Etcd, overlay: Overlay, peers: EtcdPeers) -> Registry:
    from cni_vxlan import registry

    family = registry.family_of(etcd, peers.settings.prefix)
    return registry.of_overlay(etcd, overlay, family)


# ---- nodes --------------------------------------------------------------------------------------


def _nodes(overlay: Overlay) -> tuple[JsonValue, str]:
    problems: list[str] = []
    rows: list[dict[str, JsonValue]]
    if isinstance(overlay.peers, Static):
        rows = [
            {
                "name": "",
                "address": str(node.address),
                "mac": "",
                "subnets": [*map(str, node.subnets)],
                "alive": None,
            }
            for node in overlay.peers.nodes
        ]
    else:
        peers = _etcd(overlay, "the nodes")
        with peers.settings.session() as etcd:
            nodes, problems, _ = _registry(etcd, overlay, peers).nodes(with_alive=True)
        rows = [_row(node) for node in nodes]
    document: JsonValue = {
        "network": overlay.network,
        "vni": overlay.vni,
        "mode": overlay.mode,
        "nodes": [*rows],
        "problems": [*problems],
    }
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return document, _table(rows)


def _row(node: Node) -> dict[str, JsonValue]:
    return {
        "name": node.name,
        "address": str(node.address),
        "mac": node.mac,
        "subnets": [*map(str, node.subnets)],
        "alive": node.alive,
    }


def _table(rows: list[dict[str, JsonValue]]) -> str:
    if not rows:
        return "No nodes: no host has attached a container yet"
    lines = [("NODE", "VTEP", "MAC", "SUBNETS", "ALIVE")]
    for row in rows:
        subnets = row["subnets"]
        alive = _UNKNOWN if row["alive"] is None else "yes" if row["alive"] else "no"
        cells = (str(row[key]) or _UNKNOWN for key in ("name", "address", "mac"))
        listed = ", ".join(map(str, subnets)) if isinstance(subnets, list) else ""
        lines.append((*cells, listed or _UNKNOWN, alive))  # type: ignore[arg-type]  # three cells
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


# ---- this host ----------------------------------------------------------------------------------


def _state(overlay: Overlay) -> tuple[JsonValue, str]:
    try:
        found = watchstate.network(overlay.network)
    except OSError as error:
        raise CniError(
            NOT_AVAILABLE,
            f"no watcher answers at {watchstate.path()}: {error.strerror or error}; cnid starts "
            "one, or run `cnid overlay`",
        ) from error
    ago = found.get("synced_seconds_ago")
    since = "never" if ago is None else f"{ago} s ago"
    subnets = found.get("subnets")
    shown = {
        "state": f"{found['state']}, in step {since}" if ago else found["state"],
        "error": found["error"],
        "peers": found["peers"],
        "device": f"{found['device']}, mode {found['mode']}, VTEP {found['address'] or _UNKNOWN}",
        "node": found["node"],
        "subnets": ", ".join(map(str, subnets)) if isinstance(subnets, list) else "",
    }
    return found, "\n".join(f"{key:<9}{text}" for key, text in shown.items() if text != "")


def _restore(overlay: Overlay) -> tuple[JsonValue, str]:
    from cni_vxlan import device
    from hostnet.netlink import Netlink
    from hostnet.vxlan import Vxlan

    peers = _etcd(overlay, "the hosts")
    with Netlink() as nl:
        found = device.find(nl, overlay)
    local = Vxlan(found.link).local if found is not None else None
    if found is None or local is None:
        raise CniError(
            NOT_AVAILABLE,
            f"this host has no device {overlay.device}, so it had no place to restore: the next "
            "ADD enters it",
        )
    node = etcd_layout.Node(peers.settings.node, local, found.link.mac, found.subnets)
    with peers.settings.session() as etcd:
        _registry(etcd, overlay, peers).restore(node)
    text = f"node {node.name} has {', '.join(map(str, node.subnets)) or 'its place'} again"
    return _row(node), text


# ---- the dead -----------------------------------------------------------------------------------


def _reclaim(
    network: NetworkConfigList, plugin: PluginConf, overlay: Overlay, node: str
) -> tuple[JsonValue, str]:
    """Remove the node's keys, and then what its containers had of the cluster's addresses.

    In this order: only who is dead and has lost its place is nobody's any more. A second time, the
    place is gone and the addresses may be left.
    """
    peers = _etcd(overlay, "the nodes")
    keys: list[str] = []
    missing: CniError | None = None
    with peers.settings.session() as etcd:
        try:
            keys = _registry(etcd, overlay, peers).reclaim(node)
        except CniError as error:
            if error.code != INVALID_CONFIG:
                raise
            missing = error
    count = _free_addresses(network, plugin, node)
    if missing is not None and not count:
        raise missing
    document: JsonValue = {"node": node, "removed": [*keys], "addresses": count}
    text = "\n".join((*keys, f"node {node} is given up, with {count} containers' addresses"))
    return document, text


def _free_addresses(network: NetworkConfigList, plugin: PluginConf, node: str) -> int:
    """What etcd-ipam gave to the node's containers; gives for how many of them."""
    from cni_etcd_ipam.config import read_settings
    from cni_etcd_ipam.etcd_layout import Layout, release
    from cni_etcd_ipam.gc import stale

    call = ipam_call.with_connection(
        Call("GC", network.name, network.version, plugin.config, b"", {})
    )
    if call.config.object("ipam").string("type") != ipam_call.ETCD_IPAM:
        return 0
    settings = read_settings(call)
    layout = Layout(settings.prefix, network.name, node)
    count = 0
    with settings.session() as etcd:
        for entry in stale(etcd, layout, frozenset()):
            release(etcd, layout, entry)
            count += 1
    return count
