"""STATUS: whether an ADD on this network could succeed now."""

from __future__ import annotations

from cni import ipam
from cni.errors import NOT_AVAILABLE, CniError
from cni_bridge import firewall, host
from cni_bridge.config import read
from hostnet.netlink import Netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def status(call: Call) -> None:
    """Raise CniError(NOT_AVAILABLE), with the reason, where an ADD would fail."""
    try:
        config = read(call)
        with Netlink() as nl:
            host.find_bridge(nl, config.bridge)
        if config.ip_masq or config.macspoofchk:
            firewall.require_nftables()
    except (CniError, OSError) as error:
        raise CniError(NOT_AVAILABLE, f"an ADD would fail: {error}") from error
    if config.ipam:
        ipam.status(call, config.ipam)
