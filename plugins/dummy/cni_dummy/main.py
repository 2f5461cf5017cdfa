"""`dummy`: the plugin's verbs, each loaded when it is called for.

There is no configuration of its own, only the IPAM plugin, for which the interface is there: an
address that is the container's whatever its other interfaces do.
"""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from wiring.single.attach import Common, Scene


def read(call: Call) -> Common:
    """Read and check the whole config. Raises CniError(INVALID_CONFIG), which names the key."""
    from wiring import keys
    from wiring.single.attach import Common

    plugin = keys.ipam_plugin(call)
    if not plugin:
        raise call.config.wrong("ipam", "an IPAM plugin, since a dummy is nothing but addresses")
    # No key: nobody else is on the network of a dummy.
    return Common(ipam=plugin, dns=keys.dns(call.config), enable_dad=False)


def add(call: Call) -> Result:
    """Give the container a dummy with the addresses of the IPAM plugin."""
    from hostnet.link import random_mac
    from wiring.single import attach

    def prepare(scene: Scene) -> Callable[[], Link]:
        return lambda: attach.create(scene, "dummy", mac=random_mac())

    return attach.add(call, read(call), prepare)


def delete(call: Call) -> None:
    """Take it away; missing things are no error."""
    from wiring import keys
    from wiring.single import detach

    detach.delete(call, keys.lenient_ipam(call), "dummy")


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from wiring.single import check as checks

    checks.check(call, read(call), "dummy")


def gc(call: Call) -> None:
    """Have the IPAM plugin forget what is not valid any more; links go with their containers."""
    from wiring import keys
    from wiring.single import detach

    detach.gc(call, keys.lenient_ipam(call))


def status(call: Call) -> None:
    """Tell whether an ADD could succeed."""
    from wiring.single import status as availability

    def look(nl: Netlink) -> str:
        config = read(call)
        availability.require_kind(nl, "dummy")
        return config.ipam

    availability.status(call, look)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from wiring.single import explaining

    return explaining.link(call, read(call), "dummy")


PLUGIN = Plugin(
    "dummy",
    about("dummy"),
    add,
    delete,
    check,
    gc,
    status,
    explain=explain,
)
