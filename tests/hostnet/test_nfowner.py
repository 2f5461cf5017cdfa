"""Owners of elements: each gets what it asks for, keeps it, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.nfelement import Element, Map, dump, get
from hostnet.nfowner import Owner, Registry, TakenError, Waiting
from tests.kit.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostnet.nfdraft import Draft
    from hostnet.nfelement import Values
    from hostnet.nfowner import Held

NAME = "test"
PORTS = Map(NAME, "ports", "inet_proto . inet_service", "ipv4_addr . inet_service")
NEAR = Map(NAME, "near", "ipv4_addr", shared=True)


def elements(record: Values, owner: Owner) -> list[Element]:
    """A record is a port and an address: the port is its owner's alone, the address shared."""
    port, address = record
    return [
        Element(PORTS, (6, port), (address, 80), owner.name),
        Element(NEAR, (address,), (), owner.name),
    ]


REGISTRY = Registry(NAME, "inet_service . ipv4_addr", elements)
ONE, TWO = Owner("net/one/eth0"), Owner("net/two/eth0")
A, B = IPv4Address("10.1.0.2"), IPv4Address("10.1.0.3")


@pytest.fixture
def nl(host: Host) -> Iterator[Netfilter]:
    maps = (PORTS, NEAR, REGISTRY.owners, REGISTRY.holders)
    nft.run("\n".join([f"add table inet {NAME}", *(one.declaration for one in maps)]))
    with Netfilter() as made:
        yield made
    nft.run(f"delete table inet {NAME}")


def ports(nl: Netfilter) -> dict[object, tuple[object, str]]:
    return {one.key[1]: (one.data[0], one.comment) for one in dump(nl, PORTS)}


def near(nl: Netfilter) -> set[object]:
    return {one.key[0] for one in dump(nl, NEAR)}


def test_given_and_removed(nl: Netfilter) -> None:
    assert REGISTRY.give(nl, ONE, [(80, A), (81, A), (82, B)])
    assert ports(nl) == {port: (a, ONE.name) for port, a in ((80, A), (81, A), (82, B))}
    assert near(nl) == {A, B}
    assert REGISTRY.records(nl, ONE) == [(80, A), (81, A), (82, B)]
    assert dump(nl, REGISTRY.holders) == []
    assert REGISTRY.remove(nl, ONE) == [(80, A), (81, A), (82, B)]
    assert ports(nl) == {}
    assert near(nl) == set()
    assert dump(nl, REGISTRY.owners) == []


def test_the_same_again_is_no_transaction(nl: Netfilter) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    before = nl.generation()
    assert not REGISTRY.give(nl, ONE, [(80, A)])
    assert REGISTRY.remove(nl, TWO) == []
    assert nl.generation() == before


def test_something_else_takes_its_place(nl: Netfilter) -> None:
    REGISTRY.give(nl, ONE, [(80, A), (81, A)])
    REGISTRY.give(nl, ONE, [(81, B)])
    assert ports(nl) == {81: (B, ONE.name)}
    assert near(nl) == {B}
    assert REGISTRY.records(nl, ONE) == [(81, B)]


def test_what_is_anothers_is_refused_whole(nl: Netfilter) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    with pytest.raises(TakenError) as refused:
        REGISTRY.give(nl, TWO, [(79, B), (80, B)])
    assert refused.value.element.key == (6, 80)
    assert refused.value.found.comment == "net/one/eth0"
    assert ports(nl) == {80: (A, ONE.name)}
    assert near(nl) == {A}


def test_what_is_shared_goes_with_the_last(nl: Netfilter) -> None:
    third = Owner("other/one/eth0")
    for port, owner in enumerate((ONE, TWO, third)):
        REGISTRY.give(nl, owner, [(port + 1, A), (port + 11, A)])
    assert [one.data for one in dump(nl, REGISTRY.holders)] == [(3,)]
    REGISTRY.remove(nl, TWO)
    REGISTRY.remove(nl, TWO)
    assert near(nl) == {A}
    REGISTRY.remove(nl, ONE)
    assert near(nl) == {A}
    assert dump(nl, REGISTRY.holders) == []
    REGISTRY.remove(nl, third)
    assert near(nl) == set()


@pytest.mark.parametrize("lost", [PORTS, NEAR])
def test_what_got_lost_is_restored(lost: Map, nl: Netfilter) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    nft.run(f"flush {'set' if lost.data is None else 'map'} inet {NAME} {lost.name}")
    assert REGISTRY.give(nl, ONE, [(80, A)])
    assert (ports(nl), near(nl)) == ({80: (A, ONE.name)}, {A})
    nft.run(f"flush {'set' if lost.data is None else 'map'} inet {NAME} {lost.name}")
    REGISTRY.remove(nl, ONE)
    assert (ports(nl), near(nl)) == ({}, set())


def test_what_is_given_may_be_settled_on_what_was_held(nl: Netfilter) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])

    def refuse(draft: Draft, old: Held) -> list[Values]:
        assert set(old) == {("ports", (6, 80)), ("near", (A,))}
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        REGISTRY.give(nl, ONE, [(81, A)], refuse)
    assert REGISTRY.records(nl, ONE) == [(80, A)]
    REGISTRY.give(nl, ONE, [], lambda _draft, _old: [(82, A)])
    assert REGISTRY.records(nl, ONE) == [(82, A)]


def test_what_has_somebody_elses_label_is_left_alone(nl: Netfilter) -> None:
    REGISTRY.give(nl, ONE, [(80, A)])
    nft.run(f"flush map inet {NAME} {PORTS.name}")
    REGISTRY.give(nl, TWO, [(80, B)])
    with pytest.raises(TakenError):
        REGISTRY.give(nl, ONE, [(80, A)])
    REGISTRY.remove(nl, ONE)
    assert ports(nl) == {80: (B, TWO.name)}
    REGISTRY.remove(nl, TWO)
    assert ports(nl) == {}
    assert near(nl) == set()


# Records that wait have an address of 10.2.0.0/16 in place of 10.1.0.0/16.
PLACES = Map(NAME, "places", "mark", shared=True)
STEP = 1 << 16


def patient_elements(record: Values, owner: Owner) -> list[Element]:
    if record != holding(record):
        return [Element(PLACES, (record[0],), (), owner.name)]
    return elements(record, owner)


def holding(record: Values) -> Values:
    port, address = record
    assert isinstance(address, IPv4Address)
    return port, address - STEP if address > IPv4Address("10.2.0.0") else address


PATIENT = Registry(
    NAME,
    "inet_service . ipv4_addr",
    patient_elements,
    waiting=Waiting(lambda record: Element(PLACES, (record[0],)), holding),
)


def test_whoever_waits_gets_it_with_the_same_transaction(nl: Netfilter) -> None:
    nft.run(PLACES.declaration)
    owners = [Owner(f"net{number}/one/eth0") for number in range(4)]
    everyone = [Owner("net/two/eth0"), *owners]
    PATIENT.give(nl, everyone[0], [(90, A)])
    PATIENT.give(nl, owners[0], [(79, A), (80, A), (81, A)])
    PATIENT.give(nl, owners[1], [(80, B + STEP), (82, B), (81, B + STEP)])
    PATIENT.give(nl, owners[2], [(80, A + STEP)])
    PATIENT.give(nl, owners[3], [(81, A + STEP)])
    before = nl.generation()
    PATIENT.remove(nl, owners[0])
    assert nl.generation() == before + 1
    assert ports(nl) == {
        90: (A, "net/two/eth0"),
        **dict.fromkeys((80, 81, 82), (B, "net1/one/eth0")),
    }
    assert near(nl) == {A, B}
    assert PATIENT.records(nl, owners[1]) == [(80, B), (82, B), (81, B)]
    # Whoever keeps less than before passes on as well; the rest stays.
    PATIENT.give(nl, owners[1], [(80, B)])
    assert ports(nl) == {
        90: (A, "net/two/eth0"),
        80: (B, "net1/one/eth0"),
        81: (A, "net3/one/eth0"),
    }
    PATIENT.remove(nl, owners[2])
    assert dump(nl, PLACES) == []
    PATIENT.remove(nl, owners[1])
    assert near(nl) == {A}
    PATIENT.remove(nl, everyone[0])
    PATIENT.remove(nl, owners[3])
    for one in (PORTS, NEAR, PLACES, PATIENT.owners, PATIENT.holders):
        assert dump(nl, one) == []


def test_strangers_are_those_of_the_group_that_are_not_kept(nl: Netfilter) -> None:
    long = Owner("net/" + "x" * 150 + "/eth0")
    for port, owner in enumerate((ONE, TWO, long, Owner("net2/one/eth0"), Owner("ne/t/eth0"))):
        REGISTRY.give(nl, owner, [(port + 1, A), (port + 11, A)])
    found = REGISTRY.strangers(nl, "net", [ONE.name])
    assert {one.member for one in found} == {TWO.member, long.member}
    for one in found:
        REGISTRY.remove(nl, one)
    assert set(ports(nl)) == {1, 11, 4, 14, 5, 15}
    assert REGISTRY.strangers(nl, "net", [ONE.name]) == []
    assert REGISTRY.strangers(nl, "nothing", []) == []


def test_owners_cut_short_are_told_apart(nl: Netfilter) -> None:
    first, second = (Owner("net/" + "x" * 190 + end + "/eth0") for end in "ab")
    REGISTRY.give(nl, first, [(80, A)])
    assert REGISTRY.records(nl, second) == []
    with pytest.raises(TakenError):
        REGISTRY.give(nl, second, [(80, A)])


def test_without_the_table_there_is_nothing(host: Host) -> None:
    with Netfilter() as nl:
        assert REGISTRY.remove(nl, ONE) == []
        assert REGISTRY.records(nl, ONE) == []
        assert REGISTRY.strangers(nl, "net", []) == []


WISHES = st.lists(
    st.tuples(
        st.sampled_from(["net/a/e", "net/b/e", "other/a/e"]),
        st.lists(st.tuples(st.integers(1, 3), st.sampled_from([A, B])), max_size=3),
    ),
    max_size=8,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wishes=WISHES)
def test_whatever_the_order_the_elements_are_those_of_the_owners(
    wishes: list[tuple[str, list[tuple[int, IPv4Address]]]], nl: Netfilter
) -> None:
    held: dict[str, dict[int, IPv4Address]] = {}
    for name, wish in wishes:
        mine = dict(wish)
        others = {port for other, theirs in held.items() if other != name for port in theirs}
        try:
            REGISTRY.give(nl, Owner(name), list(mine.items()))
        except TakenError:
            assert others & set(mine)
            continue
        assert not others & set(mine)
        held[name] = mine
        assert ports(nl) == {p: (a, name) for name, own in held.items() for p, a in own.items()}
        assert near(nl) == {a for own in held.values() for a in own.values()}
    for name in held:
        REGISTRY.remove(nl, Owner(name))
    for one in (PORTS, NEAR, REGISTRY.owners, REGISTRY.holders):
        assert dump(nl, one) == []


def test_ten_at_once(host: Host, nl: Netfilter) -> None:
    won: list[int] = []

    def attempt(number: int) -> None:
        host.enter()
        with Netfilter() as own:
            owner = Owner(f"net/c{number}/eth0")
            for turn in range(5):
                REGISTRY.give(own, owner, [(100 + number, A), (200 + number, B)])
                if turn < 4:
                    REGISTRY.remove(own, owner)
            try:
                REGISTRY.give(own, owner, [(80, A)])
                won.append(number)
            except TakenError:
                pass

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(10)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(won) == 1
    assert set(ports(nl)) == {80} | {n + x for n in range(10) if n not in won for x in (100, 200)}
    for number in range(10):
        REGISTRY.remove(nl, Owner(f"net/c{number}/eth0"))
    assert get(nl, Element(NEAR, (A,))) is None
    assert dump(nl, REGISTRY.holders) == []
