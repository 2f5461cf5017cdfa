"""A table as it must be: every way in which it can be otherwise is named, and mended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.nfelement import Map
from hostnet.nftable import Chain, Table, rules
from tests.kit.host import Host

NAME = "test"
MEMBERS = Map(NAME, "members", "ipv4_addr")
TABLE = Table(
    NAME,
    [MEMBERS],
    [
        Chain("open"),
        Chain("plain", [("jump", "jump open"), ("all", "accept")]),
        Chain(
            "postrouting",
            [("one", "ip saddr @members jump plain"), ("two", "ip daddr 10.0.0.0/8 accept")],
            kind="nat",
            hook="postrouting",
            priority=100,
        ),
    ],
)
SWAPPED = """\
flush chain inet test plain
add rule inet test plain jump open comment "all"
add rule inet test plain accept comment "jump"
"""
HOOKED = f"add chain inet {NAME} postrouting {{ type nat hook postrouting priority"


@pytest.fixture
def nl(host: Host) -> Iterator[Netfilter]:
    with Netfilter() as made:
        assert TABLE.ensure(made)
        yield made
    nft.run(f"delete table inet {NAME}")


def test_what_is_right_is_left_alone(nl: Netfilter) -> None:
    assert TABLE.problems(nl) == []
    before = nl.generation()
    assert not TABLE.ensure(nl)
    assert nl.generation() == before


def test_elements_and_open_chains_survive_mending(nl: Netfilter) -> None:
    nft.run(
        f"add element inet {NAME} members {{ 10.0.0.1 }}\n"
        f'add rule inet {NAME} open accept comment "mine"\n'
        f"flush chain inet {NAME} plain"
    )
    assert TABLE.ensure(nl)
    assert "10.0.0.1" in nft.run(f"list set inet {NAME} members")
    assert rules(nl, NAME, "open") == ["mine"]
    assert TABLE.problems(nl) == []


@pytest.mark.parametrize(
    ("mutation", "problem"),
    [
        (f"delete table inet {NAME}", "table inet test is missing"),
        (f"flush chain inet {NAME} postrouting", "postrouting .* lacks its rules 'one', 'two'"),
        (
            f"insert rule inet {NAME} postrouting accept",
            "postrouting .* rules of somebody else: ''",
        ),
        (f"add rule inet {NAME} plain drop comment evil", "plain .* of somebody else: 'evil'"),
        (
            SWAPPED,
            "plain .* another order",
        ),
        (
            f"delete chain inet {NAME} postrouting\ndelete chain inet {NAME} plain",
            "chain plain of the nftables table inet test is missing",
        ),
    ],
)
def test_each_deviation_is_named_and_mended(mutation: str, problem: str, nl: Netfilter) -> None:
    nft.run(mutation)
    assert any(_matches(problem, one) for one in TABLE.problems(nl)), TABLE.problems(nl)
    assert TABLE.ensure(nl)
    assert TABLE.problems(nl) == []


@pytest.mark.parametrize(
    ("mutation", "problem"),
    [
        (f"{HOOKED} 101; }}", "postrouting .* is not at the hook postrouting, priority 100"),
        (f"{HOOKED} 100; policy drop; }}", "postrouting .* has another policy than accept"),
        (f"add chain inet {NAME} postrouting", "postrouting .* not at the hook"),
    ],
)
def test_a_chain_at_another_hook_is_named(mutation: str, problem: str, nl: Netfilter) -> None:
    text = [line for line in TABLE.commands.splitlines() if " postrouting " in line]
    rest = [line for line in text if line.startswith("add rule")]
    again = [f"delete chain inet {NAME} postrouting", mutation, *rest]
    nft.run("\n".join(again))
    assert any(_matches(problem, one) for one in TABLE.problems(nl)), TABLE.problems(nl)


def test_a_dormant_table_is_named(nl: Netfilter) -> None:
    nft.run(f"add table inet {NAME} {{ flags dormant; }}")
    assert TABLE.problems(nl) == ["the nftables table inet test is dormant"]


def test_more_commands_come_with_it_in_one_transaction(nl: Netfilter) -> None:
    nft.run(f"flush chain inet {NAME} plain")
    with pytest.raises(nft.NftError):
        TABLE.ensure(nl, lambda: f"add rule inet {NAME} open jump nowhere")
    assert rules(nl, NAME, "plain") == []
    assert TABLE.ensure(nl, lambda: f'add rule inet {NAME} open accept comment "more"')
    assert rules(nl, NAME, "plain") == ["jump", "all"]
    assert rules(nl, NAME, "open") == ["more"]


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None
