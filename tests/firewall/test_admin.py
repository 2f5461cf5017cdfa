"""The chain with users' own rules: jumped to for all that is forwarded, and never touched."""

from __future__ import annotations

import pytest

from hostnet import nft
from tests.firewall.conftest import TABLE, World, answers, elements, listed
from tests.kit.calls import Runtime

pytestmark = pytest.mark.usefixtures("runtime")


def own(chain: str, rule: str) -> None:
    nft.run(f"add rule inet {TABLE} {chain} {rule}")


@pytest.mark.parametrize("chain", ["CNI-ADMIN", "MINE"])
def test_users_rules_are_obeyed_and_stay(chain: str, world: World, runtime: Runtime) -> None:
    one = world.on("br0")
    keys = {} if chain == "CNI-ADMIN" else {"iptablesAdminChainName": chain}
    config = one.add(**keys)
    assert answers(world.client, one.ns, one.ips[0])
    own(chain, 'ip daddr 10.1.0.2 tcp dport 7 drop comment "mine"')
    assert not answers(world.client, one.ns, one.ips[0])
    assert answers(world.client, one.ns, one.ips[1])
    one.check(config)
    # Neither another ADD, nor one that has to repair the table, nor DEL, nor GC touches them.
    one.add(**keys)
    nft.run(f"flush chain inet {TABLE} forward")
    one.add(**keys)
    nft.run(f"flush chain inet {TABLE} admin")
    one.add(**keys)
    one.check(config)
    assert not answers(world.client, one.ns, one.ips[0])
    one.delete()
    runtime.gc({"cniVersion": "1.1.0", "name": one.network, "type": "firewall"}, [])
    assert 'comment "mine"' in listed()
    assert elements() == ""


def test_several_networks_several_chains(world: World) -> None:
    one, two = world.on("br0"), world.on("br1")
    one.add()
    two.add(iptablesAdminChainName="MINE")
    one.add()
    text = listed()
    assert text.count('jump CNI-ADMIN comment "CNI-ADMIN"') == 1
    assert text.count('jump MINE comment "MINE"') == 1
    own("MINE", "ip saddr 10.2.0.9 drop")
    for each in (one, two):
        assert not answers(world.client, each.ns, each.ips[0])
        assert answers(world.client, each.ns, each.ips[1])
    one.delete()
    two.delete()


def test_accepted_by_users_it_is_let_through_all_the_same(world: World) -> None:
    # An accept ends this table's chain: what comes after must not be what lets packets through.
    one = world.on("br0")
    one.add()
    own("CNI-ADMIN", "accept")
    nft.run("add table inet theirs")
    nft.run(
        "add chain inet theirs forward { type filter hook forward priority 0; policy drop; }\n"
        "add rule inet theirs forward meta mark and 0x1000 != 0 accept"
    )
    assert answers(one.ns, world.client, "10.2.0.9")
    nft.run("delete table inet theirs")
    one.delete()
