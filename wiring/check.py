"""CHECK: compare what is there with what ADD reported, and name every deviation.

The previous result says what the attachment has (plugins after this one may have changed it, and
then changed the result too); the config says how the bridge and the port are set. All deviations
are collected, so that one CHECK tells the whole story.
"""

from __future__ import annotations

from cni import ipam
from cni.errors import CHECK_FAILED, INVALID_CONFIG, CniError
from hostnet import address, bridge, link, route, sysctl
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from wiring import firewall, host, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Interface, Result
    from cni.result import Route as CniRoute
    from hostnet.link import Link
    from wiring.bridged import Bridged


def check(call: Call, config: Bridged) -> None:
    """Raise CniError(CHECK_FAILED) naming each deviation; the IPAM plugin checks its own first."""
    result = call.prev_result
    if result is None:
        raise CniError(
            INVALID_CONFIG, 'key "prevResult": it is missing, expected what ADD returned'
        )
    if config.ipam:
        ipam.check(call, config.ipam)
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside:
        problems = list(_problems(call, config, result, inside, outside))
    if problems:
        raise CniError(CHECK_FAILED, "; ".join(problems))


def _problems(
    call: Call, config: Bridged, result: Result, inside: Netlink, outside: Netlink
) -> Iterator[str]:
    on = link.find(outside, config.bridge)
    if on is None or on.kind != "bridge":
        yield f"bridge {config.bridge} does not exist"
    else:
        yield from _bridge_problems(on, config, result)
        yield from _gateway_problems(on, config, result, outside)
    inner = link.find(inside, call.ifname)
    port = _port(call, result, inner, outside)
    if port is None:
        yield f"the host end of {call.ifname} does not exist"
    elif on is not None:
        yield from _port_problems(port, on, config, result, outside)
    if inner is None:
        yield f"interface {call.ifname} does not exist in {call.netns}"
    else:
        yield from _inner_problems(call, inner, config, result)
        yield from _address_problems(call, inner, result, inside)
        yield from _route_problems(result, inside)
    if port is not None and inner is not None:
        wanted = [one.address for one in result.ips]
        yield from firewall.problems(call.owner, config, port.name, inner.mac, wanted)


def _reported(result: Result, name: str, *, inside: bool) -> Interface | None:
    for one in result.interfaces:
        if one.name == name and bool(one.sandbox) == inside:
            return one
    return None


def _bridge_problems(on: Link, config: Bridged, result: Result) -> Iterator[str]:
    if not on.up:
        yield f"bridge {on.name} is down"
    if on.promisc != config.promisc:
        now = "is" if on.promisc else "is not"
        yield f"bridge {on.name} {now} in promiscuous mode, and promiscMode is {config.promisc}"
    if config.vlan_filtering and not bridge.vlan_filtering(on):
        yield f"bridge {on.name} does not filter VLANs"
    yield from _mac_problem(on, _reported(result, on.name, inside=False))


def _mac_problem(found: Link, reported: Interface | None) -> Iterator[str]:
    if reported is not None and reported.mac and reported.mac.lower() != found.mac:
        yield f"interface {found.name} has the MAC {found.mac}, expected {reported.mac.lower()}"


def _mtu_problem(found: Link, reported: Interface | None, configured: int) -> Iterator[str]:
    expected = (reported.mtu if reported else 0) or configured
    if expected and found.mtu != expected:
        yield f"interface {found.name} has the MTU {found.mtu}, expected {expected}"


def _gateway_problems(on: Link, config: Bridged, result: Result, outside: Netlink) -> Iterator[str]:
    if not config.is_gateway:
        return
    holder = on
    if config.vlan:
        found = link.find(outside, f"{on.name}.{config.vlan}")
        if found is None:
            yield f"the VLAN's gateway interface {on.name}.{config.vlan} does not exist"
            return
        if not found.up:
            yield f"the VLAN's gateway interface {found.name} is down"
        holder = found
    present = {one.interface for one in address.dump(outside, index=holder.index)}
    for gateway in plan.gateways(result.ips):
        if gateway not in present:
            yield f"interface {holder.name} lacks the gateway address {gateway}"
    for version in sorted({one.address.version for one in result.ips}):
        switch = host.FORWARDING[version]
        if sysctl.read(switch) != "1":
            yield f"sysctl {switch.replace('/', '.')} is not 1: nothing is forwarded"


def _port(call: Call, result: Result, inner: Link | None, outside: Netlink) -> Link | None:
    """The host end: by its name, else (added by the reference) by the result and the peer."""
    found = link.find(outside, plan.host_veth(call.owner))
    if found is not None or inner is None:
        return found
    for one in result.interfaces:
        candidate = None if one.sandbox else link.find(outside, one.name)
        if candidate is not None and candidate.kind == "veth" and candidate.peer == inner.index:
            return candidate
    return None


def _port_problems(
    port: Link, on: Link, config: Bridged, result: Result, outside: Netlink
) -> Iterator[str]:
    if not port.up:
        yield f"host interface {port.name} is down"
    if port.master != on.index:
        yield f"host interface {port.name} is not a port of bridge {on.name}"
        return
    reported = _reported(result, port.name, inside=False)
    yield from _mac_problem(port, reported)
    yield from _mtu_problem(port, reported, config.mtu)
    switches = bridge.switches(port)
    for switch, key, wanted in (
        ("hairpin", "hairpinMode", config.hairpin),
        ("isolated", "portIsolation", config.port_isolation),
    ):
        if switches[switch] != wanted:
            now = "off" if wanted else "on"
            yield f"host interface {port.name} has {switch} {now}, and {key} is {wanted}"
    if config.vlan_filtering:
        present = {one.vid for one in bridge.vlans(outside, port.index)}
        wanted_vids = host.vids(config)
        if not wanted_vids <= present:
            missing = ", ".join(str(vid) for vid in sorted(wanted_vids - present))
            yield f"host interface {port.name} lacks the VLANs {missing}"


def _inner_problems(call: Call, inner: Link, config: Bridged, result: Result) -> Iterator[str]:
    if inner.kind != "veth":
        yield f"interface {call.ifname} is a {inner.kind or 'physical interface'}, expected a veth"
    if inner.up == config.disable_container_interface:
        yield f"interface {call.ifname} is {'up' if inner.up else 'down'}"
    reported = _reported(result, call.ifname, inside=True)
    if reported is None:
        yield f"the previous result does not name interface {call.ifname} of {call.netns}"
    yield from _mac_problem(inner, reported)
    yield from _mtu_problem(inner, reported, config.mtu)


def _address_problems(call: Call, inner: Link, result: Result, inside: Netlink) -> Iterator[str]:
    """Addresses that are missing, and permanent global ones that nobody reported."""
    found = address.dump(inside, index=inner.index)
    present = {one.interface for one in found}
    wanted = {
        one.address
        for one in result.ips
        if one.interface is None
        or (
            one.interface < len(result.interfaces)
            and result.interfaces[one.interface].name == call.ifname
        )
    }
    for missing in sorted(wanted - present, key=str):
        yield f"interface {call.ifname} lacks its address {missing}"
    for one in found:
        permanent = one.flags & address.IFA_F_PERMANENT
        if one.interface not in wanted and permanent and not one.interface.is_link_local:
            yield f"interface {call.ifname} has the address {one.interface}, which ADD did not give"


def _route_problems(result: Result, inside: Netlink) -> Iterator[str]:
    """Routes that are missing or lead elsewhere."""
    present = [
        one
        for family in (route.AF_INET, route.AF_INET6)
        for one in route.dump(inside, family, table=0)
    ]
    for wanted in plan.installed(result.ips, result.routes):
        table = wanted.table or route.RT_TABLE_MAIN
        same = [
            one
            for one in present
            if one.destination == wanted.dst
            and one.table == table
            and (wanted.priority is None or one.priority == wanted.priority)
        ]
        if not any(_agrees(one, wanted) for one in same):
            via = f" via {wanted.gw}" if wanted.gw else ""
            instead = f", found one via {same[0].gateways[0] or 'the link'}" if same else ""
            yield f"the container lacks the route to {wanted.dst}{via}{instead}"


def _agrees(found: route.Route, wanted: CniRoute) -> bool:
    return (
        wanted.gw in found.gateways
        and (wanted.mtu is None or found.mtu == wanted.mtu)
        and (wanted.advmss is None or found.advmss == wanted.advmss)
        and (wanted.scope is None or found.destination.version == 6 or found.scope == wanted.scope)
    )
