"""CHECK: compare what is there with what ADD reported, and name every deviation.

The previous result says what the attachment has (plugins after this one may have changed it, and
then changed the result too); the config says how the bridge and the port are set. All deviations
are collected, so that one CHECK tells the whole story.
"""

from __future__ import annotations

from cni import ipam
from cni.jsonvalue import shown
from hostnet import address, bridge, link
from hostnet.netlink import Netlink
from hostnet.netns import NetNS
from wiring import compare, firewall, host, plan, veth
from wiring.compare import require_none

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.call import Call
    from cni.result import Result
    from hostnet.link import Link
    from wiring.bridged import Bridged

__all__ = ["check", "problems", "require_none"]


def check(call: Call, config: Bridged) -> None:
    """Raise CniError(CHECK_FAILED) naming each deviation; the IPAM plugin checks its own first."""
    require_none(problems(call, config))


def problems(call: Call, config: Bridged) -> list[str]:
    """Every deviation in words, for a plugin that has more to compare than `check` does.

    Raises CniError: INVALID_CONFIG without a previous result, what the IPAM plugin finds, or what
    is wrong with the namespace. Raises OSError.
    """
    result = compare.previous(call)
    if config.ipam:
        ipam.check(call, config.ipam)
    with NetNS.open(call.netns) as ns, ns.netlink() as inside, Netlink() as outside:
        return list(_problems(call, config, result, inside, outside))


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
    names = (one.name for one in result.interfaces if not one.sandbox)
    port = veth.find(outside, call.owner, names, inner.index if inner else 0)
    if port is None:
        yield veth.missing(outside, call, inner)
    elif on is not None:
        yield from _port_problems(port, on, config, result, outside)
    yield from compare.container_problems(
        call,
        inner,
        result,
        inside,
        kind="veth",
        mtu=config.mtu,
        up=not config.disable_container_interface,
    )
    if port is not None and inner is not None:
        wanted = [one.address for one in result.ips]
        yield from firewall.problems(call.owner, config, port.name, inner.mac, wanted)


def _bridge_problems(on: Link, config: Bridged, result: Result) -> Iterator[str]:
    if not on.up:
        yield f"bridge {on.name} is down"
    if on.promisc != config.promisc:
        now = "is" if on.promisc else "is not"
        wanted = shown(config.promisc)
        yield f"bridge {on.name} {now} in promiscuous mode, and promiscMode is {wanted}"
    if config.vlan_filtering and not bridge.vlan_filtering(on):
        yield f"bridge {on.name} does not filter VLANs"
    yield from compare.mac_problem(on, compare.reported(result, on.name, inside=False))


def _gateway_problems(on: Link, config: Bridged, result: Result, outside: Netlink) -> Iterator[str]:
    if not config.is_gateway:
        return
    holder = on
    if config.vlan:
        from wiring import vlan_gateway

        name = vlan_gateway.name(on.name, config)
        found = link.find(outside, name)
        if found is None:
            yield f"the VLAN's gateway interface {name} does not exist"
            return
        if not found.up:
            yield f"the VLAN's gateway interface {found.name} is down"
        yield from vlan_gateway.problems(outside, found, config, on)
        holder = found
    present = {one.interface for one in address.dump(outside, index=holder.index)}
    for gateway in plan.gateways(result.ips):
        if gateway not in present:
            yield f"interface {holder.name} lacks the gateway address {gateway}"
    yield from compare.forwarding_problems(result)


def _port_problems(
    port: Link, on: Link, config: Bridged, result: Result, outside: Netlink
) -> Iterator[str]:
    if not port.up:
        yield f"host interface {port.name} is down"
    if port.master != on.index:
        yield f"host interface {port.name} is not a port of bridge {on.name}"
        return
    reported = compare.reported(result, port.name, inside=False)
    yield from compare.mac_problem(port, reported)
    yield from compare.mtu_problem(port, reported, config.mtu)
    switches = bridge.switches(port)
    for switch, key, wanted in (
        ("hairpin", "hairpinMode", config.hairpin),
        ("isolated", "portIsolation", config.port_isolation),
    ):
        if switches[switch] != wanted:
            now = "off" if wanted else "on"
            yield f"host interface {port.name} has {switch} {now}, and {key} is {shown(wanted)}"
    if config.vlan_filtering:
        yield from _vlan_problems(port, on, config, outside)


def _vlan_problems(port: Link, on: Link, config: Bridged, outside: Netlink) -> Iterator[str]:
    """VLANs of the port that are missing, too many, or tagged where the others are not."""
    present = {one.vid: one for one in bridge.vlans(outside, port.index)}
    wanted = host.vids(config)
    if missing := ", ".join(map(str, sorted(wanted - present.keys()))):
        yield f"host interface {port.name} lacks the VLANs {missing}"
    kept = {bridge.default_pvid(on)} if config.preserve_default_vlan else set()
    if more := ", ".join(map(str, sorted(present.keys() - wanted - kept))):
        yield f"host interface {port.name} is in the VLANs {more} and should not be"
    for vid in sorted(wanted & present.keys()):
        found = present[vid]
        access = vid == config.vlan and not any(low <= vid <= high for low, high in config.trunk)
        if (found.pvid, found.untagged) != (access, access):
            expected = "untagged, for what has no tag" if access else "tagged"
            yield f"host interface {port.name} is in VLAN {vid} otherwise than {expected}"
