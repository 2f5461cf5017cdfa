"""The guard of the overlay's VNI: only its VTEPs' packets are let in (`hostnet.vtepguard`)."""

from __future__ import annotations

from hostnet import netfilter, vtepguard
from hostnet.netfilter import Netfilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from cni.ip import Address
    from cni_vxlan.device import Wanted
    from cni_vxlan.engines import Plan


def ensure(wanted: Wanted, let_in: Collection[Address] | None, *, thorough: bool = False) -> None:
    """Let the packets of these VTEPs in and no others; None: of everybody on the underlay.

    thorough: as of `vtepguard.ensure`. Raises OSError.
    """
    with Netfilter.open() as nl:
        vtepguard.ensure(
            nl,
            wanted.overlay.port,
            wanted.overlay.vni,
            peers=let_in,
            underlay=wanted.underlay.arrives_by,
            thorough=thorough,
        )


def restore(wanted: Wanted, let_in: Collection[Address] | None) -> bool:
    """`ensure` of the same; whether anything had to be done. Raises OSError.

    To look over all peers takes milliseconds, and is done once for a state of the ruleset.
    """
    overlay = wanted.overlay
    known = "guard", str(overlay.port), str(overlay.vni)
    with Netfilter.open() as nl:
        nl.look_again()
        if nl.recalled(*known) is not None:
            return False
        changed = vtepguard.ensure(
            nl,
            overlay.port,
            overlay.vni,
            peers=let_in,
            underlay=wanted.underlay.arrives_by,
            thorough=True,
        )
        nl.look_again()
        nl.remember(*known, found=[])
    return changed


def is_whole(wanted: Wanted) -> bool:
    """Whether the VNI is guarded at all. Raises OSError."""
    with Netfilter.open() as nl:
        return vtepguard.is_guarded(nl, wanted.overlay.port, wanted.overlay.vni)


def problems(plan: Plan) -> list[str]:
    """What of the guard is missing, in words. Raises OSError.

    Where the peers are the watcher's affair, only that there is a guard is the plugin's.
    """
    overlay = plan.wanted.overlay
    with Netfilter.open() as nl:
        if plan.peers_known:
            return vtepguard.problems(
                nl,
                overlay.port,
                overlay.vni,
                peers=plan.let_in,
                underlay=plan.wanted.underlay.arrives_by,
            )
        if (overlay.port, overlay.vni) in vtepguard.registered(nl):
            return []
    return [f"VNI {overlay.vni} on UDP port {overlay.port} is open to everybody"]


def remove(port: int, vni: int) -> None:
    """Guard the VNI no longer; no error on a kernel that cannot. Raises OSError."""
    rules = netfilter.find()
    if rules is not None:
        with rules:
            vtepguard.remove(rules, port, vni)
