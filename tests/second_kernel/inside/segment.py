"""A machine on the wire of the host's `up0`, made without a process: here each takes 30 ms."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface
from typing import TypeVar

from hostnet import address, announce, link, sublink
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.namespace import Namespace

T = TypeVar("T")
ADDRESSES = ("10.1.0.9/16", "2001:db8::9/64")


def until_free(act: Callable[[], T], taken: int, seconds: float = 10) -> T:
    """What `act` gives, once it no longer fails with the error `taken`.

    For what a namespace that nobody has any more still holds: the kernel says to nobody when it
    has removed it, and has one processor here, so each try lets it go on with that.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except NetlinkError as error:
            if error.errno != taken or time.monotonic() > deadline:
                raise
        os.sched_yield()


@contextmanager
def wire(host: Host, vlan: int = 0) -> Iterator[Namespace]:
    """The machine has ADDRESSES on `e`, or on that VLAN of it, `e.N`."""
    made = host.container("segment")
    with Netlink() as nl, made.open() as ns, ns.netlink() as inside:
        up = link.create_veth(nl, "up0", "e", peer_netns_fd=ns.fileno())
        end = up.peer
        link.set_up(nl, up.index)
        link.set_up(inside, end)
        if vlan:
            data = sublink.vlan(vlan)
            end = link.create(inside, f"e.{vlan}", "vlan", data=data, below=end, up=True).index
        for one in ADDRESSES:
            address.add(inside, end, ip_interface(one), nodad=True)
        announce.wait_addresses(inside, end)
        yield made
        link.delete(nl, up.index)
