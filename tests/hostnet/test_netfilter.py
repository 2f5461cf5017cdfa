"""The kept socket and what it remembers: never longer than the ruleset stays as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from hostnet import link, masquerade, netfilter, nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import Netlink
from hostnet.nfchange import Changes
from hostnet.nfelement import Element, Map
from hostnet.nftable import Chain, Table, rules
from tests.kit.host import Host
from tests.kit.namespace import Namespace

NAME = "test"
MEMBERS = Map(NAME, "members", "mark . mark", shared=True)
TABLE = Table(NAME, (MEMBERS,), (Chain("plain", (("all", "accept"),)),))


class StruckError(Exception):
    """What goes wrong."""


@pytest.fixture
def keeping(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    host.share_nft()
    host.share(f"nft element inet {NAME} *")
    monkeypatch.setattr(netfilter, "_kept", None)
    netfilter.keep()
    yield
    for one in netfilter._kept or ():
        one._sock.close()


def _inode(nl: Netlink) -> int:
    return os.fstat(nl.fileno()).st_ino


def test_a_kept_socket_is_used_again(keeping: None) -> None:
    with Netfilter.open() as nl:
        first = _inode(nl)
        with Netfilter.open() as other:
            assert _inode(other) != first
            second = _inode(other)
        assert rules(nl, "nothing", "chain") == []
    with Netfilter.open() as nl:
        assert _inode(nl) == second  # one is kept, the first that was given up
        assert rules(nl, "nothing", "chain") == []


def test_to_close_twice_keeps_it_once(keeping: None) -> None:
    with Netfilter.open() as nl:
        nl.close()
    with Netfilter.open() as nl, Netfilter.open() as other:
        assert _inode(nl) != _inode(other)


def test_none_is_kept_unless_asked_for(host: Host) -> None:
    with Netfilter.open() as nl:
        pass
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(nl.fileno())


def test_only_netfilters_is_kept(keeping: None) -> None:
    with Netlink() as nl:
        link.get(nl, "lo")
    assert netfilter._kept == []


def test_a_socket_is_not_kept_for_another_namespace(keeping: None, container: Namespace) -> None:
    with Netfilter.open() as nl:
        first = _inode(nl)

    def inside() -> int:
        with Netfilter.open() as nl:
            return _inode(nl)

    assert container.run(inside) != first


def test_a_socket_is_not_kept_after_an_error(keeping: None) -> None:
    with pytest.raises(StruckError), Netfilter.open():
        raise StruckError
    assert netfilter._kept == []


def test_a_child_does_not_use_its_parents_socket(keeping: None) -> None:
    """Answers would come to whoever reads first."""
    with Netfilter.open() as nl:
        first = _inode(nl)
    pid = os.fork()
    if pid == 0:
        with Netfilter.open() as nl:
            os._exit(_inode(nl) == first)
    assert os.waitpid(pid, 0)[1] == 0


class Counted:
    """How many messages go to the kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        send: Callable[..., None] = Netlink._send

        def counted(nl: Netlink, message: bytes, what: str) -> None:
            self._count += 1
            send(nl, message, what)

        monkeypatch.setattr(Netlink, "_send", counted)

    def __call__(self, act: Callable[[], object]) -> int:
        self._count = 0
        act()
        return self._count


def _ensure() -> bool:
    with Netfilter.open() as nl:
        return TABLE.ensure(nl)


def _look_over() -> None:
    with Netfilter.open() as nl:
        assert TABLE.problems(nl) == []


def test_a_sound_table_is_read_once(keeping: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _ensure()
    assert not _ensure()
    messages = Counted(monkeypatch)
    assert messages(_ensure) == 1  # which state is it?
    assert messages(_look_over) > 1
    assert messages(_look_over) == 1


@pytest.mark.parametrize(
    "harm", [f"flush chain inet {NAME} plain", "flush ruleset", f"delete chain inet {NAME} plain"]
)
def test_harm_is_seen_at_once(keeping: None, harm: str) -> None:
    _ensure()
    assert not _ensure()
    nft.run(harm)
    assert _ensure()
    with Netfilter.open() as nl:
        assert TABLE.problems(nl) == []
        nft.run(harm)
    with Netfilter.open() as nl:
        assert TABLE.problems(nl) != []


def _commit(nl: Netfilter, number: int) -> None:
    changes = Changes()
    changes.create(Element(MEMBERS, (1, number)))
    changes.commit(nl, nl.latest(), "test")


def test_a_commit_of_elements_moves_the_state_by_one(
    keeping: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `Netfilter.committed` rests on."""
    _ensure()
    with Netfilter.open() as nl:
        before = nl.generation()
        assert not TABLE.ensure(nl)
        _commit(nl, 1)
        _commit(nl, 2)
        assert nl.latest() == before + 2
    assert Counted(monkeypatch)(_ensure) == 1
    with Netfilter.open() as nl:
        assert nl.generation() == before + 2


def test_what_others_commit_between_is_not_overlooked(keeping: None) -> None:
    _ensure()
    with Netfilter.open() as nl:
        assert not TABLE.ensure(nl)
        _commit(nl, 1)
        nft.run(f"flush chain inet {NAME} plain")
    assert _ensure()


def test_an_attachment_costs_the_same_few_messages(
    keeping: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ipaddress

    def add() -> None:
        with Netfilter.open() as nl:
            masquerade.add(nl, "net/one/eth0", [ipaddress.ip_interface("10.1.0.2/24")])

    def remove() -> None:
        with Netfilter.open() as nl:
            masquerade.remove(nl, "net/one/eth0")

    add()
    remove()
    add()
    remove()
    messages = Counted(monkeypatch)
    known = messages(add)
    remove()
    nft.run("add table inet elsewhere")
    assert messages(add) == known + 3  # its three chains are read again
    remove()
