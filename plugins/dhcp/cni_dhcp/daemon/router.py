"""IPv6 by the kernel: it reads router advertisements, and this asks for them and sees what came.

The kernel forms addresses from announced prefixes, has on-link and default routes, and forgets
them when their time is over (RFC 4861, RFC 4862). So nothing is kept here.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv6Interface, IPv6Network

from cni.errors import INVALID_CONFIG, CniError
from cni_dhcp.daemon.conversation import pauses
from cni_dhcp.daemon.outcome import Seen6
from cni_dhcp.daemon.waiting import until
from hostnet import address, link, route, sysctl
from hostnet.monitor import RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK
from hostnet.netlink import parse, to_u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cni_dhcp.daemon.conversation import Limits, Tally
    from cni_dhcp.daemon.place import Site
    from hostnet.address import Address
    from hostnet.link import Link

_IFLA_INET6_FLAGS = 1  # <linux/if_link.h>
_IF_RA_MANAGED = 0x40  # <net/if_inet6.h>
_RTNLGRP_IPV6_IFINFO = 12  # <linux/rtnetlink.h>
_GROUPS = (RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, _RTNLGRP_IPV6_IFINFO)
_DEFAULT = IPv6Network("::/0")
_ALL_ROUTERS = "ff02::2"
_SOLICITATION = 133
_ICMPV6_FILTER = 1
_HOPS = 255
_LINK_LOCAL_SECONDS = 5.0
ROUTER_SECONDS = 3.0
"""How long to wait for a router where a server has given an address: there may be none."""


async def prepare(site: Site, *, form: bool) -> None:
    """Let the kernel listen to routers, and wait for the link-local address.

    form: whether it forms addresses from their prefixes. Raises CniError where there is no IPv6.
    """
    name = site.link().name
    with site.ns.entered():
        try:
            forwards = sysctl.read(sysctl.of_interface("ipv6", name, "forwarding")) != "0"
        except OSError as error:
            raise CniError(
                INVALID_CONFIG, f'key "ipam.ipv6": expected "none", there is no IPv6 here: {error}'
            ) from error
        for key, value in (
            # 2 is for a container that is a router itself.
            ("accept_ra", "2" if forwards else "1"),
            ("autoconf", "1" if form else "0"),
            # As with every address of the suite, unless a config wants otherwise: nobody waits.
            ("accept_dad", "0"),
            ("disable_ipv6", "0"),
        ):
            sysctl.ensure(sysctl.of_interface("ipv6", name, key), value)
        if any(one.tentative or (not form and _is_formed(one)) for one in _addresses(site)):
            # One is looked over for duplicates, or was formed, before we came: begin anew.
            for value in ("1", "0"):
                sysctl.write(sysctl.of_interface("ipv6", name, "disable_ipv6"), value)
    link.set_up(site.nl, site.place.index)
    await ready(site)


async def ready(site: Site) -> None:
    """Wait for the link-local address, through which both routers and servers are asked.

    Raises OSError where there is none.
    """
    own = await until(site, lambda: _link_local(site), _LINK_LOCAL_SECONDS, RTNLGRP_IPV6_IFADDR)
    if own is None:
        name = site.link().name
        raise OSError(errno.EADDRNOTAVAIL, f"interface {name} has no IPv6 link-local address")


def _addresses(site: Site) -> list[Address]:
    return address.dump(site.nl, index=site.place.index, family=address.AF_INET6)


def _is_formed(one: Address) -> bool:
    """Whether the kernel formed it of an announced prefix, and for use in general (RFC 8981)."""
    general = not one.flags & (address.IFA_F_PERMANENT | address.IFA_F_SECONDARY)
    return general and not one.interface.is_link_local


def _link_local(site: Site) -> str | None:
    """The link-local address, None until it may be used."""
    for one in _addresses(site):
        if one.interface.is_link_local and not one.tentative:
            return str(one.interface.ip)
    return None


def seen(site: Site) -> Seen6:
    """What the kernel has made of advertisements so far."""
    formed = tuple(
        IPv6Interface(one.interface)
        for one in _addresses(site)
        if _is_formed(one) and not one.tentative
    )
    routes = route.dump(site.nl, route.AF_INET6, oif=site.place.index)
    routers = [one.gateway for one in routes if one.destination == _DEFAULT and one.gateway]
    flags = _flags(site.link())
    return Seen6(formed, routers[0] if routers else None, bool(flags & _IF_RA_MANAGED))


def _flags(found: Link) -> int:
    families = parse(found.attribute(link.IFLA_AF_SPEC))
    flags = parse(families.get(address.AF_INET6, b"")).get(_IFLA_INET6_FLAGS)
    return to_u32(flags) if flags else 0


async def solicit(
    site: Site, limits: Limits, tally: Tally, seconds: float, enough: Callable[[Seen6], object]
) -> Seen6 | None:
    """Ask routers, again and again, until there is enough; None when the time is over.

    The kernel asks too, but after a delay of its own, and its flag for an answer (IF_RA_RCVD) says
    only that it has heard one since. So what an answer brings is looked for.
    """

    def answered() -> Seen6 | None:
        found = seen(site)
        return found if enough(found) else None

    left = seconds
    with _raw_socket(site) as sock:
        for pause in pauses(limits):
            _send(sock, site, tally)
            found = await until(site, answered, min(pause, left), *_GROUPS)
            left -= pause
            if found is not None or left <= 0:
                return found
    return None


def _send(sock: socket.socket, site: Site, tally: Tally) -> None:
    """A router solicitation (RFC 4861, section 4.1); the kernel fills in the checksum."""
    try:
        sock.sendto(
            struct.pack("!BBHI", _SOLICITATION, 0, 0, 0), (_ALL_ROUTERS, 0, 0, site.place.index)
        )
        tally.note_sent("router solicitation")
    except OSError as error:
        tally.note_problem(f"cannot send: {error.strerror}")


def _raw_socket(site: Site) -> socket.socket:
    """One that only sends: the kernel reads the answers."""
    with site.ns.entered():
        sock = socket.socket(
            socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
        )
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, b"\xff" * 32)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, site.place.index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
    return sock
