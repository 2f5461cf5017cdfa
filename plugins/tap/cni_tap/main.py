"""`tap`: the plugin's verbs, each loaded when it is called for."""

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
    """Give the container a TAP device."""
    from cni_tap import device
    from cni_tap.config import read
    from wiring.single import attach

    config = read(call)
    return attach.add(call, config.common, lambda scene: device.prepare(scene, config))


def delete(call: Call) -> None:
    """Take it away; missing things are no error."""
    from wiring import keys
    from wiring.single import detach

    detach.delete(call, keys.lenient_ipam(call), "tun")


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni_tap import device
    from cni_tap.config import read
    from wiring.single import check as checks

    config = read(call)
    checks.check(call, config.common, "tun", lambda sight: device.problems(sight, config))


def gc(call: Call) -> None:
    """Have the IPAM plugin forget what is not valid any more; links go with their containers."""
    from wiring import keys
    from wiring.single import detach

    detach.gc(call, keys.lenient_ipam(call))


def status(call: Call) -> None:
    """Tell whether an ADD could succeed."""
    from wiring.single import status as availability

    def look(_: Netlink) -> str:
        from cni_tap import device
        from cni_tap.config import read

        config = read(call)
        device.require(config)
        return config.common.ipam

    availability.status(call, look)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni_tap import device
    from cni_tap.config import read
    from wiring.single import explaining

    config = read(call)
    device.require(config)
    details = [f"MAC {config.mac}"] if config.mac else []
    details += [f"owner {config.owner}"] if config.owner is not None else []
    details += [f"group {config.group}"] if config.group is not None else []
    details += ["several queues"] if config.multi_queue else []
    details += [f"a port of {config.bridge}"] if config.bridge else []
    return explaining.link(call, config.common, "TAP device", (), details, mac=config.mac)


PLUGIN = Plugin(
    "tap",
    about("tap"),
    add,
    delete,
    check,
    gc,
    status,
    strict_args=True,
    explain=explain,
)
