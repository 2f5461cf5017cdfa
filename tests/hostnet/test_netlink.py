"""The netlink socket against the real kernel: refusals, lost and late answers, disturbed walks."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from hostnet import address, link, netlink
from hostnet.netlink import Netlink, NetlinkError
from tests.kit.host import Host
from tests.kit.namespace import Namespace

MANY = 1500  # addresses: a walk over them takes several messages


@pytest.fixture
def nl(host: Host) -> Iterator[Netlink]:
    with Netlink() as socket:
        yield socket


class Struck(BaseException):
    """What a signal handler throws in."""


class Meddled(Netlink):
    """Calls `meddle` before each receive, to change the world at a known moment."""

    meddle: Callable[[], None] = staticmethod(lambda: None)

    def _receive(self, what: str) -> bytes:
        self.meddle()
        return super()._receive(what)


class Flaky(Netlink):
    """Its receives fail with the errors of `failures`, the messages staying in the queue."""

    def __init__(self, *failures: int) -> None:
        super().__init__()
        self._real = self._sock
        self._sock = self  # type: ignore[assignment]  # only send, recv and close are called
        self.failures = list(failures)

    def send(self, message: bytes) -> int:
        return self._real.send(message)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.failures and (code := self.failures.pop(0)):
            raise OSError(code, os.strerror(code))
        return self._real.recv(size, flags)

    def close(self) -> None:
        self._real.close()


@pytest.fixture
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace with MANY addresses, which goes as a whole."""
    made = Namespace(tmp_path_factory.mktemp("crowded") / "ns")
    batch = "".join(f"address add 10.{n >> 8}.{n & 255}.1/32 dev lo\n" for n in range(MANY))
    made.command("ip", "-batch", "-", stdin=batch)
    yield made
    made.close()


def names(found: list[address.Address]) -> set[str]:
    return {str(one.interface) for one in found if one.family == address.AF_INET}


def test_an_error_says_what_was_asked_and_what_the_kernel_says(nl: Netlink) -> None:
    with pytest.raises(NetlinkError) as caught:
        link.create(nl, "x0", "nosuch")
    error = caught.value
    assert error.errno == errno.EOPNOTSUPP
    assert error.extack == "Unknown device type"
    assert str(error) == (
        "cannot create the nosuch interface x0: Operation not supported (EOPNOTSUPP); "
        "the kernel says: Unknown device type"
    )


def test_an_error_points_at_the_attribute(nl: Netlink) -> None:
    unfit = netlink.attr(link.IFLA_NET_NS_FD, b"x")  # a u32, so four bytes
    payload = link.header(1) + netlink.attr_u32(link.IFLA_MTU, 1500) + unfit
    with pytest.raises(NetlinkError) as caught:
        nl.request(link.RTM_GETLINK, payload)
    error = caught.value
    assert (error.errno, error.attribute, error.offset) == (errno.ERANGE, link.IFLA_NET_NS_FD, 40)
    assert "(attribute type 28 at byte 40 of the request)" in str(error)


def test_an_error_of_a_dump_carries_the_kernels_words(nl: Netlink) -> None:
    with pytest.raises(NetlinkError, match=r"the kernel says: .*Invalid values in header"):
        nl.dump(address.RTM_GETADDR, address._IFADDR.pack(2, 24, 0, 0, 0))


def test_no_socket_of_an_unknown_protocol() -> None:
    with pytest.raises(NetlinkError, match="cannot open a netlink socket of protocol 31") as caught:
        Netlink(31)
    assert caught.value.errno == errno.EPROTONOSUPPORT


def test_answers_to_earlier_questions_are_thrown_away(nl: Netlink) -> None:
    stale = netlink._HEADER.pack(32, link.RTM_GETLINK, 5, 77, 0) + link.header(1)
    nl._sock.send(stale)
    nl._sock.send(stale)
    assert link.get(nl, "lo").index == 1
    assert [one.name for one in link.dump(nl)] == ["lo"]


@pytest.mark.parametrize("failure", [errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN])
def test_one_failed_receive_is_no_lost_answer(host: Host, failure: int) -> None:
    with Flaky(failure) as nl:
        assert link.get(nl, "lo").name == "lo"


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ((errno.ENOBUFS, errno.EAGAIN), errno.ENOBUFS),
        ((errno.EAGAIN, errno.EAGAIN), errno.ETIMEDOUT),
    ],
)
def test_a_lost_answer_is_an_error_and_not_a_wait(
    host: Host, failures: tuple[int, ...], code: int
) -> None:
    with Flaky(*failures) as nl:
        with pytest.raises(NetlinkError, match="unknown whether this was done") as caught:
            link.set_up(nl, 1)
        assert caught.value.unanswered
        assert caught.value.errno == code
        assert link.get(nl, "lo").up


def test_a_disturbed_walk_is_repeated(crowded: Namespace) -> None:
    with crowded.run(Meddled) as nl, crowded.run(Netlink) as other:
        changes = iter([ipaddress.ip_interface(f"10.200.0.{n}/32") for n in range(1, 10)])
        walks = 0

        def meddle() -> None:
            nonlocal walks
            if walks == nl._seq:  # once in each walk, after it began
                return
            walks = nl._seq
            if walks <= 3:
                address.add(other, 1, next(changes))

        nl.meddle = meddle
        found = address.dump(nl, family=address.AF_INET)
        assert walks == 4, "three disturbed walks, and one that was not"
        assert len(names(found)) == len(found) == MANY + 4  # and 127.0.0.1


def test_walks_that_are_always_disturbed_end(
    crowded: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlink, "DUMP_ATTEMPTS", 5)
    with crowded.run(Meddled) as nl, crowded.run(Netlink) as other:
        one = ipaddress.ip_interface("10.200.0.1/32")

        def meddle() -> None:
            if not address.delete(other, 1, one, missing_ok=True):
                address.add(other, 1, one)

        nl.meddle = meddle
        with pytest.raises(NetlinkError, match="changed during each of 5 walks") as caught:
            address.dump(nl)
        assert caught.value.errno == errno.EAGAIN
        nl.meddle = lambda: None
        assert len(address.dump(nl, family=address.AF_INET)) >= MANY


def test_a_walk_that_a_signal_cut_short_does_not_spoil_the_next(crowded: Namespace) -> None:
    with crowded.run(Meddled) as nl:
        receives = 0

        def strike() -> None:
            nonlocal receives
            receives += 1
            if receives == 2:
                raise Struck

        nl.meddle = strike
        with pytest.raises(Struck):
            address.dump(nl)
        assert link.get(nl, "lo").name == "lo"
        assert len(address.dump(nl, family=address.AF_INET)) == MANY + 1


def test_a_walk_cut_short_after_its_last_piece_is_not_waited_for(host: Host) -> None:
    class Late(Netlink):
        strike = True

        def _receive(self, what: str) -> bytes:
            data = super()._receive(what)
            if self.strike:
                raise Struck
            return data

    with Late() as nl:
        with pytest.raises(Struck):
            link.dump(nl)
        while select.select([nl], [], [], 0)[0]:  # nobody looks at these either
            nl._sock.recv(netlink.RECEIVE_BYTES)
        nl.strike = False
        start = time.monotonic()
        assert [one.name for one in link.dump(nl)] == ["lo"]
        assert time.monotonic() - start < netlink.ANSWER_SECONDS / 2


def test_a_walk_whose_receive_failed_is_repeated(crowded: Namespace) -> None:
    with crowded.run(Flaky, 0, errno.ENOBUFS) as nl:
        assert len(address.dump(nl, family=address.AF_INET)) == MANY + 1


def test_links_amid_churn(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What stays is seen in every walk while another process makes and removes links."""
    place = Namespace(tmp_path_factory.mktemp("churn") / "ns")
    with place.run(Netlink) as nl:
        stay = [link.create(nl, f"stay{n}", "bridge").index for n in range(60)]
        churn = "".join(
            f"link add churn{n} type bridge\nlink set churn{n} name other{n}\nlink del other{n}\n"
            for n in range(15)
        )
        batch = place.popen("ip", "-batch", "-", stdin=-1)
        assert batch.stdin
        batch.stdin.write(churn)
        batch.stdin.close()
        walks = 0
        while batch.poll() is None:
            found = [one.index for one in link.dump(nl)]
            assert sorted(set(found) & set(stay)) == stay
            assert len(found) == len(set(found))
            walks += 1
        assert batch.wait() == 0
        assert walks > 5
    place.close()


def test_several_messages_in_one_piece(nl: Netlink) -> None:
    set_mtu = [
        (link.RTM_NEWLINK, link.header(1) + netlink.attr_u32(link.IFLA_MTU, mtu), 0)
        for mtu in (1500, 1600)
    ]
    up = (link.RTM_NEWLINK, link.header(1), netlink.NLM_F_ACK)
    nl.batch([*set_mtu, up], "set the MTU twice")
    assert link.get(nl, "lo").mtu == 1600
    wrong = (link.RTM_NEWLINK, link.header(1) + netlink.attr_u32(link.IFLA_MASTER, 999), 0)
    with pytest.raises(NetlinkError, match="cannot do three things"):
        nl.batch([set_mtu[0], wrong, up], "do three things")
    link.change(nl, 1, mtu=65536)


def test_a_socket_stays_in_its_namespace(host: Host, container: Namespace) -> None:
    with Netlink() as here, container.run(Netlink) as there:
        index = link.create(here, "only-here", "bridge").index
        assert link.find(there, "only-here") is None
        link.delete(here, index)


def test_a_signals_exception_passes_through(nl: Netlink) -> None:
    def strike(_number: int, _frame: object) -> None:
        raise Struck

    def get_while_struck() -> None:
        for _ in range(1000):
            link.get(nl, "lo")
            os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, strike)
    try:
        with pytest.raises(Struck):
            get_while_struck()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [one.name for one in link.dump(nl)] == ["lo"]
