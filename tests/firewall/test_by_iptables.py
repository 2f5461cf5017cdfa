"""The iptables backend, by both iptables: policies, the reference's rules, and changing suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, NOT_AVAILABLE
from hostnet import nft, spawn
from tests.firewall.conftest import Guarded, World, answers, elements
from tests.kit import iptables
from tests.kit.calls import Document, PluginError
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from wiring import backend, xtables

YES, NO = (True, True), (False, False)
OURS = xtables.own_chain("net-br0/c1/eth0")


@pytest.fixture(params=iptables.VARIANTS)
def tables(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HostTables:
    iptables.share(host)
    # What all containers share stays, as with the reference.
    host.share("nft chain ip* filter CNI-*", "nft chain ip* filter MINE", "nft rule ip* filter *")
    made = HostTables(host, tmp_path, request.param)
    made.install(monkeypatch)
    return made


@pytest.fixture
def world(tables: HostTables, world: World) -> World:
    return world


def add(one: Guarded, policy: str = "", **keys: Any) -> Document:
    return one.add(policy, backend="iptables", **keys)


def own(tables: HostTables) -> list[str]:
    """What is there of containers and their bridges, beside what they share."""
    return [
        one
        for one in tables.of_cni()
        if "CNI-FW-" in one or "10.1." in one or "fd00:1" in one or "-i br" in one or "-o br" in one
    ]


def old(one: Guarded, policy: str = "") -> Document:
    """The config as Debian's version of the reference knows it."""
    config = one.config(policy, cniVersion="1.0.0", backend="iptables")
    config["prevResult"] = {**one.result(), "cniVersion": "1.0.0"}
    return config


@pytest.mark.parametrize("policy", ["open", "same-bridge"])
def test_the_references_rules(policy: str, tables: HostTables, world: World) -> None:
    one = world.on("br0")
    tables.reference("ADD", old(one, policy), str(one.ns))
    theirs = tables.of_cni()
    add(one, policy)
    # They count as ours, but for what is kept apart, which goes with the last container.
    added = [rule for rule in tables.of_cni() if rule not in theirs]
    assert all("CNI-FW-" in rule or "DNAT" in rule or "pycni" in rule for rule in added)
    one.delete()
    kept = [rule for rule in theirs if " -i br0 " in rule or " -o br0 " in rule]
    assert own(tables) == [rule for rule in kept if "-A" in rule]
    # Without them before, they are what the reference makes, in its order.
    for version in (4, 6):
        tables.run("-F", version=version)
    add(one, policy)
    mine = [
        rule.replace("; pycni)", ")")
        for rule in tables.of_cni()
        if "CNI-FW-" not in rule and "ctstate DNAT" not in rule
    ]
    assert sorted(mine) == sorted(theirs)
    hooks = [rule for rule in mine if rule.startswith("-A FORWARD")]
    assert hooks == [rule for rule in theirs if rule.startswith("-A FORWARD")]
    one.delete()


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("open", "open", YES),
        ("same-bridge", "same-bridge", NO),
        ("isolated", "same-bridge", NO),
        ("same-bridge", "open", YES),
    ],
)
def test_between_bridges(
    here: str, there: str, expected: tuple[bool, ...], tables: HostTables, world: World
) -> None:
    one, other = world.on("br0"), world.on("br1")
    configs = [add(one, here), add(other, there)]
    assert "pycni" not in nft.run("list tables")
    assert one.reaches(other) == other.reaches(one) == expected
    for address in one.ips:
        assert answers(world.client, one.ns, address)
    for each, config in zip((one, other), configs, strict=True):
        each.check(config)
        each.delete()
    assert own(tables) == []
    assert one.reaches(other) == other.reaches(one) == YES


def test_isolated_on_one_bridge(tables: HostTables, world: World) -> None:
    # As with the reference, that is for what meets the host's filter.
    world.show_bridged_packets(True)
    one, two = world.on("br0"), world.on("br0")
    add(one, "isolated")
    add(two, "isolated")
    assert one.reaches(two) == two.reaches(one) == NO
    add(one, "same-bridge")
    assert one.reaches(two) == NO  # The bridge is what is isolated, by the other one.
    two.delete()
    for each in (one, two):
        each.forget_neighbours()
    assert one.reaches(two) == YES
    one.delete()
    assert own(tables) == []


def test_a_network_is_apart_until_its_last_container_goes(tables: HostTables, world: World) -> None:
    one, two, other = world.on("br0"), world.on("br0"), world.on("br1")
    for each in (one, two, other):
        add(each, "same-bridge")
    one.delete()
    assert one.reaches(other) == NO
    two.delete()
    assert one.reaches(other) == YES
    other.delete()
    assert own(tables) == []


def test_again_and_others_in_their_place(tables: HostTables, world: World) -> None:
    one = world.on("br0")
    add(one, "isolated")
    before = tables.of_cni()
    one.check(add(one, "isolated"))
    assert tables.of_cni() == before
    result = {**one.result(), "ips": [{"interface": 2, "address": "10.1.0.77/24"}]}
    config = add(one, prevResult=result)
    rules = tables.rules()
    assert not any("10.1.0.2/32" in rule or "-i br0" in rule for rule in rules)
    assert len([rule for rule in rules if "10.1.0.77/32" in rule]) == 4
    one.check(config)
    one.delete()
    # Of the other version only, which the second ADD did not ask for, nothing stays either.
    assert own(tables) == []


def test_rules_of_users(tables: HostTables, world: World) -> None:
    one = world.on("br0")
    add(one)
    tables.run("-A", "CNI-ADMIN", "-s", "10.2.0.9", "-j", "DROP")
    assert not answers(world.client, one.ns, one.ips[0])
    assert answers(world.client, one.ns, one.ips[1])
    one.check(add(one, iptablesAdminChainName="MINE"))
    one.delete()
    assert "-A CNI-ADMIN -s 10.2.0.9/32 -j DROP" in tables.rules()


def test_the_reference_deletes_what_we_added(tables: HostTables, world: World) -> None:
    one = world.on("br0")
    add(one, "same-bridge")
    tables.reference("DEL", old(one, "same-bridge"), str(one.ns))
    left = [rule for rule in own(tables) if rule.startswith("-A CNI-FORWARD")]
    assert all("ctstate DNAT" in rule for rule in left)
    # What says whose it was, goes with the next GC.
    document = {"cniVersion": "1.1.0", "name": one.network, "type": "firewall"}
    world.runtime.gc(document, [])
    assert own(tables) == []


def test_we_delete_what_the_reference_added(tables: HostTables, world: World) -> None:
    one, two = world.on("br0"), world.on("br0")
    for each in (one, two):
        tables.reference("ADD", old(each), str(each.ns))
    both = own(tables)
    # Those rules name nobody: without the previous result there is no telling them apart.
    one.delete()
    assert own(tables) == both
    one.delete(prevResult=one.result())
    assert own(tables) == [
        rule for rule in both if one.ips[0] not in rule and one.ips[1] not in rule
    ]
    # An address that a container of ours has by now stays.
    add(one, prevResult=two.result())
    two.delete(prevResult=two.result())
    one.check(one.config(backend="iptables", prevResult=two.result()))
    one.delete()
    assert own(tables) == []


@pytest.mark.parametrize("named", ["iptables", ""])
@pytest.mark.parametrize("policy", ["open", "same-bridge"])
def test_check_knows_what_the_reference_added(
    policy: str, named: str, tables: HostTables, world: World
) -> None:
    """After a change of suites, whatever this host's backend is today."""
    one = world.on("br0")
    tables.reference("ADD", old(one, policy), str(one.ns))
    config = {**old(one, policy), "backend": named}
    one.check(config)
    chains = ["FORWARD", "CNI-FORWARD"]
    if policy == "same-bridge":
        chains += ["CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"]
        with pytest.raises(PluginError, match="-o br0" if named else None):
            one.check({**config, "ingressPolicy": "isolated"})
    for chain in chains:
        saved = world.host.command(f"iptables-{tables.variant}-save").stdout
        tables.run("-F", chain)
        with pytest.raises(PluginError) as error:
            one.check(config)
        assert error.value.code == CHECK_FAILED
        world.host.command(f"iptables-{tables.variant}-restore", stdin=saved)
        one.check(config)
    one.delete(prevResult=one.result())


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("-F", "FORWARD"), "chain FORWARD of the iptables table filter lacks"),
        (("-F", "CNI-FORWARD"), "chain CNI-FORWARD of the iptables table filter lacks"),
        (("-D", "CNI-FORWARD", "3"), "lacks `-s 10.1.0.2/32 -j ACCEPT`"),
        (("-F", "CNI-ISOLATION-STAGE-1"), "lacks `-i br0 ! -o br0"),
        (("-F", "CNI-ISOLATION-STAGE-2"), "lacks `-o br0"),
        (("-F", OURS), "lacks `-s 10.1.0.2/32 -i br0 -o br0"),
    ],
)
def test_each_deviation_fails_check_and_add_mends_it(
    command: tuple[str, ...], problem: str, tables: HostTables, world: World
) -> None:
    one = world.on("br0")
    config = add(one, "isolated")
    tables.run(*command)
    with pytest.raises(PluginError) as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    assert problem in error.value.msg
    add(one, "isolated")
    one.check(config)
    one.delete()
    assert own(tables) == []


def test_gc(tables: HostTables, world: World) -> None:
    one, two, other = world.on("br0"), world.on("br0"), world.on("br1")
    for each in (one, two, other):
        add(each, "same-bridge")
    document = {"cniVersion": "1.1.0", "name": "net-br0", "type": "firewall"}
    world.runtime.gc(document, [("c1", "eth0"), ("c2", "eth1")])
    one.check(one.config("same-bridge", backend="iptables"))
    other.check(other.config("same-bridge", backend="iptables"))
    assert not any(two.ips[0] in rule for rule in tables.rules())
    world.runtime.gc(document, [])
    assert not any("br0" in rule for rule in tables.of_cni())
    world.runtime.gc({**document, "name": "net-br1"}, [])
    assert own(tables) == []


def test_where_nothing_is_no_program_is_run(
    tables: HostTables, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = world.on("br0"), world.on("br0")
    tables.reference("ADD", old(two), str(two.ns))
    with monkeypatch.context() as patch:
        patch.setattr(spawn, "run", None)
        one.delete()
        one.delete(prevResult=one.result())
    two.delete(prevResult=two.result())
    assert own(tables) == []


def test_the_host_chooses(
    tables: HostTables, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = world.on("br0"), world.on("br0")
    file = world.host.state.parent / "pycni.json"
    monkeypatch.setattr(backend, "FILE", str(file))
    first = one.add("same-bridge")
    file.write_text('{"backend": "iptables"}')
    second = two.add("same-bridge")
    assert any(two.ips[0] in rule for rule in tables.rules())
    assert not any(f"{one.ips[0]}/" in rule for rule in tables.rules())
    for _ in range(2):
        one.check(first)
        two.check(second)
        file.unlink(missing_ok=True)
    one.delete()
    two.delete()
    assert own(tables) == []
    assert elements() == ""


def test_a_program_that_fails(tables: HostTables, world: World) -> None:
    one = world.on("br0")
    (tables.path / "ip6tables-restore").unlink()
    (tables.path / "ip6tables-restore").symlink_to("/bin/false")
    with pytest.raises(PluginError, match="cannot change the rules of ip6tables"):
        add(one, "same-bridge")
    assert own(tables) == []


def test_a_host_without_iptables(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = world.on("br0")
    monkeypatch.setattr(spawn, "DIRECTORIES", ("/nowhere",))
    with pytest.raises(PluginError, match="is not installed; install iptables"):
        add(one)
    with pytest.raises(PluginError, match=r"an ADD would fail: .*not installed") as error:
        world.runtime.status(one.config(backend="iptables"))
    assert error.value.code == NOT_AVAILABLE
    one.delete()
