"""CHECK: the attachment as `bridge` checks it, and the overlay as far as it is this host's.

Whether the other hosts answer is not looked at: their death is not a defect of this container. What
leads to them is, where the config lists them; with etcd STATUS tells whether that is up to date.
"""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_vxlan import complete, device, engines, evpn, guard, overlay_bridge, reconcile
from cni_vxlan.config import read
from cni_vxlan.peers import Flannel
from hostnet import link
from hostnet.netlink import Netlink
from wiring import check as checks
from wiring import veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni_vxlan.engines import Plan
    from hostnet.link import Link


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) naming each deviation; the IPAM plugin checks its own first."""
    config = read(call)
    with Netlink() as nl:
        if isinstance(config.overlay.peers, Flannel):
            completed = complete.for_flannel(nl, call, config, config.overlay.peers)
            checks.check(completed.call, completed.bridged)
            return
        found = device.find_unlocked(nl, config.overlay)
        if found is None:
            raise CniError(
                CHECK_FAILED,
                f"device {config.overlay.device} does not exist: no other host can be reached",
            )
        plan = engines.plan(nl, config.overlay, found, may_join=False)
        mtu = min(plan.wanted.mtu, found.link.mtu)
        completed = complete.for_overlay(call, config, mtu, plan.wanted.subnets)
        problems = checks.problems(completed.call, completed.bridged)
        problems += _overlay_problems(nl, call, plan, found.link)
    checks.require_none(problems)


def _overlay_problems(nl: Netlink, call: Call, plan: Plan, found: Link) -> Iterator[str]:
    overlay = plan.wanted.overlay
    yield from device.problems(nl, plan.wanted, found)
    yield from guard.problems(plan)
    if plan.peers_known and plan.peers is not None and found.up:
        yield from reconcile.problems(nl, found, overlay.mode, plan.peers)
    bridge = link.find(nl, overlay.bridge)
    if overlay.mode != "l2" or bridge is None:
        return
    if found.master != bridge.index:
        yield f"device {found.name} is not a port of bridge {bridge.name}"
        return
    yield from overlay_bridge.switch_problems(overlay, found)
    port = link.find(nl, veth.host_veth(call.owner))
    result = call.prev_result
    inner = next((one for one in result.interfaces if one.sandbox), None) if result else None
    if result is None or inner is None or port is None:
        return
    if inner.mtu > found.mtu:  # routers would say so to who sends, bridges do not
        yield (
            f"{inner.name} has the MTU {inner.mtu}, and {found.name} {found.mtu}: larger packets "
            "are lost"
        )
    if overlay.peers.engine == "evpn":
        addresses = [one.address for one in result.ips]
        yield from evpn.problems(nl, bridge, port.index, inner.mac, addresses)
