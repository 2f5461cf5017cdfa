"""DEL and GC: what the port is shaped by first, so that nothing is sent to a device that is gone.

The device is found by the attachment's identity. What is on the host's end of the pair ends with
it; while it is there it is found by its name, or as the other end of the container's interface.
"""

from __future__ import annotations

from cni.call import owner
from cni_bandwidth import device, names
from hostnet import link, removal
from hostnet.netlink import Netlink
from wiring.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from hostnet.link import Link


def delete(call: Call) -> None:
    """Remove whatever the attachment has; missing things are no error. Raises CniError, OSError."""
    with Netlink() as nl:
        own = link.find(nl, names.own(call.owner))
        theirs = device.find_references(nl, call)
        port = _port(nl, call)
        leads_to: set[int] = set()
        if port is not None:
            leads_to = _free(nl, port, [one for one in (own, theirs) if one is not None])
        if own is not None:
            removal.delete(nl, own.index)
        # The reference has one for a container. It may be another interface's, unless all of the
        # container's are gone.
        if theirs is not None and (theirs.index in leads_to or not call.netns):
            removal.delete(nl, theirs.index)


def _port(nl: Netlink, call: Call) -> Link | None:
    from wiring import veth

    found = link.find(nl, veth.host_veth(call.owner))
    if found is not None or not call.netns:
        return found
    from hostnet.netns import NetNS

    with NetNS.open(call.netns) as ns, ns.netlink() as inside:
        inner = link.find_index(inside, call.ifname)
    result = call.prev_result
    candidates = [one.name for one in result.interfaces if not one.sandbox] if result else []
    return veth.find(nl, call.owner, candidates, inner)


def _free(nl: Netlink, port: Link, devices: list[Link]) -> set[int]:
    """Take what shapes the port; gives the devices that it has led to."""
    from cni_bandwidth import shape

    led_to = device.leads_to(nl, port)
    # A redirection to a device that is gone helps nobody: it drops all that the container sends.
    is_ours = led_to & {0, *(one.index for one in devices)}
    if is_ours or (devices and device.is_unfinished(nl, port)):
        device.stop(nl, port)
    shape.remove(nl, port.index)
    return led_to


def gc(call: Call) -> None:
    """Remove the devices of this network's attachments that are not valid any more.

    Those of the reference do not tell whose they are. Raises CniError for all that failed.
    """
    valid = {names.own(owner(call.network, one)) for one in call.valid_attachments}
    steps = Steps()
    with Netlink() as nl:
        for one in link.dump(nl, kind=device.KIND):
            if one.alias.startswith(f"{call.network}/") and one.name not in valid:
                steps.run(_delete, nl, one)
    steps.finish()


def _delete(nl: Netlink, one: Link) -> None:
    link.delete(nl, one.index, missing_ok=True)
