"""Whether somebody else on a link has an IPv6 address that was given to it (RFC 4862, 5.4).

The kernel asks the link for each address that is not `nodad`, when it gets it or when the link
comes up: after a random time of up to a second (`router_solicitation_delay`), and then it waits for
an answer for another (`retrans_time_ms`). Who has the address answers at once.
"""

from __future__ import annotations

import errno

from hostnet import address, netns, route, sysctl
from hostnet.monitor import RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from ipaddress import IPv4Interface, IPv6Interface

    from hostnet.netlink import Netlink

    Given = Collection[IPv4Interface | IPv6Interface]
    Found = list[IPv4Interface | IPv6Interface]


def hurry(interface: str, milliseconds: int) -> dict[str, str]:
    """Have the kernel wait that long for an answer, and not before it asks; until `calm`.

    In the namespace where the thread is now. Gives what `calm` takes, empty where the kernel has no
    such switches. Raises SysctlError.
    """
    before: dict[str, str] = {}
    for name, value in (
        (f"net/ipv6/conf/{interface}/router_solicitation_delay", "0"),
        (f"net/ipv6/neigh/{interface}/retrans_time_ms", str(milliseconds)),
    ):
        try:
            before[name] = sysctl.read(name)
        except sysctl.SysctlError as error:
            if error.errno != errno.ENOENT:
                raise
        else:
            sysctl.write(name, value)
    return before


def calm(before: dict[str, str]) -> None:
    """Take back what `hurry` has set, in the same namespace. Raises SysctlError."""
    for name, value in before.items():
        sysctl.write(name, value)


def wait(nl: Netlink, index: int, given: Given, seconds: float) -> Found:
    """Wait until the kernel has looked for duplicates of all these addresses of a link.

    Those of them that somebody has; the first is waited for, and not the rest. The others are in
    use then: the link takes questions for them. Raises TimeoutError after `seconds`.
    """
    with netns.of_socket(nl) as there, there.entered():
        monitor = Monitor(RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE)
    with monitor:
        return monitor.until(lambda: _known(nl, index, given), seconds, "the look for duplicates")


def _known(nl: Netlink, index: int, given: Given) -> Found | None:
    """The duplicates; None where the kernel still looks and has found none."""
    found = address.dump(nl, index=index, family=address.AF_INET6)
    ours = [one for one in found if one.interface in given]
    if taken := [one.interface for one in ours if one.duplicate]:
        return taken
    if any(one.tentative for one in ours):
        return None
    local = route.dump(nl, route.AF_INET6, table=route.RT_TABLE_LOCAL, oif=index)
    reached = {one.destination.network_address for one in local}
    return [] if all(one.interface.ip in reached for one in ours) else None
