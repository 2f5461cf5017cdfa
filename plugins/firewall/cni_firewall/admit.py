"""ADD: let the container through. The DEL of a call killed after any step finds what it left."""

from __future__ import annotations

from cni_firewall import nftables, plan, withdraw
from hostnet.netfilter import Netfilter
from hostnet.nfowner import Owner
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_firewall.config import Config


def add(call: Call, config: Config, result: Result) -> None:
    """Guard the container as the config says. Raises CniError, OSError."""
    wanted = plan.make(config, result)
    if not wanted:
        return
    owner = Owner(call.owner)
    with Netfilter.open() as nl, Undo() as undo:
        # Noted first: when the kernel's answer gets lost, nobody knows whether it was done.
        undo.push(withdraw.take_back, nl, owner)
        nftables.give(nl, owner, config, wanted)
