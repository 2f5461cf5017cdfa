"""Provision the overlay on this host: bridge, device, guard, peers. The first half of an ADD.

Whatever can be refused is refused before anything is made, and etcd is asked before the lock is
taken, at which other plugins wait.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, TRY_AGAIN_LATER, CniError
from cni.record import record, replace
from cni.stderr import say
from cni_vxlan import device, engines, former, guard, overlay_bridge
from cni_vxlan.reconcile import reconcile
from hostnet import link
from hostnet.lock import NamespaceLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni_vxlan.engines import Plan
    from cni_vxlan.overlay import Overlay
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.undo import Undo
    from wiring.bridged import Bridged

_ATTEMPTS = 20


@record
class Provisioned:
    """What an ADD puts its container on, and the plan by which it was made."""

    plan: Plan
    device: Link
    bridge: Link


def ensure(nl: Netlink, overlay: Overlay, bridged: Bridged, undo: Undo) -> Provisioned:
    """The overlay, made where it is missing, put right where it can be.

    bridged: what the bridge is to be where it is made; its MTU is the device's.
    Raises CniError as `engines.plan` and `device.ensure` do.
    """
    for _ in range(_ATTEMPTS):
        there = device.find_unlocked(nl, overlay)
        overlay_bridge.find(nl, overlay.network, overlay.bridge)
        if there is None:  # etcd is to be asked for a place
            former.require_unused(nl, overlay, None, (), overlay.pools)
        plan = engines.plan(nl, overlay, there)
        with NamespaceLock():
            found = device.find(nl, overlay)
            if found is not None or plan.peers_known:
                return _provision(nl, plan, found.link if found else None, bridged, undo)
        # The last container's DEL took the device away since, and now etcd has to be asked.
    raise CniError(TRY_AGAIN_LATER, f"device {overlay.device} comes and goes while ADD runs")


def _provision(
    nl: Netlink, plan: Plan, found: Link | None, bridged: Bridged, undo: Undo
) -> Provisioned:
    """The part under the lock. The device comes up last, when the guard is there."""
    wanted, overlay = plan.wanted, plan.wanted.overlay
    if found is not None and not device.can_stay(nl, wanted, found):
        device.remove(nl, found)
        found = None
    former.remove(nl, overlay, found, wanted.subnets, overlay.pools)
    bridge = overlay_bridge.ensure(nl, overlay.network, replace(bridged, mtu=wanted.mtu), undo)
    made = device.ensure(nl, wanted, found, undo)
    if overlay.mode == "l2":
        overlay_bridge.join(nl, overlay, made, bridge)
    if plan.peers_known:
        guard.ensure(wanted, plan.let_in)
    if not made.up:
        device.bring_up(nl, wanted, made)
        made = link.by_index(nl, made.index)
    if plan.peers_known and plan.peers is not None:
        _tell(nl, plan, made)
    return Provisioned(plan, made, bridge)


def _tell(nl: Netlink, plan: Plan, made: Link) -> None:
    """Programme the peers. What somebody else's route keeps out is an error in a list of one's own;
    one host's mistake in etcd must not keep the others' containers from starting."""
    changes = reconcile(nl, made, plan.wanted.overlay.mode, plan.peers or ())
    if not changes.problems:
        return
    text = "; ".join(changes.problems)
    if plan.wanted.overlay.peers.engine == "static":
        raise CniError(IN_THE_WAY, f"not all peers of {made.name} could be set: {text}")
    say(f"vxlan: not all peers of {made.name} could be set: {text}\n")
