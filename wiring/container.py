"""The container's side of an attachment: its interface's settings, addresses and routes."""

from __future__ import annotations

import errno

from hostnet import address, announce, link, route, sysctl
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cni import ip
    from cni.result import Route
    from hostnet.link import Link
    from hostnet.netlink import Netlink
    from hostnet.netns import NetNS
    from wiring.plan import Plan


def configure(
    ns: NetNS,
    nl: Netlink,
    inner: Link,
    plan: Plan,
    *,
    detect_duplicates: bool,
    accept_dad: str = "",
    prefix_routes: bool = True,
    sources: Mapping[Route, ip.Address] | None = None,
    up_last: bool = False,
) -> None:
    """Bring the interface up with everything it was allocated.

    nl: of the namespace `ns`. Nothing waits: without `detect_duplicates` an IPv6 address is usable
    at once, with it the kernel looks for duplicates from when the interface is up, and `duplicates`
    waits for its word. accept_dad: whether the kernel does so at all on this interface, for the
    addresses that it forms by itself too; "0" or "1", empty to leave it as it is. prefix_routes:
    whether the addresses' subnets are on the link. sources: the address that goes with a route of
    the plan, where the kernel is not to choose. up_last: give a link that is down its addresses
    before it comes up, at which the kernel then announces them. Raises OSError.
    """
    ipv4, ipv6 = (any(one.address.version == family for one in plan.ips) for family in (4, 6))
    with ns.entered():
        _settings(inner.name, ipv6=ipv6, accept_dad=accept_dad)
        announce.enable(inner.name, ipv4=ipv4, ipv6=ipv6)
    if not up_last:
        link.set_up(nl, inner.index)
    for one in plan.ips:
        _give(
            nl,
            inner,
            one.address,
            nodad=not detect_duplicates,
            noprefixroute=not prefix_routes,
        )
    if up_last:
        link.set_up(nl, inner.index)
    for wanted in plan.installed:
        route.add(
            nl,
            wanted.dst,
            gateway=wanted.gw,
            oif=inner.index,
            source=sources.get(wanted) if sources else None,
            mtu=wanted.mtu or 0,
            advmss=wanted.advmss or 0,
            priority=wanted.priority or 0,
            table=wanted.table or route.RT_TABLE_MAIN,
            scope=wanted.scope,
            # A container on several networks gets a default route from each, as with the
            # reference: the network attached last is the one that leads out.
            beside=True,
        )


def _give(nl: Netlink, inner: Link, wanted: ip.Interface, **flags: bool) -> None:
    """Add the address, unless it is there: an IPAM plugin may have the kernel form it (SLAAC)."""
    try:
        address.add(nl, inner.index, wanted, **flags)
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise


def _settings(ifname: str, *, ipv6: bool, accept_dad: str) -> None:
    """Sysctls of the interface, which only exist as files of the namespace the thread is in."""
    wanted = [(ifname, "accept_dad", accept_dad)] if accept_dad else []
    if accept_dad == "1":
        wanted.append((ifname, "enhanced_dad", "1"))
    if ipv6:
        # Else the kernel drops the addresses when somebody takes the link down, and nobody gives
        # them back. It has this one since Linux 4.6.
        wanted.append((ifname, "keep_addr_on_down", "1"))
        wanted += [("lo", "disable_ipv6", "0"), (ifname, "disable_ipv6", "0")]
    for interface, key, value in wanted:
        sysctl.ensure(sysctl.of_interface("ipv6", interface, key), value, missing_ok=True)
