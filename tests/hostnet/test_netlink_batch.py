"""Many requests at once against the real kernel: refusals, lost answers, and the time it takes."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_address

import pytest

from hostnet import fdb, link, neighbour, netlink_batch, route, vxlan
from hostnet.netlink import Netlink, NetlinkError, attr
from tests.kit.host import Host

MANY = 5000


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        yield socket


@pytest.fixture
def index(nl: Netlink) -> Iterator[int]:
    made = vxlan.create(nl, "vxlan42", 42, local=ip_address("192.0.2.1"), up=True).index
    yield made
    link.delete(nl, made)


def say(number: int) -> str:
    return f"do thing {number}"


def mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def peer(number: int) -> IPv4Address:
    return IPv4Address(0xC6120000 + number)  # 198.18.0.0/15


def subnet(number: int) -> IPv4Network:
    return IPv4Network((0x0A000000 + (number << 8), 24))


def additions(index: int, number: int) -> list[netlink_batch.Message]:
    base = subnet(number).network_address
    return [
        fdb.addition(index, mac(number), peer(number)),
        neighbour.addition(index, base, mac(number), protocol=201),
        route.addition(subnet(number), gateway=base, oif=index, onlink=True, protocol=201),
    ]


def deletions(index: int, number: int) -> list[netlink_batch.Message]:
    return [
        route.deletion(subnet(number), oif=index, protocol=201),
        neighbour.deletion(index, subnet(number).network_address),
        fdb.deletion(index, mac(number)),
    ]


def counts(nl: Netlink, index: int) -> tuple[int, int, int]:
    return (
        len(fdb.dump(nl, index)),
        len(neighbour.dump(nl, index=index, protocol=201)),
        len(route.dump(nl, route.AF_INET, oif=index, protocol=201)),
    )


def test_thousands(nl: Netlink, index: int) -> None:
    start = time.perf_counter()
    messages = [message for number in range(MANY) for message in additions(index, number)]
    assert netlink_batch.send(nl, messages, say) == [None] * (3 * MANY)
    took = time.perf_counter() - start
    assert counts(nl, index) == (MANY, MANY, MANY)
    # 0.4 s where it was written; one request at a time takes 1 s there.
    assert took < 5
    messages = [message for number in range(MANY) for message in deletions(index, number)]
    assert not any(netlink_batch.send(nl, messages, say))
    assert counts(nl, index) == (0, 0, 0)


def test_each_refusal_is_its_own(nl: Netlink, index: int) -> None:
    taken = {7, 150, 299}  # in several pieces, at the end of one
    for number in taken:
        fdb.add(nl, index, mac(number), peer(number))
    messages = [fdb.addition(index, mac(number), peer(number)) for number in range(300)]
    messages[200] = link.RTM_NEWLINK, link.header(4711), 0
    errors = netlink_batch.send(nl, messages, say)
    assert {number for number, error in enumerate(errors) if error} == taken | {200}
    for number in taken:
        error = errors[number]
        assert error
        assert (error.errno, error.what) == (errno.EEXIST, f"do thing {number}")
        assert not error.unanswered
    assert len(fdb.dump(nl, index)) == 299


def test_the_kernels_words(nl: Netlink) -> None:
    to = route.addition(IPv4Network("10.1.0.0/16"), gateway=IPv4Address("10.99.0.1"))
    (error,) = netlink_batch.send(nl, [to], say)
    assert str(error) == (
        "cannot do thing 0: Network is unreachable (ENETUNREACH); "
        "the kernel says: Nexthop has invalid gateway"
    )


def test_all_refused(nl: Netlink, index: int) -> None:
    """The answers of a piece fit in the receive buffer, with the kernel's words in each."""
    gateway = IPv4Address("10.99.0.1")
    messages = [route.addition(subnet(number), gateway=gateway) for number in range(1000)]
    errors = netlink_batch.send(nl, messages, say)
    assert all(
        error and error.errno == errno.ENETUNREACH and not error.unanswered for error in errors
    )


def test_nothing(nl: Netlink) -> None:
    assert netlink_batch.send(nl, [], say) == []


def test_long_messages(nl: Netlink) -> None:
    """More bytes than the send buffer takes in one."""
    alias = b"x" * 255
    lo = link.header(1) + attr(link.IFLA_IFALIAS, alias)
    unknown = attr(0x3FF0, bytes(30000))
    messages = [(link.RTM_NEWLINK, lo + unknown, 0)] * 60
    assert netlink_batch.send(nl, messages, say) == [None] * 60
    assert link.by_index(nl, 1).alias == alias.decode()
    link.change(nl, 1, alias="")


def test_lost_answers_are_told(nl: Netlink, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More answers than the receive buffer holds: everything is done, not everything is known."""
    monkeypatch.setattr(netlink_batch, "PIECE_MESSAGES", 1000)
    messages = [fdb.addition(index, mac(number), peer(number)) for number in range(1000)]
    errors = netlink_batch.send(nl, messages, say)
    lost = [error for error in errors if error]
    assert 0 < len(lost) < 1000
    assert all(error.unanswered and error.errno == errno.ENOBUFS for error in lost)
    assert len(fdb.dump(nl, index)) == 1000
    fdb.add(nl, index, mac(2000), peer(2000))  # the socket is as good as new


def test_a_piece_that_cannot_be_sent(nl: Netlink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink_batch, "PIECE_BYTES", 1 << 30)
    message = link.RTM_NEWLINK, link.header(1) + bytes(40000), 0
    with pytest.raises(NetlinkError, match="EMSGSIZE"):
        netlink_batch.send(nl, [message] * 10, say)
