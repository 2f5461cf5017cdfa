"""What ADD would do, told without doing it. etcd is not asked, and this host not entered there."""

from __future__ import annotations

from cni.explained import ASKS, KEEPS, MAKES, SETS, USES, Explained, Step
from cni.record import replace
from cni.result import Interface
from cni_vxlan import complete, device, engines, former, overlay_bridge
from cni_vxlan.config import read
from cni_vxlan.peers import Etcd, Flannel
from hostnet.netlink import Netlink
from wiring import explaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni_vxlan.config import Config
    from cni_vxlan.device import Found
    from cni_vxlan.engines import Plan

_SHOWN = 8
"""Peers that are named."""


def explain(call: Call) -> Explained:
    """The overlay's steps on this host, then those of the bridge. Raises CniError, OSError."""
    config = read(call)
    overlay = config.overlay
    with Netlink() as nl:
        if isinstance(overlay.peers, Flannel):
            completed = complete.for_flannel(nl, call, config, overlay.peers)
            step = Step(USES, "file", overlay.peers.subnet_file, "flanneld has written it")
            told = explaining.bridged(completed.call, completed.bridged)
            return replace(told, steps=(step, *told.steps))
        found = device.find_unlocked(nl, overlay)
        overlay_bridge.find(nl, overlay.network, overlay.bridge)
        plan = engines.plan(nl, overlay, found, may_join=False)
        if found is None:
            former.require_unused(nl, overlay, None, plan.wanted.subnets, overlay.pools)
    completed = complete.for_overlay(call, config, plan.wanted.mtu, plan.wanted.subnets)
    bridged = completed.bridged
    if overlay.mode == "l3" and not plan.wanted.subnets:
        bridged = replace(bridged, ipam="")  # nobody knows the ranges before the first ADD
    told = explaining.bridged(completed.call, bridged)
    steps = (*_overlay(config, plan, found), *told.steps)
    made = Interface(overlay.device, mac=plan.wanted.mac, mtu=plan.wanted.mtu)
    interfaces = (*told.result.interfaces, made)
    return Explained(steps, replace(told.result, interfaces=interfaces))


def _overlay(config: Config, plan: Plan, found: Found | None) -> Iterator[Step]:
    overlay, wanted = config.overlay, plan.wanted
    if isinstance(overlay.peers, Etcd) and found is None:
        places = ", ".join(overlay.peers.settings.endpoints)
        text = f"for a place of {overlay.peers.settings.node} and its subnets"
        yield Step(ASKS, "etcd", places, text)
    local = wanted.underlay.local
    how = f"VNI {overlay.vni}, over {wanted.underlay.link.name} from {local}, port {overlay.port}"
    how += f", MTU {wanted.mtu}, MAC {wanted.mac}"
    if found is None:
        yield Step(MAKES, "device", overlay.device, how)
    else:
        yield Step(USES, "device", overlay.device, "it is there")
    for one in wanted.subnets:
        yield Step(USES, "subnet", str(one), "this host's, of which containers get addresses")
    if not plan.peers_known:
        yield Step(KEEPS, "peers", overlay.peers.engine, "as the watcher or ADD learns of them")
    elif plan.peers is None:
        yield Step(KEEPS, "peers", overlay.peers.engine, "the network tells who they are")
    else:
        for peer in plan.peers[:_SHOWN]:
            leads = ", ".join(map(str, peer.subnets))
            yield Step(SETS, "peer", str(peer.address), leads and f"leads to {leads}")
        if len(plan.peers) > _SHOWN:
            yield Step(SETS, "peers", f"{len(plan.peers) - _SHOWN} more")
    yield Step(SETS, "guard", "nftables", f"lets in what peers send to port {overlay.port} alone")
