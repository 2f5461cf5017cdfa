"""What the ADD of an interface plugin would do, told without doing it: the parts they share.

It reads the config as ADD does and looks at the host, and changes nothing. Where ADD would refuse,
so does this, by the same errors.
"""

from __future__ import annotations

from cni.errors import IN_THE_WAY, CniError
from cni.explained import ASKS, KEEPS, MAKES, SETS, UNNAMED, USES, Explained, Step
from cni.record import record, replace
from cni.result import DNS, Interface, Result
from hostnet import address, bridge, link, sysctl
from hostnet.netlink import Netlink
from wiring import backend, firewall, host, plan, veth
from wiring.bridged import PRUNED
from wiring.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cni.call import Call
    from cni.result import Route
    from hostnet.link import Link
    from wiring.bridged import Bridged
    from wiring.firewall import Filtered

INNER = 2
"""Where the container's interface stands in a bridge's result."""


@record
class Allocated:
    """What the IPAM plugin would give. result: None where nobody can know it beforehand."""

    steps: tuple[Step, ...]
    result: Result | None


def allocated(call: Call, name: str) -> Allocated:
    """Ask the IPAM plugin what it would do. name: empty where there is none. Raises CniError."""
    if not name:
        return Allocated((Step(KEEPS, "addresses", "none", "the config has no IPAM plugin"),), None)
    found = call.bundle.plugins.get(name) if call.bundle is not None else None
    plugin = found() if found is not None else None
    if plugin is None or plugin.explain is None:
        text = "what it answers is known when it is asked"
        return Allocated((Step(ASKS, "IPAM plugin", name, text),), None)
    told = plugin.explain(replace(call, delegated=True))
    return Allocated(told.steps, told.result if told.result.ips else None)


def bridged(call: Call, config: Bridged) -> Explained:
    """What `wiring.attach` would do. Raises CniError where it would refuse."""
    with Netlink() as nl:
        found = host.find_bridge(nl, config.bridge)
        steps = [_bridge(config, found)]
        given = allocated(call, config.ipam)
        wanted = Plan(dns=config.dns or DNS())
        if given.result is not None:
            wanted = plan.make(
                given.result,
                ipam=config.ipam,
                interface=INNER,
                mtu=config.mtu,
                is_gateway=config.is_gateway,
                is_default_gateway=config.is_default_gateway,
                routes=config.routes,
                dns=config.dns,
            )
        steps += given.steps
        steps += _gateways(nl, config, found, wanted)
    port = port_name(call)
    steps.append(_pair(call, config, port))
    steps += inside(wanted)
    steps += filtered(config, wanted)
    steps += forwarding(one.version for one in wanted.gateways)
    interfaces = (
        Interface(
            config.bridge,
            mac=found.mac if found and found.mac != host.NO_MAC else config.bridge_mac,
        ),
        Interface(port, mtu=config.mtu),
        Interface(call.ifname, mac=config.mac, mtu=config.mtu, sandbox=call.netns),
    )
    return Explained(tuple(steps), Result(interfaces, wanted.ips, wanted.routes, wanted.dns))


def port_name(call: Call) -> str:
    """The host's end of the pair; `UNNAMED` without a container."""
    return veth.host_veth(call.owner) if call.container_id else UNNAMED


def _bridge(config: Bridged, found: Link | None) -> Step:
    if found is None:
        parts = ["there is none of that name"]
        parts += [f"MTU {config.mtu}"] if config.mtu else []
        parts += ["filters VLANs"] if config.vlan_filtering or config.vlan_aware else []
        parts += ["goes with its last container"] if config.bridge_alias == PRUNED else []
        return Step(MAKES, "bridge", config.bridge, ", ".join(parts))
    if config.vlan_filtering and not bridge.vlan_filtering(found):
        raise CniError(
            IN_THE_WAY,
            f"{found.name} does not filter VLANs: ip link set {found.name} type bridge "
            "vlan_filtering 1",
        )
    parts = ["it is there"]
    parts += [] if found.up else ["set up"]
    parts += ["given a MAC, which it has lost"] if found.mac == host.NO_MAC else []
    return Step(USES, "bridge", config.bridge, ", ".join(parts))


def _gateways(nl: Netlink, config: Bridged, found: Link | None, wanted: Plan) -> Iterator[Step]:
    """The bridge's addresses. Raises CniError for one that is in the way."""
    name = config.bridge
    if wanted.gateways and config.vlan:
        from wiring import vlan_gateway

        name = vlan_gateway.name(found.name if found else name, config)
        on, found = found, link.find(nl, name)
        if on and found and not vlan_gateway.is_unplugged(nl, found):
            vlan_gateway.require_fit(nl, found, config, on)
        does = USES if found is not None else MAKES
        yield Step(does, "interface", name, f"the gateway of VLAN {config.vlan}")
    present = [one.interface for one in address.dump(nl, index=found.index)] if found else []
    for gateway in wanted.gateways:
        if gateway in present:
            yield Step(KEEPS, "address", str(gateway), f"{name} has it, as the gateway")
            continue
        others = [
            str(one)
            for one in present
            if one not in wanted.gateways and host.conflict(one, gateway)
        ]
        if others and not config.force_address:
            raise CniError(
                IN_THE_WAY,
                f"{name} already has an IP address different from {gateway}: "
                f'{", ".join(others)}. Set "forceAddress" to true to have it replaced',
            )
        why = f"of {name}, as the gateway"
        yield Step(
            SETS, "address", str(gateway), why + "".join(f", in place of {o}" for o in others)
        )


def _pair(call: Call, config: Bridged, port: str) -> Step:
    parts = [f"{call.ifname} in the container, {port} on the host as a port of {config.bridge}"]
    parts += [f"MAC {config.mac}"] if config.mac else []
    parts += [f"MTU {config.mtu}"] if config.mtu else []
    parts += ["hairpin"] if config.hairpin else []
    parts += ["isolated from other such ports"] if config.port_isolation else []
    parts += [f"VLAN {config.vlan}"] if config.vlan else []
    parts += [f"VLANs {low}-{high} tagged" for low, high in config.trunk]
    parts += ["left down"] if config.disable_container_interface else []
    return Step(MAKES, "veth pair", call.ifname, ", ".join(parts))


def inside(wanted: Plan) -> Iterator[Step]:
    """What the container's interface gets: addresses, then routes."""
    for one in wanted.ips:
        gateway = f", gateway {one.gateway}" if one.gateway is not None else ""
        yield Step(SETS, "address", str(one.address), f"of the container's interface{gateway}")
    for route in wanted.installed:
        yield Step(SETS, "route", str(route.dst), _way(route))


def _way(route: Route) -> str:
    parts = [f"in the container, by {route.gw}" if route.gw else "in the container, on the link"]
    parts += [f"MTU {route.mtu}"] if route.mtu else []
    parts += [f"metric {route.priority}"] if route.priority else []
    parts += [f"table {route.table}"] if route.table else []
    return ", ".join(parts)


def filtered(config: Filtered, wanted: Plan) -> Iterator[Step]:
    """Masquerade and the check of MACs."""
    if config.ip_masq:
        name, why = chosen_backend(config.masq_backend, "ipMasqBackend")
        for one in firewall.masqueraded(config, [each.address for each in wanted.ips]):
            text = f"what it sends beyond {one.network}, by {name}: {why}"
            yield Step(SETS, "masquerade", str(one.ip), text)
        if not wanted.ips:
            text = f"whatever address it gets, by {name}: {why}"
            yield Step(SETS, "masquerade", "the container", text)
    if config.macspoofchk:
        yield Step(
            SETS, "MAC check", "nftables", "drops frames that are not from the container's MAC"
        )


def chosen_backend(configured: str, key: str) -> tuple[str, str]:
    """(which backend lays rules down, why). key: the one that may name it.

    Raises NetlinkError where the kernel has nftables and does not let us use it.
    """
    if configured:
        return configured, f'"{key}" says so'
    stated = backend.of_host()
    if stated:
        return stated, f"{backend.FILE} says so"
    nl = backend.open_nftables("")
    if nl is None:
        return backend.IPTABLES, "this kernel has no nftables"
    nl.close()
    return backend.NFTABLES, "this kernel has it, and nothing says otherwise"


def forwarding(versions: Iterable[int]) -> Iterator[Step]:
    """The sysctls that make this host a router."""
    for version in sorted(set(versions)):
        name = sysctl.FORWARDING[version]
        now = sysctl.read(name)
        if now == "1":
            yield Step(KEEPS, "sysctl", name, "1, as it is")
        else:
            yield Step(SETS, "sysctl", name, f"1, now {now}")
