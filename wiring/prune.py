"""A bridge that goes with its last container, where the config asks for that.

Only one that an ADD so configured has made goes, as its alias says (`bridged.PRUNED`); what
somebody has made himself never does. An ADD finds or makes the bridge and its port under the lock
of the host's namespace, so under that lock a bridge without ports is one that no ADD counts on.
"""

from __future__ import annotations

from hostnet import link
from hostnet.lock import NamespaceLock
from hostnet.netlink import Netlink
from wiring.bridged import PRUNED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.link import Link


def remove_unused(name: str) -> None:
    """Remove the bridge with its VLANs' gateways, if it is such a one and nobody uses it.

    What others have made on it in this namespace, such as a VLAN, uses it like a port. Missing is
    no error. Raises OSError, LockTimeout.
    """
    with Netlink() as nl, NamespaceLock():
        found = link.find(nl, name)
        if found is None or found.kind != "bridge" or found.alias != PRUNED:
            return
        gateways = _unused(nl, found)
        if gateways is None or _is_below_another(nl, found):
            return
        # The bridge goes last, for the next DEL finds the others by it.
        for gateway in gateways:
            link.delete(nl, gateway.index, missing_ok=True)
        link.delete(nl, found.index, missing_ok=True)


def _unused(nl: Netlink, bridge: Link) -> list[Link] | None:
    """The gateways of its VLANs, if its ports are only theirs; None where there are others."""
    ports = link.dump(nl, master=bridge.index)
    if not ports:
        return []
    from wiring import vlan_gateway

    gateways = [vlan_gateway.of_port(nl, port, bridge) for port in ports]
    found = [gateway for gateway in gateways if gateway is not None]
    return found if len(found) == len(ports) else None


def _is_below_another(nl: Netlink, bridge: Link) -> bool:
    """Whether a link sits on it, whose IFLA_LINK it is: a VLAN, a macvlan."""
    return any(one.peer == bridge.index and one.netnsid is None for one in link.dump(nl))
