"""Looking for duplicates in a hurry, and what is known of addresses meanwhile."""

from __future__ import annotations

from ipaddress import IPv6Interface

import pytest

from hostnet import address, duplicates, link, sysctl
from hostnet.netlink import Netlink
from tests.kit.host import Host

FREE, TAKEN = IPv6Interface("fd00:1::2/64"), IPv6Interface("fd00:1::3/64")


@pytest.fixture
def index(host: Host) -> int:
    """A link `d0`, down, whose other end has one of the addresses."""
    other = host.container()
    host.command(
        "ip", "link", "add", "d0", "type", "veth", "peer", "name", "e", "netns", str(other)
    )
    other.command("ip", "address", "add", str(TAKEN), "dev", "e", "nodad")
    other.command("ip", "link", "set", "e", "up")
    host.share("link d0 *", "address dev *", "route *", "link e *")
    with Netlink() as nl:
        found: int = link.get(nl, "d0").index
        return found


@pytest.mark.usefixtures("index")
def test_what_is_set_comes_back() -> None:
    names = ("net/ipv6/conf/d0/router_solicitation_delay", "net/ipv6/neigh/d0/retrans_time_ms")
    before = [sysctl.read(one) for one in names]
    kept = duplicates.hurry("d0", 50)
    delay, answer = (int(sysctl.read(one)) for one in names)
    assert delay == 0
    assert 50 <= answer <= 60  # in whole ticks of the kernel
    duplicates.calm(kept)
    assert [sysctl.read(one) for one in names] == before


def test_switches_that_are_missing() -> None:
    """As in a user namespace, where the kernel shows none of net/ipv6/neigh."""
    assert duplicates.hurry("none", 50) == {}


@pytest.mark.parametrize("wanted", [[FREE], [FREE, TAKEN]])
def test_the_kernels_word(wanted: list[IPv6Interface], index: int) -> None:
    """Left to itself, the kernel would take longer here than it is waited for."""
    sysctl.write("net/ipv6/neigh/d0/retrans_time_ms", "60000")
    with Netlink() as nl:
        kept = duplicates.hurry("d0", 50)
        for one in wanted:
            address.add(nl, index, one)
        link.set_up(nl, index)
        found = duplicates.wait(nl, index, wanted, 20)
        duplicates.calm(kept)
    assert found == wanted[1:]


def test_in_its_own_time_it_takes_longer(index: int) -> None:
    with Netlink() as nl:
        address.add(nl, index, FREE)
        link.set_up(nl, index)
        with pytest.raises(TimeoutError):
            duplicates.wait(nl, index, [FREE], 0.2)
