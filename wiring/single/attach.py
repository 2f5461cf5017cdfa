"""ADD of one link inside the container: refuse, allocate, make the link, configure it, announce.

The order is that of all interface plugins: what can be refused is refused first; the IPAM plugin
comes before the link, unless it works through the link; and from then on whatever goes wrong is
undone.
"""

from __future__ import annotations

import errno

from cni import ipam
from cni.errors import IN_THE_WAY, CniError
from cni.record import record, replace
from cni.result import DNS, Interface, Result
from hostnet import announce, link
from hostnet.netlink import Netlink, NetlinkError
from hostnet.netns import NetNS
from hostnet.undo import Undo
from wiring import container, plan, veth
from wiring.plan import Plan
from wiring.single import label, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni.call import Call
    from hostnet.link import Link


@record
class Common:
    """What all such networks say. mtu: bytes, 0 for the kernel's choice.

    ipam: the IPAM plugin, empty for a layer-2 network. dns: of the config, None where not set.
    enable_dad: whether the kernel takes its time to look for duplicates of IPv6 addresses; False
    for not to look, None for the middle way of `wiring.duplicates`.
    """

    ipam: str = ""
    dns: DNS | None = None
    mtu: int = 0
    enable_dad: bool | None = None


@record
class Scene:
    """What every act of an ADD needs. inside, outside: sockets in the container and on the host."""

    call: Call
    common: Common
    ns: NetNS
    inside: Netlink
    outside: Netlink
    undo: Undo


def add(
    call: Call,
    common: Common,
    prepare: Callable[[Scene], Callable[[], Link]],
    *,
    given: Result | None = None,
) -> Result:
    """Give the container its link.

    prepare: looks whether the link can be made, touching nothing, and gives what makes it: under
    its name in the container, and noted in the undo stack. given: the addresses and routes where
    no IPAM plugin is asked for them.
    Raises CniError or OSError, and has then left nothing behind.
    """
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside, Undo() as undo:
        scene = Scene(call, common, ns, inside, outside, undo)
        require_free(scene)
        make = prepare(scene)
        early = ipam.needs_interface(common.ipam)
        if early:
            inner = make()
            link.set_up(inside, inner.index)
            wanted = allocate(scene, given)
        else:
            wanted = allocate(scene, given)
            inner = make()
        if common.enable_dad is not False and any(one.address.version == 6 for one in wanted.ips):
            _configure_alone(scene, wanted, inner, up_last=not early)
        else:
            container.configure(
                ns, inside, inner, wanted, detect_duplicates=False, up_last=not early
            )
        inner = link.by_index(inside, inner.index)
        _settle(scene, wanted, inner, announced=not early)
        return Result((shown(inner, call.netns),), wanted.ips, wanted.routes, wanted.dns)


def _configure_alone(scene: Scene, wanted: Plan, inner: Link, *, up_last: bool) -> None:
    """Configure a link if nobody else has its IPv6 addresses; that is known where it has a carrier.

    Raises CniError(DUPLICATE), and as `wiring.duplicates` says.
    """
    from wiring import duplicates

    ns, inside = scene.ns, scene.inside
    before = {} if scene.common.enable_dad else duplicates.hurry(ns, inner)
    container.configure(ns, inside, inner, wanted, detect_duplicates=True, up_last=up_last)
    if link.by_index(inside, inner.index).carrier:
        duplicates.refuse(inside, inner, wanted)
    duplicates.calm(ns, before)


def _settle(scene: Scene, wanted: Plan, inner: Link, *, announced: bool) -> None:
    """Wait until the addresses are in use, for a moment, where a carrier lets them.

    announced: whether the kernel announced them when the link came up. Other than a veth's end,
    such a link has the carrier of the one below it from the start, so that this was not in vain.
    """
    if not inner.carrier:
        return
    if not announced:
        announce.announce(scene.inside, inner.index, inner.mac, 0)
    elif any(one.address.version == 6 for one in wanted.ips):
        announce.wait_addresses(scene.inside, inner.index)


def without_link(call: Call, common: Common) -> Result:
    """ADD where there is no interface of the kernel's: what the IPAM plugin allocates, told.

    Raises CniError, DELEGATE_FAILED where that is no address.
    """
    if not common.ipam:
        return Result(dns=common.dns or DNS())
    with Undo() as undo:
        allocated = ipam.add(call, common.ipam)
        undo.push(ipam.withdraw, call, common.ipam)
        wanted = plan.make(allocated, ipam=common.ipam, interface=0, dns=common.dns)
    ips = tuple(replace(one, interface=None) for one in wanted.ips)
    return Result((), ips, wanted.routes, wanted.dns)


def require_free(scene: Scene) -> None:
    """Raise CniError(IN_THE_WAY) where the container has an interface of that name."""
    if link.find(scene.inside, scene.call.ifname) is not None:
        raise veth.exists_inside(scene.call.ifname, scene.call.netns)


def allocate(scene: Scene, given: Result | None = None, *, interface: int = 0) -> Plan:
    """The plan for what the IPAM plugin allocates, else for `given`; empty without either.

    interface: where the container's interface stands in the result.
    """
    common = scene.common
    allocated = given
    if common.ipam:
        allocated = ipam.add(scene.call, common.ipam)
        scene.undo.push(ipam.withdraw, scene.call, common.ipam)
    if allocated is None:
        return Plan(dns=common.dns or DNS())
    return plan.make(
        allocated, ipam=common.ipam, interface=interface, mtu=common.mtu, dns=common.dns
    )


def create(
    scene: Scene,
    kind: str,
    *,
    data: bytes = b"",
    below: Link | None = None,
    below_inside: bool = False,
    mac: str = "",
) -> Link:
    """Make a link of this kind in the container, down, under its name and with its label.

    below: the link it sits on, of the container where `below_inside`, else of the host. mac: empty
    for the kernel's choice. Raises CniError(SYSTEM) where the kernel has no such links,
    CniError(IN_THE_WAY) for the remains of an ADD that was killed, OSError.
    """
    temporary = label.temporary_name(scene.call.owner)
    try:
        made = born(
            scene,
            lambda: link.create(
                scene.inside if below_inside else scene.outside,
                temporary,
                kind,
                data=data,
                mac=mac,
                mtu=scene.common.mtu,
                below=below.index if below else 0,
                netns_fd=-1 if below_inside else scene.ns.fileno(),
                inside=scene.inside,
            ),
        )
    except NetlinkError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise status.unknown_kind(kind) from error
        if error.errno == errno.EEXIST and link.find(scene.inside, temporary) is not None:
            raise remains(scene, temporary) from error
        raise
    return finish(scene, made)


def born(scene: Scene, make: Callable[[], Link]) -> Link:
    """Make a link of the container under its temporary name; noted in the undo stack.

    Where `make` fails nothing of it stays: the kernel may have made the link all the same, and its
    answer be lost.
    """

    def act() -> Link:
        try:
            return make()
        except (CniError, OSError) as error:
            # These two say that another link is in the way, which `make` has not made.
            if getattr(error, "errno", 0) not in (errno.EEXIST, errno.EBUSY):
                _delete_unfinished(scene, error)
            raise

    return scene.undo.step(act, lambda made: link.delete(scene.inside, made.index, missing_ok=True))


def _delete_unfinished(scene: Scene, error: CniError | OSError) -> None:
    try:
        found = link.find(scene.inside, label.temporary_name(scene.call.owner))
        if found is not None:
            link.delete(scene.inside, found.index, missing_ok=True)
    except OSError as problem:
        error.add_note(f"while undoing: {problem}")


def finish(
    scene: Scene, made: Link, *, mac: str = "", mtu: int = 0, master: int | None = None
) -> Link:
    """Give a new link of the container, which is down, its own name and its label.

    And what it did not get when it was made. master: index of a bridge there, None for none.
    """
    link.change(
        scene.inside,
        made.index,
        name=scene.call.ifname,
        alias=label.alias(scene.call.owner),
        mac=mac,
        mtu=mtu,
        master=master,
    )
    return link.by_index(scene.inside, made.index)


def remains(scene: Scene, name: str) -> CniError:
    """The error for what an ADD that was killed has left in the container."""
    return CniError(
        IN_THE_WAY,
        f"interface {name} in {scene.call.netns} is left from an ADD of this attachment that did "
        "not end: DEL it before another ADD",
    )


def shown(inner: Link, netns: str) -> Interface:
    """The container's interface as the result tells it."""
    return Interface(inner.name, mac=inner.mac, mtu=inner.mtu, sandbox=netns)
