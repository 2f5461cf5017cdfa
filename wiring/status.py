"""STATUS: whether an ADD on this network could succeed now."""

from __future__ import annotations

from cni import ipam
from cni.errors import NOT_AVAILABLE, CniError
from hostnet.netlink import Netlink
from wiring import firewall, host
from wiring.single.status import require_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from wiring.bridged import Bridged


def status(call: Call, config: Bridged) -> None:
    """Raise CniError(NOT_AVAILABLE), with the reason, where an ADD would fail."""
    try:
        with Netlink() as nl:
            require_kind(nl, "veth")
            if host.find_bridge(nl, config.bridge) is None:
                require_kind(nl, "bridge")
        firewall.require(config)
    except (CniError, OSError) as error:
        raise unavailable(error) from error
    if config.ipam:
        ipam.status(call, config.ipam)


def unavailable(error: CniError | OSError) -> CniError:
    """What STATUS answers where an ADD would fail with this error."""
    return CniError(NOT_AVAILABLE, f"an ADD would fail: {error}")
