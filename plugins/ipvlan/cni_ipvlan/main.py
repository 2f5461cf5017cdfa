"""`ipvlan`: the plugin's verbs, each loaded when it is called for."""

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
    """Give the container a link on the master.

    After another plugin the master is that one's interface, where the config names none, and
    without an IPAM plugin its addresses are the container's.
    """
    from cni_ipvlan import device
    from cni_ipvlan.config import chained, read
    from wiring.single import attach

    previous = call.prev_result
    config = chained(read(call), previous)
    given = previous if previous is not None and previous.ips else None
    return attach.add(call, config.common, lambda scene: device.prepare(scene, config), given=given)


def delete(call: Call) -> None:
    """Take it away; missing things are no error."""
    from wiring import keys
    from wiring.single import detach

    detach.delete(call, keys.lenient_ipam(call), "ipvlan")


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni_ipvlan import device
    from cni_ipvlan.config import read
    from wiring.single import check as checks

    config = read(call)
    checks.check(call, config.common, "ipvlan", lambda sight: device.problems(sight, config))


def gc(call: Call) -> None:
    """Have the IPAM plugin forget what is not valid any more; links go with their containers."""
    from wiring import keys
    from wiring.single import detach

    detach.gc(call, keys.lenient_ipam(call))


def status(call: Call) -> None:
    """Tell whether an ADD could succeed. Without a master, one may come from another plugin."""
    from wiring.single import status as availability

    def look(nl: Netlink) -> str:
        from cni_ipvlan.config import read
        from wiring.single import lower

        config = read(call)
        availability.require_kind(nl, "ipvlan")
        if config.lower.name:
            lower.find_on_host(nl, config.lower, config.common)
        return config.common.ipam

    availability.status(call, look)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_ipvlan.config import chained, read
    from hostnet.netlink import Netlink
    from wiring.single import explaining, lower

    config = chained(read(call), call.prev_result)
    with Netlink() as nl:
        master = lower.look(nl, config.lower, config.common)
    return explaining.link(
        call,
        config.common,
        "ipvlan",
        (explaining.below(master, config.lower),),
        (f'mode "{config.mode}"',),
        given=call.prev_result if call.prev_result is not None and call.prev_result.ips else None,
    )


PLUGIN = Plugin(
    "ipvlan",
    about("ipvlan"),
    add,
    delete,
    check,
    gc,
    status,
    explain=explain,
)
