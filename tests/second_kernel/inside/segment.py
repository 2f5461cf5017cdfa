"""A machine on the wire of the host's `up0`, made without a process: here each takes 30 ms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface

from hostnet import address, announce, link, sublink
from hostnet.netlink import Netlink
from tests.kit.host import Host
from tests.kit.namespace import Namespace

ADDRESSES = ("10.1.0.9/16", "2001:db8::9/64")


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
