"""ADD: the pair, the container's side, the host's, the packet filter."""

from __future__ import annotations

import errno

from cni import ipam
from cni.errors import IN_THE_WAY, CniError
from cni.result import Interface, Result
from cni_ptp import layout
from hostnet import address, announce, link, route, sysctl
from hostnet.netlink import Netlink, NetlinkError
from hostnet.netns import NetNS
from hostnet.undo import Undo
from wiring import container, veth
from wiring.single import attach
from wiring.single.attach import Scene

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip
    from cni.call import Call
    from cni_ptp.config import Ptp
    from hostnet.link import Link
    from wiring.plan import Plan

_INNER = 1
"""Where the container's interface stands in the result: host end, container."""


def add(call: Call, config: Ptp) -> Result:
    """Connect the container. Raises CniError or OSError, and has then left nothing behind."""
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside, Undo() as undo:
        scene = Scene(call, config.common, ns, inside, outside, undo)
        attach.require_free(scene)
        if ipam.needs_interface(config.common.ipam):
            port = _connect(scene, config)
            link.set_up(inside, port.peer)
            wanted = _allocate(scene)
        else:
            wanted = _allocate(scene)
            port = _connect(scene, config)
        inner = link.by_index(inside, port.peer)
        container.configure(
            ns,
            inside,
            inner,
            wanted,
            detect_duplicates=False,
            accept_dad="0",  # nobody else can be on this link
            prefix_routes=False,
            sources=layout.sources(wanted.ips),
        )
        _route(scene, port, wanted)
        _protect(scene, config, port, wanted)
        gateways = [one.ip for one in layout.host_addresses(wanted.ips)]
        announce.wait_local(outside, port.index, gateways)
        announce.announce(inside, inner.index, inner.mac)
        return Result(
            (Interface(port.name, mac=port.mac, mtu=port.mtu), attach.shown(inner, call.netns)),
            wanted.ips,
            wanted.routes,
            wanted.dns,
        )


def _allocate(scene: Scene) -> Plan:
    return layout.routed(attach.allocate(scene, interface=_INNER), scene.common.ipam)


def _connect(scene: Scene, config: Ptp) -> Link:
    """The pair, its host end up: the end that comes up last gets its carrier at once."""
    owner, nl = scene.call.owner, scene.outside
    port = scene.undo.step(
        lambda: veth.create(
            nl,
            owner=owner,
            ns=scene.ns,
            ifname=scene.call.ifname,
            mac=config.mac,
            mtu=config.common.mtu,
        ),
        lambda made: link.delete(nl, made.index, missing_ok=True),
    )
    # A container's router advertisements must not configure the host.
    for key in ("accept_ra", "accept_dad"):
        sysctl.ensure(sysctl.of_interface("ipv6", port.name, key), "0", missing_ok=True)
    link.change(nl, port.index, alias=veth.label(owner), up=True)
    return port


def _route(scene: Scene, port: Link, wanted: Plan) -> None:
    """The host's side: the gateways' addresses, and the ways to the container's."""
    nl = scene.outside
    for gateway in layout.host_addresses(wanted.ips):
        address.add(nl, port.index, gateway, nodad=True)
    for destination in layout.host_routes(wanted.ips):
        try:
            route.add(nl, destination, oif=port.index)
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                raise _taken(nl, destination) from error
            raise


def _taken(nl: Netlink, destination: ip.Network) -> CniError:
    """The error for a route that is there already: two containers with one address, mostly."""
    family = route.AF_INET if destination.version == 4 else route.AF_INET6
    there = (one.oif for one in route.dump(nl, family) if one.destination == destination)
    names = ", ".join(link.by_index(nl, index).name for index in there if index)
    return CniError(
        IN_THE_WAY,
        f"the host has a route to {destination} already, by {names or 'no interface'}: another "
        "container has this address, or remove the route",
    )


def _protect(scene: Scene, config: Ptp, port: Link, wanted: Plan) -> None:
    """Masquerade and forwarding; last of what can fail, since forwarding is not taken back."""
    addresses = [one.address for one in wanted.ips]
    if config.ip_masq:
        from wiring import firewall

        owner = scene.call.owner
        # Noted first: the pair is new, so whatever teardown finds is this ADD's, even a part of it.
        scene.undo.push(firewall.teardown, owner, port.name)
        firewall.setup(owner, config, port.name, "", addresses)
    for version in sorted({one.version for one in addresses}):
        sysctl.ensure(sysctl.FORWARDING[version], "1")
