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

from hostnet import link, sysctl
from hostnet.monitor import RTNLGRP_LINK, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.netlink import Netlink

IFLA_BRPORT_STATE = 1
BR_STATE_FORWARDING = 3
# A carrier that went on is acted upon at once, except by kernels that delay it by up to a second.
FORWARDING_SECONDS = 1.5


def enable(interface: str, *, ipv4: bool = True, ipv6: bool = True) -> None:
    """Let the kernel announce addresses of a link, in the namespace where the thread is now.

    From then on it also does so by itself: when the link comes up, and when the check of an IPv6
    address for duplicates ends. Raises SysctlError.
    """
    if ipv4:
        sysctl.write(sysctl.of_interface("ipv4", interface, "arp_notify"), "1")
    if ipv6:
        sysctl.write(sysctl.of_interface("ipv6", interface, "ndisc_notify"), "1")


def announce(nl: Netlink, index: int, mac: str) -> None:
    """Announce the addresses of a link that is up and `enable`d; `mac` is the one it has."""
    link.change(nl, index, mac=mac)


def wait_forwarding(nl: Netlink, index: int, seconds: float = FORWARDING_SECONDS) -> bool:
    """Wait until a port of a bridge forwards, without which an announcement gets nowhere.

    `nl` and the calling thread must be in the bridge's namespace. Up and with a carrier, a port
    forwards as soon as the kernel has noticed, which asking makes it do since Linux 6.8; where a
    spanning tree is built it takes half a minute, and then the answer is False.
    """

    def forwards() -> bool | None:
        port = link.by_index(nl, index).info(link.IFLA_INFO_SLAVE_DATA)
        return port.get(IFLA_BRPORT_STATE) == bytes([BR_STATE_FORWARDING]) or None

    if forwards():
        return True
    with Monitor(RTNLGRP_LINK) as monitor:
        try:
            return monitor.until(forwards, seconds, f"forwarding on bridge port {index}")
        except TimeoutError:
            return False
