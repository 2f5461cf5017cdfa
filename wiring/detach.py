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
from hostnet import leaving, link
from hostnet.netlink import Netlink
from wiring import firewall, veth
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from hostnet.link import Link

_ALIAS_LONGEST = 255  # IFALIASZ - 1, linux/if.h


def delete(call: Call, ipam_plugin: str, pruned: str = "") -> None:
    """Remove whatever the attachment has; missing things are no error.

    ipam_plugin: empty for a layer-2 network. pruned: the bridge to remove with its last container,
    empty for none. Raises CniError for all that failed.
    """
    steps = Steps()
    leaving.mark(call.owner)
    with firewall.Remover() as remover:
        steps.run(remover.remove, call.owner, veth.host_veth(call.owner))
        early = ipam.needs_interface(ipam_plugin)
        if early:
            steps.run(ipam.delete, call, ipam_plugin)
        steps.run(veth.delete, call)
        if ipam_plugin and not early:
            steps.run(ipam.delete, call, ipam_plugin)
    _prune(pruned, steps)
    steps.finish()


def gc(call: Call, ipam_plugin: str, pruned: str = "") -> None:
    """Remove what attachments of this network have that are not valid any more.

    ipam_plugin, pruned: as for `delete`. Raises CniError for all that failed.
    """
    valid = {owner(call.network, attachment) for attachment in call.valid_attachments}
    steps = Steps()
    with firewall.Remover() as remover:
        early = ipam.needs_interface(ipam_plugin)
        if early:
            steps.run(ipam.gc, call, ipam_plugin)
        steps.run(_sweep, call, valid, remover, steps)
        steps.run(remover.sweep, call.network, valid, steps)
        if ipam_plugin and not early:
            steps.run(ipam.gc, call, ipam_plugin)
    _prune(pruned, steps)
    steps.finish()


def _prune(bridge: str, steps: Steps) -> None:
    if bridge:
        from wiring import prune

        steps.run(prune.remove_unused, bridge)


def _sweep(call: Call, valid: set[str], remover: firewall.Remover, steps: Steps) -> None:
    """Host ends labelled with this network whose owner is not valid; other networks' stay.

    Whatever they are plugged into: the bridge may be another one today, or none.
    """
    names = {veth.host_veth(one) for one in valid}
    with Netlink() as outside:
        for end in link.dump(outside, kind="veth"):
            cut = len(end.alias) >= _ALIAS_LONGEST  # then `Remover.sweep` knows the whole
            labelled = end.alias.startswith(f"{call.network}/")
            named = end.name in names or end.alias in valid  # which somebody may have renamed
            if not labelled or named:
                continue
            if not cut and end.alias.count("/") == 2:
                steps.run(remover.remove, end.alias, end.name)
            elif not cut:
                continue  # somebody's note
            steps.run(_delete_link, outside, end)


def _delete_link(outside: Netlink, end: Link) -> None:
    link.delete(outside, end.index, missing_ok=True)
