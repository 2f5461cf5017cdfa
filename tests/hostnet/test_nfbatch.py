"""Many owners given what is theirs in one transaction, or none of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hostnet import netfilter
from hostnet.condition import OnlyWhile
from hostnet.monitor import Monitor
from hostnet.netfilter import Netfilter
from hostnet.netlink import NETLINK_NETFILTER
from hostnet.nfbatch import Apart, Batch
from hostnet.nfowner import TakenError
from hostnet.nfwatch import NFNLGRP_NFTABLES
from tests.hostnet.test_nfowner import ONE, PORTS, REGISTRY, TWO, A, B, near, nl, ports

__all__ = ["nl"]

_NEWGEN = 0xA0F


@pytest.fixture
def batch(nl: Netfilter) -> Iterator[Batch]:
    """One that has begun."""
    with Batch() as made:
        made.begin()
        yield made


def test_one_transaction_for_all(nl: Netfilter, batch: Batch) -> None:
    with Monitor(NFNLGRP_NFTABLES, protocol=NETLINK_NETFILTER) as monitor:
        assert REGISTRY.give(nl, ONE, [(80, A)])
        assert REGISTRY.give(nl, TWO, [(81, A)])
        assert not REGISTRY.give(nl, TWO, [(81, A)])
        assert ports(nl) == {}
        assert batch.commit()
        assert [kind for kind, _ in monitor.take().messages].count(_NEWGEN) == 1
    assert ports(nl) == {80: (A, ONE.name), 81: (A, TWO.name)}
    REGISTRY.remove(nl, ONE)
    assert near(nl) == {A}
    REGISTRY.remove(nl, TWO)
    assert near(nl) == set()


def test_the_next_one_knows_what_the_last_one_did(nl: Netfilter, batch: Batch) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    assert batch.commit()
    batch.begin()
    assert not REGISTRY.give(nl, ONE, [(80, A)])
    REGISTRY.give(nl, ONE, [(81, B)])
    assert batch.commit()
    assert (ports(nl), near(nl)) == ({81: (B, ONE.name)}, {B})


def test_what_is_refused_leaves_nothing_in_it(nl: Netfilter, batch: Batch) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    with pytest.raises(TakenError):
        REGISTRY.give(nl, TWO, [(79, B), (80, B)])
    assert batch.commit()
    assert (ports(nl), near(nl)) == ({80: (A, ONE.name)}, {A})


def test_nothing_happens_where_somebody_was_faster(nl: Netfilter, batch: Batch) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    with Apart():
        REGISTRY.give(nl, TWO, [(80, B)])
    assert not batch.commit()
    assert ports(nl) == {80: (B, TWO.name)}
    batch.begin()
    with pytest.raises(TakenError):
        REGISTRY.give(nl, ONE, [(80, A)])


def test_nothing_happens_where_an_owner_has_gone(nl: Netfilter, batch: Batch) -> None:
    taken_back: list[str] = []
    REGISTRY.give(nl, ONE, [(80, A)])
    REGISTRY.give(nl, TWO, [(81, A)])
    batch.owners.add(ONE.name, lambda: False, lambda: taken_back.append(ONE.name))
    batch.owners.add(TWO.name, lambda: True, lambda: taken_back.append(TWO.name))
    assert not batch.commit()
    assert ports(nl) == {}
    assert taken_back == [TWO.name]


def test_who_goes_meanwhile_has_it_taken_back(nl: Netfilter, batch: Batch) -> None:
    answers = [False, True]

    def take_back() -> None:
        REGISTRY.remove(nl, ONE)

    REGISTRY.give(nl, ONE, [(80, A)])
    batch.owners.add(ONE.name, lambda: answers.pop(0), take_back)
    assert batch.commit()
    assert (ports(nl), answers) == ({}, [])


def test_what_was_told_to_be_planned(nl: Netfilter, batch: Batch) -> None:
    told: list[str] = []
    late: list[str] = []
    with OnlyWhile(told.append), OnlyWhile(late.append, late=True):
        REGISTRY.give(nl, ONE, [(80, A)])
    assert told == [f"write to the nftables table inet {PORTS.table}"]
    assert not late


def test_it_leaves_the_process_as_it_was(nl: Netfilter) -> None:
    with Batch() as batch:
        batch.begin()
        REGISTRY.give(nl, ONE, [(80, A)])
    assert not netfilter._steady
    assert REGISTRY.give(nl, ONE, [(80, A)])
    assert ports(nl) == {80: (A, ONE.name)}
