"""What a call costs does not depend on how many containers there are: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from cni_firewall.guarded import APART, Guarded
from cni_firewall.tables import REGISTRY, pack
from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.nfchange import Changes
from hostnet.nfelement import Element, dump
from hostnet.nfowner import Owner
from tests.firewall.conftest import World
from tests.kit.faults import Meter

NO_CLIENT = True
CROWD = 10_000


def crowd() -> None:
    """10,000 containers, all on one bridge that is kept apart."""
    changes = Changes()
    known = set()
    with Netfilter() as nl:
        for number in range(CROWD):
            owner = Owner(f"crowd/{number}/eth0")
            record = pack(Guarded(IPv4Address("10.8.0.0") + number, "br1", "", APART))
            for element in REGISTRY.held([record], owner).values():
                if element.identity not in known:
                    known.add(element.identity)
                    changes.create(element)
            key = (owner.group, owner.member, 0)
            changes.create(Element(REGISTRY.owners, key, record, owner.name))
        changes.commit(nl, nl.generation(), "test")
        assert len(dump(nl, REGISTRY.owners)) == CROWD


@pytest.fixture
def in_a_crowd(world: World) -> Iterator[Callable[[], None]]:
    yield crowd
    nft.run("delete table inet pycni_firewall")


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_the_same_messages_among_ten_thousand_containers(
    policy: str,
    world: World,
    in_a_crowd: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meter = Meter(monkeypatch)
    one = world.on("br0")
    config = one.add(policy)
    one.delete()

    def costs() -> list[Any]:
        return [
            meter.of(lambda: one.add(policy)),
            meter.of(lambda: one.check(config)),
            meter.of(one.delete),
            meter.of(one.delete),
            meter.of(lambda: one.runtime.status(config)),
        ]

    alone = costs()
    in_a_crowd()
    assert costs() == alone
    add, _check, delete, again, _status = alone
    # So that nobody is surprised by what constant means.
    assert len(add[0]) < 40
    assert len(delete[0]) < 30
    assert len(again[0]) == 2


def test_where_the_rules_are_libnftables_is_not_loaded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.on("br0")
    one.add("isolated")
    monkeypatch.setitem(sys.modules, "nftables", None)
    one.delete()
    config = one.add("isolated")
    one.check(config)
    one.delete()
    one.delete()
