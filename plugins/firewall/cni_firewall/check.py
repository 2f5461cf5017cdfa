"""CHECK: every element and rule of the attachment, each deviation named."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_firewall import nftables, plan
from hostnet import netfilter
from hostnet.netfilter import Netfilter
from hostnet.nfowner import Owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_firewall.config import Config


def check(call: Call, config: Config, result: Result) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    wanted = plan.make(config, result)
    nl = Netfilter.open() if wanted else netfilter.find()
    if nl is None:
        return
    with nl:
        found = list(nftables.problems(nl, Owner(call.owner), config, wanted))
    if found:
        raise CniError(CHECK_FAILED, "; ".join(found))
