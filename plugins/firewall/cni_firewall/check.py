"""CHECK: every element and rule of the attachment, each deviation named."""

from __future__ import annotations

from cni.errors import CHECK_FAILED, CniError
from cni_firewall import forward, nftables, plan
from cni_firewall.config import FIREWALLD
from cni_firewall.guarded import ZONED
from hostnet import netfilter
from hostnet.netfilter import Netfilter
from hostnet.nfowner import Owner
from wiring import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.result import Result
    from cni_firewall.config import Config


def check(call: Call, config: Config, result: Result) -> None:
    """Raise CniError(CHECK_FAILED) with all that is not as ADD left it."""
    chosen = config.backend or backend.of_host()
    wanted = plan.make(config, result)
    nl = _open(chosen) if wanted else netfilter.find()
    found = _problems_by(nl, call, config, result) if nl or wanted else []
    # Where the config leaves it to the host, an ADD may have chosen otherwise.
    if found and wanted and not config.backend:
        try:
            other = Netfilter.open() if nl is None else None
            found = found if _problems_by(other, call, config, result) else []
        except OSError:  # which this host has not
            pass
    if found:
        raise CniError(CHECK_FAILED, "; ".join(found))


def _open(chosen: str) -> Netfilter | None:
    return backend.open_nftables(backend.NFTABLES if chosen == FIREWALLD else chosen)


def _problems_by(nl: Netfilter | None, call: Call, config: Config, result: Result) -> list[str]:
    """What is not as ADD left it by nftables and firewalld, or without a socket by iptables."""
    if nl is None:
        from cni_firewall import by_iptables

        return list(by_iptables.problems(call.owner, config, plan.make(config, result)))
    owner = Owner(call.owner)
    with nl:
        zoned = config.backend == FIREWALLD
        if not config.backend:  # What ADD chose, since firewalld may have come or gone.
            zoned = any(one.flags & ZONED for one in nftables.held(nl, owner))
        wanted = plan.make(config, result, zoned=zoned)
        found = list(nftables.problems(nl, owner, config, wanted))
        versions = sorted({one.address.version for one in wanted if one.address is not None})
        found += forward.problems(nl, config, versions)
    if zoned:
        from cni_firewall import firewalld

        addresses = [one.address for one in wanted if one.address is not None]
        found += firewalld.problems(call.environ, config.zone, addresses)
    return found
