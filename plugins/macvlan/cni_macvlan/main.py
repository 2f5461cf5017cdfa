"""`macvlan`: the plugin's verbs, each loaded when it is called for."""

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
    """Give the container a link on the master."""
    from cni_macvlan import device
    from cni_macvlan.config import read
    from wiring.single import attach

    config = read(call)
    return attach.add(call, config.common, lambda scene: device.prepare(scene, config))


def delete(call: Call) -> None:
    """Take it away; missing things are no error."""
    from wiring import keys
    from wiring.single import detach

    detach.delete(call, keys.lenient_ipam(call), "macvlan")


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni_macvlan import device
    from cni_macvlan.config import read
    from wiring.single import check as checks

    config = read(call)
    checks.check(call, config.common, "macvlan", lambda sight: device.problems(sight, config))


def gc(call: Call) -> None:
    """Have the IPAM plugin forget what is not valid any more; links go with their containers."""
    from wiring import keys
    from wiring.single import detach

    detach.gc(call, keys.lenient_ipam(call))


def status(call: Call) -> None:
    """Tell whether an ADD could succeed."""
    from wiring.single import status as availability

    def look(nl: Netlink) -> str:
        from cni_macvlan.config import read
        from wiring.single import lower

        config = read(call)
        availability.require_kind(nl, "macvlan")
        lower.find_on_host(nl, config.lower, config.common)
        return config.common.ipam

    availability.status(call, look)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_macvlan.config import read
    from hostnet.netlink import Netlink
    from wiring.single import explaining, lower

    config = read(call)
    with Netlink() as nl:
        master = lower.look(nl, config.lower, config.common)
    return explaining.link(
        call,
        config.common,
        "macvlan",
        (explaining.below(master, config.lower),),
        (f'mode "{config.mode}"', *((f"MAC {config.mac}",) if config.mac else ())),
        mac=config.mac,
    )


PLUGIN = Plugin(
    "macvlan",
    about("macvlan"),
    add,
    delete,
    check,
    gc,
    status,
    strict_args=True,
    explain=explain,
)
