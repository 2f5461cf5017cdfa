"""DEL and GC: rules first, then the link, the reservation last.

In that order nothing is ever addressed to a container that is gone, and an address is free only
when nothing of its former holder is left. Everything is found by the attachment's identity, so a
DEL needs neither the namespace nor a previous result. Every step runs, and what failed is reported
together.

An IPAM plugin that works through the container's interface comes before the link: it has to tell
the network, through the link, that the address is free.
"""

from __future__ import annotations

from cni import ipam
from cni.call import owner
from hostnet import link
from hostnet.netlink import Netlink
from wiring import firewall, veth
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call


def delete(call: Call, ipam_plugin: str) -> None:
    """Remove whatever the attachment has; missing things are no error.

    ipam_plugin: empty for a layer-2 network. Raises CniError for all that failed.
    """
    steps = Steps()
    with firewall.Remover() as remover:
        steps.run(remover.remove, call.owner, veth.host_veth(call.owner))
        early = ipam.needs_interface(ipam_plugin)
        if early:
            steps.run(ipam.delete, call, ipam_plugin)
        steps.run(veth.delete, call)
        if ipam_plugin and not early:
            steps.run(ipam.delete, call, ipam_plugin)
    steps.finish()


def gc(call: Call, bridge_name: str, ipam_plugin: str) -> None:
    """Remove what attachments of this network have that are not valid any more.

    bridge_name: the network's bridge, empty where nobody knows it. ipam_plugin: as for `delete`.
    Raises CniError for all that failed.
    """
    valid = {owner(call.network, attachment) for attachment in call.valid_attachments}
    steps = Steps()
    with firewall.Remover() as remover:
        early = ipam.needs_interface(ipam_plugin)
        if early:
            steps.run(ipam.gc, call, ipam_plugin)
        steps.run(_sweep_ports, call, bridge_name, valid, remover)
        steps.run(remover.sweep, call.network, valid)
        if ipam_plugin and not early:
            steps.run(ipam.gc, call, ipam_plugin)
    steps.finish()


def _sweep_ports(call: Call, bridge_name: str, valid: set[str], remover: firewall.Remover) -> None:
    """Ports labelled with this network whose owner is not valid; other networks' stay."""
    names = {veth.host_veth(one) for one in valid}
    with Netlink() as outside:
        on = link.find(outside, bridge_name) if bridge_name else None
        if on is None:
            return
        for port in link.dump(outside, master=on.index):
            labelled = port.alias.startswith(f"{call.network}/")
            if port.kind == "veth" and labelled and port.name not in names:
                remover.remove(port.alias, port.name)
                link.delete(outside, port.index, missing_ok=True)
