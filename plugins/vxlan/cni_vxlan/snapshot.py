"""An overlay as it is on this host at one time, as far as the watcher need know."""

from __future__ import annotations

from cni.errors import CniError
from cni.record import record
from cni_vxlan import device as devices
from cni_vxlan import engines
from hostnet import vxlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.ip import Network
    from cni_vxlan.engines import Plan
    from cni_vxlan.overlay import Overlay
    from hostnet.link import Link
    from hostnet.netlink import Netlink


@record
class Snapshot:
    """device: None where there is none of this network's. subnets: what it stands for.

    plan: None where there cannot be one now; `problem` says why. is_other: the config has become
    one that this device cannot follow, so that nothing of it may be programmed.
    """

    device: Link | None = None
    subnets: tuple[Network, ...] = ()
    plan: Plan | None = None
    problem: str = ""
    is_other: bool = False

    def fingerprint(self) -> list[object]:
        """Equal at two times between which nothing happened that matters."""
        seen: list[object] = [self.subnets, self.problem]
        if self.device is not None:
            of, local = self.device, vxlan.Vxlan(self.device).local
            seen += [of.index, of.up, of.mac, of.mtu, of.master, local]
        if self.plan is not None:
            underlay = self.plan.wanted.underlay
            seen += [underlay.link.index, underlay.link.mtu, underlay.arrives_by, underlay.local]
        return seen


def take(nl: Netlink, overlay: Overlay) -> Snapshot:
    """The overlay as it is now. Raises NetlinkError."""
    try:
        found = devices.find(nl, overlay)
    except CniError as error:
        return Snapshot(problem=error.msg)
    if found is None:
        return Snapshot()
    try:
        plan = engines.plan(nl, overlay, found, may_join=False)
    except CniError as error:
        return Snapshot(found.link, found.subnets, problem=error.msg)
    different = devices.differences(plan.wanted, found.link)
    if different:
        problem = (
            f"device {found.link.name} {'; '.join(different)}, and stays as it is: take the config "
            "back, or remove this network's containers here"
        )
        return Snapshot(found.link, found.subnets, problem=problem, is_other=True)
    return Snapshot(found.link, found.subnets, plan)
