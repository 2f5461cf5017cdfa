"""Healing: what the packet filter has lost of an attachment, and of the overlay it is on.

The device, its peers and their routes are no matter of the packet filter's, so whatever flushes
that leaves them; the watcher looks after those.
"""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_vxlan import complete, device, engines, guard
from cni_vxlan.config import read
from cni_vxlan.peers import Flannel
from hostnet import fdb
from hostnet.netlink import Netlink
from wiring import restoring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni_vxlan.engines import Plan
    from hostnet.link import Link


def restore(call: Call) -> bool:
    """Whether anything had to be done. Raises CniError, OSError, GoneError."""
    config = read(call)
    with Netlink() as nl:
        if isinstance(config.overlay.peers, Flannel):
            completed = complete.for_flannel(nl, call, config, config.overlay.peers)
            return restoring.bridged(call, completed.bridged)
        found = device.find_unlocked(nl, config.overlay)
        if found is None:
            raise CniError(CHECK_FAILED, f"device {config.overlay.device} does not exist")
        plan = engines.plan(nl, config.overlay, found, may_join=False)
        completed = complete.for_overlay(call, config, found.link.mtu, plan.wanted.subnets)
        changed = restoring.bridged(call, completed.bridged)
        return restore_guard(nl, plan, found.link) or changed


def restore_guard(nl: Netlink, plan: Plan, found: Link) -> bool:
    """Let the peers in and nobody else, as before.

    Peers that only the watcher knows it has told the kernel of, and that still does.
    """
    let_in = plan.let_in
    if not plan.peers_known:
        if guard.is_whole(plan.wanted):
            return False
        entries = fdb.dump(nl, found.index)
        let_in = [one.destination for one in entries if one.destination is not None]
    return guard.restore(plan.wanted, let_in)
