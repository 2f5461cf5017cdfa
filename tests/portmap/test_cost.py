"""What a call costs does not depend on how many ports are published: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from cni_portmap.tables import NEAR, REGISTRY, TABLE, Published, pack
from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.nfchange import Changes
from hostnet.nfelement import Element
from hostnet.nfowner import Owner
from tests.kit.faults import Meter
from tests.portmap.conftest import Container, World

NO_CLIENT = True
CROWD = 10_000


def crowd() -> None:
    """Publish ports 20000 to 29999 for 10,000 containers."""
    changes = Changes()
    for number in range(CROWD):
        owner = Owner(f"crowd/{number}/eth0")
        container = IPv4Address("10.8.0.0") + number
        record = pack(Published(4, 6, 20_000 + number, None, container, 80, "br0", NEAR))
        for element in REGISTRY.held([record], owner).values():
            changes.create(element)
        changes.create(Element(REGISTRY.owners, (owner.group, owner.member, 0), record, owner.name))
    with Netfilter() as nl:
        TABLE.ensure(nl)
        changes.commit(nl, nl.generation(), "test")


@pytest.fixture
def in_a_crowd(one: Container) -> Iterator[Callable[[], None]]:
    yield crowd
    nft.run("delete table inet pycni_portmap")


def test_the_same_messages_among_ten_thousand_ports(
    world: World,
    one: Container,
    in_a_crowd: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meter = Meter(monkeypatch)
    udp = {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "10.2.0.1"}
    config = one.add(8080, udp)
    one.delete()

    def costs() -> list[Any]:
        return [
            meter.of(lambda: one.add(8080, udp)),
            meter.of(lambda: one.check(config)),
            meter.of(one.delete),
            meter.of(one.delete),
            meter.of(lambda: one.runtime.status({**config, "runtimeConfig": {}})),
        ]

    alone = costs()
    in_a_crowd()
    assert costs() == alone
    add, _check, delete, again, _status = alone
    # So that nobody is surprised by what constant means.
    assert len(add[0]) < 50
    assert len(delete[0]) < 35
    assert len(again[0]) == 2


def test_where_the_rules_are_libnftables_is_not_loaded(
    one: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.add(8080)
    monkeypatch.setitem(sys.modules, "nftables", None)
    one.delete()
    config = one.add(8080)
    one.check(config)
    one.delete()
    one.delete()
