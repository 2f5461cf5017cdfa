"""Tell the neighbours on a link which hardware address an address has now.

An address that is given to the next container is still in the neighbours' caches with the last
one's hardware address, and unreachable for them until that expires, some ten seconds later.

The kernel sends what is needed: an ARP announcement (RFC 5227 section 2.3) for every IPv4 address
and an unsolicited neighbour advertisement with the override flag (RFC 4861 section 7.2.6) for
every IPv6 address that is not being checked for duplicates (for those, as soon as that is done).
It does so for links with `arp_notify` and `ndisc_notify` when their hardware address is set, be it
to what it was. Frames of our own from a packet socket were tried: closing that socket takes 10 ms
of waiting for RCU.
"""

from __future__ import annotations

import errno

from hostnet import address, link, netns, route, sysctl
from hostnet.monitor import RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK, Monitor
from hostnet.netlink import NetlinkError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Callable, Iterable

    from hostnet.netlink import Netlink

IFLA_BRPORT_STATE = 1
BR_STATE_FORWARDING = 3
# The kernel acts on a new carrier or address in a moment, when it has one to spare; only on some
# carriers it lets up to a second pass.
SETTLE_SECONDS = 1.5


def enable(interface: str, *, ipv4: bool = True, ipv6: bool = True) -> None:
    """Let the kernel announce addresses of a link, in the namespace where the thread is now.

    From then on it also does so by itself: when the link comes up, and when the check of an IPv6
    address for duplicates ends. Raises SysctlError.
    """
    if ipv4:
        sysctl.write(sysctl.of_interface("ipv4", interface, "arp_notify"), "1")
    if ipv6:
        sysctl.write(sysctl.of_interface("ipv6", interface, "ndisc_notify"), "1")


def announce(nl: Netlink, index: int, mac: str, seconds: float = SETTLE_SECONDS) -> bool:
    """Announce the addresses of a link that is up and `enable`d; `mac` is the one it has.

    First waits until it answers for them, which it does not from the start: of the carrier and of
    an IPv6 address (`nodad` or not) the kernel makes most in a work queue, and until that has run
    it takes no question for the address, so that the first to ask waits for a second. Gives False,
    having announced nothing, when this is not so within `seconds`.
    """

    def answers() -> bool | None:
        # Since Linux 6.8 asking for a link makes the kernel act on its carrier.
        return (link.by_index(nl, index).running and _takes_questions(nl, index)) or None

    settled = _until(answers, nl, seconds, RTNLGRP_LINK, RTNLGRP_IPV6_ROUTE)
    if settled:
        link.change(nl, index, mac=mac)
    return settled


def wait_addresses(nl: Netlink, index: int, seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until a link that is up and has a carrier takes questions for its IPv6 addresses.

    For links that announce by themselves, since they were `enable`d and had their addresses before
    they came up. Gives whether it was so within `seconds`.
    """
    return _until(lambda: _takes_questions(nl, index) or None, nl, seconds, RTNLGRP_IPV6_ROUTE)


def wait_local(
    nl: Netlink,
    index: int,
    addresses: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address],
    seconds: float = SETTLE_SECONDS,
) -> bool:
    """Wait until the host answers for addresses that a link of it was just given.

    Of IPv6 alone, IPv4's are there at once. Gives whether it was so within `seconds`.
    """
    wanted = [one for one in addresses if one.version == 6]
    return not wanted or _until(
        lambda: all(_is_local(nl, index, one) for one in wanted) or None,
        nl,
        seconds,
        RTNLGRP_IPV6_ROUTE,
    )


def _is_local(
    nl: Netlink, index: int, wanted: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> bool:
    """Whether an address of a link has its local route.

    By a look-up, since a host has such routes of many; as from that link, for one in a VRF has them
    in the VRF's table.
    """
    try:
        kind: int = route.lookup(nl, wanted, oif=index).kind
    except NetlinkError as error:
        if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            raise
        return False
    return kind == route.RTN_LOCAL


def _takes_questions(nl: Netlink, index: int) -> bool:
    """Whether each IPv6 address that is not looked over for duplicates has its local route."""
    ready = {
        one.interface.ip
        for one in address.dump(nl, index=index, family=address.AF_INET6)
        if one.flags & address.IFA_F_NODAD and not one.tentative
    }
    return all(_is_local(nl, index, one) for one in ready)


def wait_forwarding(nl: Netlink, index: int, seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until a port of a bridge forwards and the bridge transmits; before that both drop.

    Up and with a carrier, they work as soon as the kernel has noticed; where a spanning tree is
    built it takes half a minute, and then the answer is False.
    """

    def works() -> bool | None:
        port = link.by_index(nl, index)
        state = port.info(link.IFLA_INFO_SLAVE_DATA).get(IFLA_BRPORT_STATE)
        if state != bytes([BR_STATE_FORWARDING]):
            return None
        # The bridge's own carrier comes with the first port that forwards.
        return link.by_index(nl, port.master).running or None

    return _until(works, nl, seconds, RTNLGRP_LINK)


def _until(check: Callable[[], bool | None], nl: Netlink, seconds: float, *groups: int) -> bool:
    """Whether `check` holds within `seconds`; the groups are heard in the namespace of `nl`."""
    if check():
        return True
    with netns.of_socket(nl) as there, there.entered():
        monitor = Monitor(*groups)
    with monitor:
        try:
            return monitor.until(check, seconds, "settling")
        except TimeoutError:
            return False
