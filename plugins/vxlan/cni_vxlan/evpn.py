"""What the bridge says of this host's containers, for FRR to advertise by EVPN.

FRR advertises a container's addresses only where the bridge has a neighbour entry for each of them,
so ADD makes these. They bear our mark (`proto 201`) and lead to a MAC that the bridge is told to
have behind the container's port. That entry goes with the port, by whatever way the port goes; a
neighbour whose MAC has none is a stale one.
"""

from __future__ import annotations

from cni_vxlan.reconcile import PROTOCOL
from hostnet import bridge_fdb, neighbour

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni.ip import Interface
    from hostnet.link import Link
    from hostnet.netlink import Netlink


def advertise(
    nl: Netlink, bridge: Link, port: int, mac: str, addresses: Iterable[Interface]
) -> None:
    """Let FRR advertise a container. port: the index of its port. mac: of its interface."""
    bridge_fdb.add(nl, port, mac)
    for one in addresses:
        neighbour.add(nl, bridge.index, one.ip, mac, protocol=PROTOCOL, replace=True)


def problems(
    nl: Netlink, bridge: Link, port: int, mac: str, addresses: Iterable[Interface]
) -> Iterator[str]:
    """What of `advertise` is missing, in words."""
    if bridge_fdb.static(bridge_fdb.dump(nl, bridge.index)).get(mac) != port:
        yield f"bridge {bridge.name} has no static entry for {mac}"
    found = neighbour.dump(nl, index=bridge.index, protocol=PROTOCOL)
    there = {one.address: one.mac for one in found}
    for one in addresses:
        if there.get(one.ip) != mac:
            yield f"bridge {bridge.name} has no neighbour entry for {one.ip} at {mac}"


def withdraw_gone(nl: Netlink, bridge: Link) -> None:
    """Remove the neighbours of containers that are gone."""
    there = neighbour.dump(nl, index=bridge.index, protocol=PROTOCOL)
    if there:
        known = bridge_fdb.static(bridge_fdb.dump(nl, bridge.index))
        for one in there:
            if one.mac not in known:
                neighbour.delete(nl, bridge.index, one.address, missing_ok=True)
