"""CHECK: every element and rule of the attachment, each deviation named."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_firewall import nftables, plan
from cni_firewall.config import FIREWALLD
from cni_firewall.tables import ZONED
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
    owner = Owner(call.owner)
    wanted = plan.make(config, result)
    nl = Netfilter.open() if wanted else netfilter.find()
    if nl is None:
        return
    with nl:
        zoned = config.backend == FIREWALLD
        if not config.backend:  # What ADD chose, since firewalld may have come or gone.
            zoned = any(one.flags & ZONED for one in nftables.held(nl, owner))
        wanted = plan.make(config, result, zoned=zoned)
        found = list(nftables.problems(nl, owner, config, wanted))
    if zoned:
        from cni_firewall import firewalld

        addresses = [one.address for one in wanted if one.address is not None]
        found += firewalld.problems(call.environ, config.zone, addresses)
    if found:
        raise CniError(CHECK_FAILED, "; ".join(found))
