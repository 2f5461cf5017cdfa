"""ADD: look, allocate, plan, then act under one undo stack.

Everything that can be refused is refused before the first side effect. The IPAM plugin comes
next, since what it allocates decides the rest, and from then on any error, time-out or signal
unwinds what was done. One that works through the container's interface comes after that.
"""

from __future__ import annotations

from cni import ipam
from cni.record import record, replace
from cni.result import DNS, Interface, Result
from hostnet import announce, link, sysctl
from hostnet.lock import NamespaceLock
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from hostnet.undo import Undo
from wiring import container, firewall, host, plan, veth
from wiring.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.call import Call
    from hostnet.link import Link
    from wiring.bridged import Bridged

_INNER = 2
"""Where the container's interface stands in the result: bridge, host veth, container, …"""


@record
class _Scene:
    """What every act of an ADD needs. inside, outside: sockets in the container and on the host."""

    call: Call
    config: Bridged
    ns: NetNS
    inside: Netlink
    outside: Netlink
    undo: Undo


@record
class _Links:
    """The interfaces of the attachment. gateway: of a VLAN, None where the bridge is it."""

    bridge: Link
    port: Link
    inner: Link
    gateway: Link | None


def add(call: Call, config: Bridged) -> Result:
    """Attach the container to the bridge.

    Takes the lock of the host's namespace itself; a caller that holds it waits in vain. What a
    caller does afterwards it undoes by `detach.delete`. Raises CniError (config, IPAM, something in
    the way) or OSError (the kernel refused), and has then left nothing behind.
    """
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside, Undo() as undo:
        if link.find(inside, call.ifname) is not None:
            raise veth.exists_inside(call.ifname, call.netns)
        host.find_bridge(outside, config.bridge)
        scene = _Scene(call, config, ns, inside, outside, undo)
        if ipam.needs_interface(config.ipam):
            wanted, links = _connect_and_allocate(scene)
        else:
            wanted = _allocate(scene)
            links = _connect(scene, wanted)
            host.open_port(outside, links.port, config, call.owner)
        _configure(scene, wanted, links)
        _protect(scene, wanted, links)
        _announce(scene, wanted, links)
        return _result(scene, wanted, links)


def _allocate(scene: _Scene) -> Plan:
    """The plan for what the IPAM plugin allocates; an empty one for a layer-2 network."""
    config = scene.config
    if not config.ipam:
        return Plan(dns=config.dns or DNS())
    allocated = ipam.add(scene.call, config.ipam)
    scene.undo.push(ipam.withdraw, scene.call, config.ipam)
    return plan.make(
        allocated,
        ipam=config.ipam,
        interface=_INNER,
        mtu=config.mtu,
        is_gateway=config.is_gateway,
        is_default_gateway=config.is_default_gateway,
        routes=config.routes,
        dns=config.dns,
    )


def _connect(scene: _Scene, wanted: Plan) -> _Links:
    """The bridge with its addresses, and the veth pair: the part under the lock."""
    config, nl, undo = scene.config, scene.outside, scene.undo
    with NamespaceLock():
        bridge = host.ensure_bridge(nl, config, undo)
        gateway = _ensure_gateway(scene, wanted, bridge)
        port = undo.step(
            lambda: veth.create(
                nl,
                owner=scene.call.owner,
                ns=scene.ns,
                ifname=scene.call.ifname,
                mac=config.mac,
                mtu=config.mtu,
                master=bridge.index,
            ),
            lambda made: link.delete(nl, made.index, missing_ok=True),
        )
    return _Links(bridge, port, link.by_index(scene.inside, port.peer), gateway)


def _ensure_gateway(scene: _Scene, wanted: Plan, bridge: Link) -> Link | None:
    """Give the host its addresses; under the lock. The gateway of a VLAN, None without one."""
    config, nl, undo = scene.config, scene.outside, scene.undo
    if not wanted.gateways:
        return None
    gateway = None
    if config.vlan:
        from wiring import vlan_gateway

        gateway = vlan_gateway.ensure(nl, config, bridge, undo)
    host.ensure_addresses(nl, gateway or bridge, wanted.gateways, config.force_address, undo)
    return gateway


def _connect_and_allocate(scene: _Scene) -> tuple[Plan, _Links]:
    """For an IPAM plugin that works through the interface, which must carry packets by then."""
    links = _connect(scene, Plan())
    host.open_port(scene.outside, links.port, scene.config, scene.call.owner)
    link.set_up(scene.inside, links.inner.index)
    announce.wait_forwarding(scene.outside, links.port.index)
    wanted = _allocate(scene)
    with NamespaceLock():
        gateway = _ensure_gateway(scene, wanted, links.bridge)
    return wanted, replace(links, gateway=gateway)


def _configure(scene: _Scene, wanted: Plan, links: _Links) -> None:
    """The container's end up; the port is.

    The end that comes up first gets its carrier by the kernel's link watch, a moment later, and
    until then drops what it is to send. So the port, whose opening is waited for, went first.
    """
    if not scene.config.disable_container_interface:
        detect = scene.config.enable_dad
        container.configure(
            scene.ns,
            scene.inside,
            links.inner,
            wanted,
            detect_duplicates=detect,
            accept_dad="1" if detect else "0",
        )


def _protect(scene: _Scene, wanted: Plan, links: _Links) -> None:
    """Packet filter and forwarding; last of what can fail, since forwarding is not taken back."""
    owner, port = scene.call.owner, links.port.name
    addresses = [one.address for one in wanted.ips]
    # Noted first: the port is new, so whatever teardown will find is this ADD's, even a part of it.
    scene.undo.push(firewall.teardown, owner, port)
    firewall.setup(owner, scene.config, port, links.inner.mac, addresses)
    for version in sorted({gateway.version for gateway in wanted.gateways}):
        sysctl.ensure(sysctl.FORWARDING[version], "1")


def _announce(scene: _Scene, wanted: Plan, links: _Links) -> None:
    """Tell the segment who has the addresses now, once the port forwards and the host answers."""
    if not wanted.ips or not announce.wait_forwarding(scene.outside, links.port.index):
        return
    host_end = links.gateway or links.bridge
    announce.wait_local(scene.outside, host_end.index, [one.ip for one in wanted.gateways])
    announce.announce(scene.inside, links.inner.index, links.inner.mac)
    if scene.config.enable_dad and any(one.address.version == 6 for one in wanted.ips):
        from wiring import duplicates

        duplicates.refuse(scene.inside, links.inner, wanted)


def _result(scene: _Scene, wanted: Plan, links: _Links) -> Result:
    """Bridge, host veth, container interface, then a VLAN's gateway: others rely on the order."""
    interfaces = [
        Interface(one.name, mac=one.mac, mtu=one.mtu) for one in (links.bridge, links.port)
    ]
    inner = links.inner
    interfaces.append(Interface(inner.name, mac=inner.mac, mtu=inner.mtu, sandbox=scene.call.netns))
    if links.gateway is not None:
        gateway = links.gateway
        interfaces.append(Interface(gateway.name, mac=gateway.mac, mtu=gateway.mtu))
    return Result(tuple(interfaces), wanted.ips, wanted.routes, wanted.dns)
