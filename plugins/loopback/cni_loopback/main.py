"""`loopback`: set `lo` up on ADD and down on DEL, and tell the addresses it then has.

The interface is always `lo`, whatever CNI_IFNAME says (the reference does the same), and there is
no configuration of its own. Inside a chain a previous result is handed on unchanged.
"""

from __future__ import annotations

from cni import about
from cni.errors import CHECK_FAILED, IN_THE_WAY, CniError
from cni.result import Interface, IPConfig, Result
from cni.skel import Plugin
from hostnet import address, link
from hostnet.netns import NetNS
from hostnet.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip
    from cni.call import Call
    from cni.explained import Explained

_LO = "lo"
_NO_MAC = "00:00:00:00:00:00"


def add(call: Call) -> Result:
    """Bring `lo` up and report its addresses.

    Raises CniError(IN_THE_WAY) where `lo` carries an address that is no loopback address: the
    runtime then handed over a namespace that is not a container's.
    """
    with NetNS.open(call.netns) as ns, ns.netlink() as nl, Undo() as undo:
        lo = link.get(nl, _LO)
        if not lo.up:
            # Noted first: when the kernel's answer gets lost, nobody knows whether it was done.
            undo.push(link.set_down, nl, lo.index)
            link.set_up(nl, lo.index)
        addresses = [found.interface for found in address.dump(nl, index=lo.index)]
        for found in addresses:
            if not found.is_loopback:
                raise CniError(
                    IN_THE_WAY,
                    f"interface lo in {call.netns} has the address {found}, expected only "
                    "loopback addresses: it is no fresh container namespace",
                )
    return call.prev_result or _result(call.netns, addresses)


def _result(netns: str, addresses: list[ip.Interface]) -> Result:
    """The first address of each family, as the reference reports them."""
    firsts = (
        next((found for found in addresses if found.version == family), None) for family in (4, 6)
    )
    return Result(
        interfaces=(Interface(_LO, mac=_NO_MAC, sandbox=netns),),
        ips=tuple(IPConfig(found, interface=0) for found in firsts if found is not None),
    )


def delete(call: Call) -> None:
    """Bring `lo` down; nothing to do where the namespace is gone."""
    if call.netns:
        with NetNS.open(call.netns) as ns, ns.netlink() as nl:
            link.set_down(nl, link.get(nl, _LO).index)


def check(call: Call) -> None:
    """Raise CniError(CHECK_FAILED) unless `lo` is up and has the addresses ADD reported."""
    with NetNS.open(call.netns) as ns, ns.netlink() as nl:
        lo = link.get(nl, _LO)
        if not lo.up:
            raise CniError(CHECK_FAILED, f"interface lo in {call.netns} is down, expected it up")
        present = {found.interface for found in address.dump(nl, index=lo.index)}
    for config in call.prev_result.ips if call.prev_result else ():
        if config.address.is_loopback and config.address not in present:
            raise CniError(
                CHECK_FAILED, f"interface lo in {call.netns} lacks its address {config.address}"
            )


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni.explained import SETS, Explained, Step

    steps = (Step(SETS, "interface", _LO, "up, with the addresses that the kernel gives it"),)
    return Explained(steps, call.prev_result or _result(call.netns, []))


PLUGIN = Plugin("loopback", about("loopback"), add, delete, check, explain=explain)
