"""`ptp`: the plugin's verbs, each loaded when it is called for."""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result
    from hostnet.netlink import Netlink


def add(call: Call) -> Result:
    """Connect the container to the host by a pair of its own."""
    from cni_ptp import attach
    from cni_ptp.config import read

    return attach.add(call, read(call))


def delete(call: Call) -> None:
    """Disconnect it; missing things are no error."""
    from wiring import detach, keys

    detach.delete(call, keys.lenient_ipam(call))


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni_ptp import check as checks
    from cni_ptp.config import read

    checks.check(call, read(call))


def gc(call: Call) -> None:
    """Remove what attachments that are not valid any more have."""
    from wiring import detach, keys

    detach.gc(call, keys.lenient_ipam(call))


def status(call: Call) -> None:
    """Tell whether an ADD could succeed."""
    from wiring.single import status as availability

    def look(nl: Netlink) -> str:
        from cni_ptp.config import read

        config = read(call)
        availability.require_kind(nl, "veth")
        if config.ip_masq:
            from wiring import firewall

            firewall.require(config)
        return config.common.ipam

    availability.status(call, look)


def restore(call: Call) -> bool:
    """Lay down again what the packet filter has lost of a running container's."""
    from cni_ptp.config import read
    from wiring import compare, restoring

    versions = {one.address.version for one in compare.previous(call).ips}
    return restoring.pair(call, read(call), versions)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_ptp.config import read
    from cni_ptp.explain import explain as told

    return told(call, read(call))


PLUGIN = Plugin(
    "ptp",
    about("ptp"),
    add,
    delete,
    check,
    gc,
    status,
    restore=restore,
    explain=explain,
)
