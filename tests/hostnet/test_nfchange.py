"""Transactions that happen only if nothing else did."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import NetlinkError
from hostnet.nfchain import chain_exists
from hostnet.nfchange import Changes, ContentionError, change
from hostnet.nfelement import VERDICT, Element, Map, dump, get, number
from tests.kit.host import Host

TABLE = "changes"
COUNT = Map(TABLE, "count", "mark", "mark")
SET = Map(TABLE, "members", "ipv4_addr")
GATES = Map(TABLE, "gates", "mark", VERDICT)


@pytest.fixture
def nl(host: Host) -> Iterator[Netfilter]:
    declarations = (one.declaration for one in (COUNT, SET, GATES))
    nft.run("\n".join([f"add table inet {TABLE}", *declarations]))
    with Netfilter() as made:
        yield made
    nft.run(f"delete table inet {TABLE}")


def member(number: int) -> Element:
    return Element(SET, (IPv4Address(number),))


def create(*elements: Element) -> Changes:
    changes = Changes()
    for one in elements:
        changes.create(one)
    return changes


def test_a_transaction_of_another_generation_is_refused(nl: Netfilter) -> None:
    before = nl.generation()
    create(member(1)).commit(nl, before, "first")
    with pytest.raises(NetlinkError) as refused:
        create(member(2)).commit(nl, before, "second")
    assert refused.value.errno == errno.ERESTART
    assert get(nl, member(2)) is None
    create(member(2)).commit(nl, nl.generation(), "second")


def test_what_was_decided_on_an_old_state_is_decided_anew(nl: Netfilter) -> None:
    decided: list[bool] = []

    def plan() -> Changes:
        there = get(nl, member(1)) is not None
        decided.append(there)
        if not there:
            # Somebody else takes it between look-up and commit.
            nft.run(f"add element inet {TABLE} members {{ 0.0.0.1 }}")
            return create(member(1))
        return create(member(2))

    assert change(nl, plan, "test")
    assert decided == [False, True]
    assert get(nl, member(2)) is not None


def test_nothing_to_change_is_no_transaction(nl: Netfilter) -> None:
    before = nl.generation()
    assert not change(nl, Changes, "test")
    assert nl.generation() == before


def test_the_wait_for_others_is_bounded(nl: Netfilter) -> None:
    def plan() -> Changes:
        with Netfilter() as other:
            changes = Changes()
            changes.create_chain(TABLE, "others")
            changes.commit(other, other.generation(), "interfere")
        return create(member(1))

    with pytest.raises(ContentionError, match=r"cannot write: other programs changed .* 0\.05 s"):
        change(nl, plan, "write", seconds=0.05)
    assert get(nl, member(1)) is None


def test_all_or_nothing(nl: Netfilter) -> None:
    create(member(3)).commit(nl, nl.generation(), "test")
    with pytest.raises(NetlinkError) as refused:
        create(member(1), member(2), member(3)).commit(nl, nl.generation(), "test")
    assert refused.value.errno == errno.EEXIST
    assert [one.key for one in dump(nl, SET)] == [member(3).key]
    changes = create(member(1))
    changes.delete(member(4))
    with pytest.raises(NetlinkError) as refused:
        changes.commit(nl, nl.generation(), "test")
    assert refused.value.errno == errno.ENOENT
    assert get(nl, member(1)) is None


def test_a_transaction_larger_than_the_socket_buffer(nl: Netfilter) -> None:
    create(*map(member, range(20_000))).commit(nl, nl.generation(), "test")
    assert len(dump(nl, SET)) == 20_000
    changes = Changes()
    for number_ in range(20_000):
        changes.delete(member(number_))
    changes.commit(nl, nl.generation(), "test")
    assert dump(nl, SET) == []


def test_a_chain_comes_and_goes_with_what_leads_to_it(nl: Netfilter) -> None:
    gate = Element(GATES, (1,), ("gate",))
    changes = Changes()
    changes.create_chain(TABLE, "gate")
    changes.create(gate)
    changes.commit(nl, nl.generation(), "test")
    nft.run(f"add rule inet {TABLE} gate accept")
    assert chain_exists(nl, TABLE, "gate")
    changes = Changes()
    changes.delete_chain(TABLE, "gate")
    with pytest.raises(NetlinkError):
        changes.commit(nl, nl.generation(), "test")
    changes = Changes()
    changes.delete(gate)
    changes.delete_chain(TABLE, "gate")
    changes.commit(nl, nl.generation(), "test")
    assert not chain_exists(nl, TABLE, "gate")


def test_eight_at_once_lose_no_count(host: Host, nl: Netfilter) -> None:
    def count() -> None:
        host.enter()
        with Netfilter() as own:

            def plan() -> Changes:
                found = get(own, Element(COUNT, (1,)))
                changes = Changes()
                before = 0
                if found is not None:
                    changes.delete(found)
                    before = number(found.data[0])
                changes.create(Element(COUNT, (1,), (before + 1,)))
                return changes

            for _turn in range(25):
                change(own, plan, "count")

    threads = [threading.Thread(target=count) for _thread in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = get(nl, Element(COUNT, (1,)))
    assert found is not None
    assert found.data == (200,)
