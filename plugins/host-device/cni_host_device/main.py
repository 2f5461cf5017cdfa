"""`host-device`: the plugin's verbs, each loaded when it is called for."""

from __future__ import annotations

from cni import about
from cni.skel import Plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cni.call import Call
    from cni.explained import Explained
    from cni.result import Result
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from wiring.single.attach import Scene
    from wiring.single.check import Sight


def add(call: Call) -> Result:
    """Move the device into the container.

    One that a driver for user space has has no interface to move: only addresses are allocated.
    """
    from cni_host_device import find, move
    from cni_host_device.config import read
    from wiring.single import attach

    config = read(call)
    if find.is_in_user_space(config):
        return attach.without_link(call, config.common)
    if config.with_network:
        from cni_host_device import network

        return network.add(call, config)

    def prepare(scene: Scene) -> Callable[[], Link]:
        found = find.find(scene.outside, config)
        return lambda: move.take(scene, found)

    return attach.add(call, config.common, prepare)


def delete(call: Call) -> None:
    """Bring it back; missing things are no error."""
    from cni_host_device import move
    from cni_host_device.config import lenient
    from hostnet.netlink import Netlink
    from hostnet.netns import NetNS
    from wiring.single import detach

    config = lenient(call)

    def bring_back() -> None:
        with Netlink() as outside:
            if call.netns:
                with NetNS.open(call.netns) as ns, ns.netlink() as inside:
                    move.bring_back(inside, outside, call, config)
            move.tidy(outside, call)

    detach.in_order(call, config.common.ipam, bring_back)


def check(call: Call) -> None:
    """Compare what is there with what ADD reported."""
    from cni import ipam
    from cni_host_device import find, mark
    from cni_host_device.config import read
    from wiring import compare
    from wiring.single import check as checks
    from wiring.single import label

    config = read(call)
    if find.is_in_user_space(config):
        compare.previous(call)
        if config.common.ipam:
            ipam.check(call, config.common.ipam)
        return

    def problems(sight: Sight) -> Iterator[str]:
        inner = sight.inner
        told = mark.home(inner, label.temporary_name(call.owner))
        name = told.name if told is not None else inner.alias
        if inner.alias != name or not name:
            expected = name or config.device or "its name on the host"
            yield f'interface {inner.name} has the alias "{inner.alias}", expected {expected}'
        elif config.device not in ("", name, *inner.altnames):
            yield f"interface {inner.name} is {name} of the host, expected {config.device}"
        if told is not None and told.rules:
            from cni_host_device import network

            yield from network.problems(sight, told.rules)

    checks.check(call, config.common, None, problems)


def gc(call: Call) -> None:
    """Have the IPAM plugin forget what is not valid any more, and finish what a killed call began.

    A device that is in a namespace nobody names here.
    """
    from cni.errors import CniError
    from cni_host_device import find, move
    from cni_host_device.config import lenient
    from hostnet.netlink import Netlink
    from wiring.single import detach
    from wiring.steps import Steps

    config = lenient(call)

    def sweep() -> None:
        with Netlink() as outside:
            try:
                found = find.find(outside, config)
            except CniError:  # a container has it
                return
            move.sweep(outside, call, found)

    steps = Steps()
    steps.run(sweep)
    steps.run(detach.gc, call, config.common.ipam)
    steps.finish()


def status(call: Call) -> None:
    """Tell whether the config is in order; a device that a container has is no failure."""
    from wiring.single import status as availability

    def look(_: Netlink) -> str:
        from cni_host_device.config import read

        return read(call).common.ipam

    availability.status(call, look)


def explain(call: Call) -> Explained:
    """Tell what ADD would do."""
    from cni.explained import TAKES, USES, Step
    from cni_host_device import find
    from cni_host_device.config import read
    from hostnet.netlink import Netlink
    from wiring.single import explaining

    config = read(call)
    if find.is_in_user_space(config):
        name = config.device_id or config.pci
        before = Step(USES, "device", name, "a driver for user space has it, so it stays there")
        return explaining.link(call, config.common, "name", (before,), verb=USES)
    with Netlink() as nl:
        found = find.find(nl, config)
        details = (f"{found.name} of this host, which it is again when it comes back",)
        if config.with_network:
            from cni_host_device import network

            return network.explain(call, config, network.read(nl, found.device), details)
    return explaining.link(call, config.common, "device", (), details, verb=TAKES)


PLUGIN = Plugin(
    "host-device",
    about("host-device"),
    add,
    delete,
    check,
    gc,
    status,
    explain=explain,
)
