"""STATUS: whether an ADD could succeed now, and whether running containers reach all hosts."""

from __future__ import annotations

from cni.errors import LIMITED, CniError
from cni.record import replace
from cni_vxlan import complete, device, engines, former, identity, overlay_bridge
from cni_vxlan.config import read
from cni_vxlan.peers import Etcd, Flannel
from hostnet import link
from hostnet.netlink import Netlink
from wiring import firewall
from wiring import status as availability
from wiring.single.status import require_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_vxlan.complete import Completed
    from cni_vxlan.config import Config
    from cni_vxlan.engines import Plan


def status(call: Call) -> None:
    """Raise CniError where something is wrong, with the reason.

    NOT_AVAILABLE: an ADD would fail. LIMITED: the network's containers on this host may not reach
    those of other hosts, since the watcher does not keep up with etcd.
    """
    with Netlink() as nl:
        try:
            config = read(call)
            completed = _completed(nl, call, config)
        except (CniError, OSError) as error:
            raise availability.unavailable(error) from error
        availability.status(completed.call, completed.bridged)
        if isinstance(config.overlay.peers, Etcd):
            _require_watcher(nl, config)


def _completed(nl: Netlink, call: Call, config: Config) -> Completed:
    """What an attachment would get. Raises CniError or OSError where it would get nothing."""
    overlay = config.overlay
    if isinstance(overlay.peers, Flannel):
        overlay_bridge.find(nl, overlay.network, overlay.bridge)
        completed = complete.for_flannel(nl, call, config, overlay.peers)
        former.require_unused(nl, overlay, None, completed.subnets, completed.bridged.inside)
        return completed
    found = device.find_unlocked(nl, overlay)
    overlay_bridge.find(nl, overlay.network, overlay.bridge)
    plan = engines.plan(nl, overlay, found, may_join=False)
    firewall.require_nftables()  # for the guard
    there = found.link if found is not None else None
    if there is not None:
        device.can_stay(nl, plan.wanted, there)
    else:
        require_kind(nl, "vxlan")
    former.require_unused(nl, overlay, there, plan.wanted.subnets, overlay.pools)
    if there is None and isinstance(overlay.peers, Etcd):
        _require_place(plan, overlay.peers)
    completed = complete.for_overlay(call, config, plan.wanted.mtu, plan.wanted.subnets)
    if overlay.mode == "l3" and not plan.wanted.subnets:
        # Nobody knows the ranges before the first ADD.
        return replace(completed, bridged=replace(completed.bridged, ipam=""))
    return completed


def _require_place(plan: Plan, etcd: Etcd) -> None:
    """Raise CniError where this host has no place in etcd and would find none."""
    from cni_vxlan import registry

    overlay, local = plan.wanted.overlay, plan.wanted.underlay.local
    with etcd.settings.session() as connection:
        theirs = registry.of_overlay(connection, overlay, local.version)
        theirs.require_joinable(etcd.settings.node, local)


def _require_watcher(nl: Netlink, config: Config) -> None:
    """Raises CniError(LIMITED) where containers run and nobody keeps up with etcd."""
    overlay = config.overlay
    found = link.find(nl, identity.device_name(overlay.vni))
    if found is None or not device.attached(nl, overlay, found):
        return
    from cni_vxlan import watchstate

    problem = watchstate.problem(overlay.network)
    if problem:
        raise CniError(LIMITED, problem)
