"""The host's side of an attachment: the bridge, its gateway addresses, the port.

What several attachments share (bridge, addresses, `vlan_gateway`) is made under the lock of the
host's namespace. An ADD that fails takes back what it added to the shared part only while no other
port uses the bridge; the port itself it always takes back.
"""

from __future__ import annotations

import errno

from cni.errors import IN_THE_WAY, UNSUPPORTED_FIELD, CniError
from hostnet import address, bridge, link, sysctl
from hostnet.lock import NamespaceLock
from hostnet.netlink import NetlinkError
from wiring import veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni import ip
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.undo import Undo
    from wiring.bridged import Bridged

NO_MAC = "00:00:00:00:00:00"
"""Of a bridge that has lost its last port, where nobody has given it an address."""

_PINNED = "3"  # NET_ADDR_SET, linux/netdevice.h: the address was set and does not follow the ports


def find_bridge(nl: Netlink, name: str) -> Link | None:
    """The bridge; None where the name is free. Raises CniError(IN_THE_WAY) for another kind."""
    found = link.find(nl, name)
    if found is not None and found.kind != "bridge":
        raise CniError(
            IN_THE_WAY,
            f"interface {name} is {found.kind or 'a physical interface'}, expected a bridge: set "
            f'"bridge" to another name, or remove it (ip link delete {name})',
        )
    return found


def ensure_bridge(nl: Netlink, config: Bridged, undo: Undo) -> Link:
    """The bridge, created or as it was found, up, and with an address that stays.

    Raises CniError: IN_THE_WAY for something else of that name or a bridge that does not filter
    VLANs though it should, UNSUPPORTED_FIELD where the kernel cannot.
    """
    found = find_bridge(nl, config.bridge)
    created = None
    if found is None:
        created = undo.step(
            lambda: _create(nl, config),
            lambda made: None if made is None else _remove_unused(nl, made.index),
        )
        found = created or find_bridge(nl, config.bridge)
    if found is None:
        raise CniError(
            IN_THE_WAY,
            f"bridge {config.bridge} comes and goes while ADD runs: see who else removes it",
        )
    if created is not None:
        settle(nl, created)
    elif config.vlan_filtering and not bridge.vlan_filtering(found):
        raise CniError(
            IN_THE_WAY,
            f"key {_vlan_key(config)} needs a bridge that filters VLANs, and {found.name} does "
            f"not: ip link set {found.name} type bridge vlan_filtering 1",
        )
    else:
        if not found.up and not link.dump(nl, master=found.index):
            _quiet(found)  # an ADD that was killed may have got no further
        found = _pin(nl, config, found)
    if config.promisc and not found.promisc:
        link.change(nl, found.index, promisc=True)
    return found


def _create(nl: Netlink, config: Bridged) -> Link | None:
    """The new bridge, down; None where another suite, which does not know our lock, was faster."""
    filtering = True if config.vlan_filtering or config.vlan_aware else None
    try:
        made = bridge.create(
            nl,
            config.bridge,
            mac=config.bridge_mac,
            mtu=config.mtu,
            vlan_filtering=filtering,
            # With its birth: who is killed then leaves a bridge that is known for what it is.
            alias=config.bridge_alias,
        )
    except NetlinkError as error:
        if error.errno == errno.EEXIST:
            return None
        if filtering and error.errno == errno.EOPNOTSUPP:
            raise CniError(
                UNSUPPORTED_FIELD,
                f"key {_vlan_key(config)} needs a kernel with CONFIG_BRIDGE_VLAN_FILTERING, "
                "which this one lacks",
            ) from error
        raise
    if config.bridge_alias:
        try:
            # Again, since the kernel did not tell whether it took it.
            link.change(nl, made.index, alias=config.bridge_alias)
        except BaseException:
            link.delete(nl, made.index, missing_ok=True)
            raise
    return made


def settle(nl: Netlink, created: Link) -> None:
    """Bring up what is new on the host and leads to containers.

    Router advertisements of a container must not configure the host. And until the interface's own
    link-local address is looked over for duplicates, forwarded IPv6 waits: two seconds.
    """
    _quiet(created)
    link.set_up(nl, created.index)


def _quiet(created: Link) -> None:
    for key in ("accept_ra", "accept_dad"):
        sysctl.ensure(sysctl.of_interface("ipv6", created.name, key), "0", missing_ok=True)


def _vlan_key(config: Bridged) -> str:
    return f'"vlan": {config.vlan}' if config.vlan else '"vlanTrunk"'


def _pin(nl: Netlink, config: Bridged, found: Link) -> Link:
    """Bring a bridge that was there up, with an address that stays; gives it as it is then.

    One that has lost its last port has zeros for an address, which the kernel would keep too; and
    what containers send to zeros does not arrive. So it gets another, as a new bridge does.
    """
    lost = found.mac == NO_MAC
    if lost:
        pin = config.bridge_mac or link.random_mac()
    else:
        pin = "" if _is_pinned(nl, found) else found.mac
    if pin or not found.up:
        link.change(nl, found.index, up=True, mac=pin)
    return link.get(nl, found.name) if lost else found


def _is_pinned(nl: Netlink, found: Link) -> bool:
    """Whether the bridge keeps its MAC as ports come and go.

    rtnetlink does not tell. sysfs does, where it shows our namespace; elsewhere an address that is
    also a port's was taken from that port, and one without ports may be taken from the first.
    """
    shown = f"/sys/class/net/{found.name}/"
    try:
        if _text(shown + "ifindex") == str(found.index) and _text(shown + "address") == found.mac:
            return _text(shown + "addr_assign_type") == _PINNED
    except OSError:
        pass
    ports = link.dump(nl, master=found.index)
    return bool(ports) and all(port.mac != found.mac for port in ports)


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _remove_unused(nl: Netlink, index: int) -> None:
    with NamespaceLock():
        if not link.dump(nl, master=index):
            link.delete(nl, index, missing_ok=True)


def ensure_addresses(
    nl: Netlink, on: Link, wanted: tuple[ip.Interface, ...], force: bool, undo: Undo
) -> None:
    """Give the gateway interface its addresses.

    As in the reference, an IPv4 address beside ours, or an IPv6 one of an overlapping subnet, is in
    the way; `force` replaces it. Raises CniError(IN_THE_WAY), naming both.
    """
    present = [found.interface for found in address.dump(nl, index=on.index)]
    for gateway in wanted:
        if gateway in present:
            continue
        for other in present:
            if other in wanted or not conflict(other, gateway):
                continue
            if not force:
                raise CniError(
                    IN_THE_WAY,
                    f"{on.name} already has an IP address different from {gateway}: {other}. Set "
                    f'"forceAddress" to true to have it replaced, or ip address delete {other} '
                    f"dev {on.name}",
                )
            address.delete(nl, on.index, other)
            undo.push(address.add, nl, on.index, other)
        # Without duplicate address detection, since until it ends nobody can talk to the gateway.
        address.add(nl, on.index, gateway, nodad=True, replace=True)
        undo.push(_remove_unused_address, nl, on, gateway)


def conflict(other: ip.Interface, gateway: ip.Interface) -> bool:
    """Whether an address that is there is in the way of the gateway's."""
    if other.version != gateway.version or other.is_link_local:
        return False
    return other.version == 4 or other.ip in gateway.network or gateway.ip in other.network


def _remove_unused_address(nl: Netlink, on: Link, gateway: ip.Interface) -> None:
    with NamespaceLock():
        if not link.dump(nl, master=on.index):
            address.delete(nl, on.index, gateway, missing_ok=True)


def open_port(nl: Netlink, port: Link, config: Bridged, owner: str) -> None:
    """Set the port's switches and VLANs, label it with its owner, and bring it up."""
    if config.vlan_filtering:
        set_vlans(nl, port, config)
    link.change(
        nl,
        port.index,
        alias=veth.label(owner),
        port=bridge.port(hairpin=config.hairpin, isolated=config.port_isolation),
        up=True,
    )


def set_vlans(nl: Netlink, port: Link, config: Bridged) -> None:
    """The access VLAN untagged, the trunk's tagged; without the bridge's own unless it is kept."""
    if not config.preserve_default_vlan:
        for found in bridge.vlans(nl, port.index):
            bridge.delete_vlan(nl, port.index, found.vid)
    if config.vlan:
        bridge.add_vlan(nl, port.index, config.vlan, pvid=True, untagged=True)
    for first, last in config.trunk:
        bridge.add_vlan(nl, port.index, first, last)


def vids(config: Bridged) -> set[int]:
    """The VLANs of the port by their numbers."""
    found = {config.vlan} if config.vlan else set()
    for first, last in config.trunk:
        found.update(range(first, last + 1))
    return found
