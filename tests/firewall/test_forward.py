"""Hosts that drop what they forward: containers and published ports work, or an error says how."""

from __future__ import annotations

from pathlib import Path

import pytest

from cni.errors import IN_THE_WAY, NOT_AVAILABLE
from hostnet import nft, spawn
from tests.firewall.conftest import TABLE, Guarded, World, answers, elements
from tests.kit import iptables
from tests.kit.calls import PluginError
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from tests.kit.traffic import EchoServer, ask

CLIENT = ("10.2.0.9", "fd00:2::9")
UPLINK = ("10.2.0.1", "fd00:2::1")


@pytest.fixture(params=iptables.VARIANTS)
def tables(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HostTables:
    iptables.share(host)
    host.share("nft chain ip* filter CNI-*", "nft rule ip* filter *", "nft chain ip* filter MINE")
    host.share("nft * pycni_portmap *")
    host.share("nft table inet pycni_portmap")
    made = HostTables(host, tmp_path, request.param)
    made.install(monkeypatch)
    return made


def both(tables: HostTables, *args: str) -> None:
    for version in (4, 6):
        tables.run(*args, version=version)


def publish(one: Guarded) -> dict[str, object]:
    """ADD of portmap, behind firewall in the chain."""
    config = one.config(type="portmap")
    config["runtimeConfig"] = {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}
    one.runtime.add(config, container=one.name, netns=one.ns)
    return config


@pytest.mark.parametrize(
    ("shut", "backend"),
    [
        (("-P", "FORWARD", "DROP"), ""),
        (("-P", "FORWARD", "DROP"), "iptables"),
        (("-A", "FORWARD", "-j", "REJECT"), ""),
    ],
    ids=["drop", "drop, by iptables", "reject"],
)
def test_containers_and_published_ports(
    shut: tuple[str, ...], backend: str, tables: HostTables, world: World
) -> None:
    both(tables, *shut)
    one, other = world.on("br0"), world.on("br1")
    ports = publish(one)
    assert not answers(one.ns, world.client, CLIENT[0])
    configs = [each.add(backend=backend) for each in (one, other)]
    for version, (client, uplink) in enumerate(zip(CLIENT, UPLINK, strict=True)):
        # Out, and answers to it; by a published port from beyond; from another bridge.
        assert answers(one.ns, world.client, client)
        with EchoServer(one.ns, one.ips[version], 80):
            assert ask(world.client, uplink, 8080).payload == "hello"
        assert other.reaches(one)[version]
        # What nobody asked for stays out, as before.
        assert not answers(world.client, one.ns, one.ips[version])
    for each, config in zip((one, other), configs, strict=True):
        each.check(config)
        each.delete()
    assert not answers(one.ns, world.client, CLIENT[0])
    one.runtime.delete(ports, container=one.name)
    assert elements() == ""


def test_the_rule_of_the_host(tables: HostTables, world: World) -> None:
    one, two = world.on("br0"), world.on("br0")
    # As long as iptables drops nothing, nothing is there of it.
    one.add()
    assert tables.of_cni() == []
    both(tables, "-N", "CNI-ISOLATION-STAGE-1")
    both(tables, "-A", "FORWARD", "-j", "CNI-ISOLATION-STAGE-1")
    both(tables, "-P", "FORWARD", "DROP")
    two.add()
    rules = tables.rules()
    comment = '-m comment --comment "CNI firewall plugin rules" -j CNI-PASS'
    admin = '-m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN'
    assert [rule for rule in rules if rule.startswith("-A")] == [
        "-A FORWARD -j CNI-ISOLATION-STAGE-1",
        f"-A FORWARD {comment}",
        f"-A CNI-PASS {admin}",
        "-A CNI-PASS -m mark --mark 0x1000/0x1000 -j ACCEPT",
    ]
    # It serves those that were there before, and more of them add nothing.
    for each in (one, two):
        assert answers(each.ns, world.client, CLIENT[0])
    one.add()
    assert tables.rules() == rules
    # Another network's chain for rules of its own comes beside the first.
    one.add(iptablesAdminChainName="MINE")
    assert len([rule for rule in tables.rules() if rule.endswith("-j MINE")]) == 1
    tables.run("-A", "MINE", "-s", "10.1.0.2", "-j", "DROP")
    assert not answers(one.ns, world.client, CLIENT[0])
    assert answers(two.ns, world.client, CLIENT[0])
    # Flushed, it comes back with the next container.
    both(tables, "-F", "FORWARD")
    assert not answers(two.ns, world.client, CLIENT[0])
    two.add()
    assert answers(two.ns, world.client, CLIENT[0])
    one.delete()
    two.delete()


def test_nft_is_looked_at_without_a_program(
    tables: HostTables, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.on("br0")
    both(tables, "-P", "FORWARD", "DROP")
    one.add()
    if tables.variant == "nft":
        with monkeypatch.context() as patch:
            patch.setattr(spawn, "run", None)
            one.add()
    one.delete()


CHAIN = (
    "add table inet theirs\n"
    "add chain inet theirs forward { type filter hook forward priority 0; policy drop; }\n"
)
RULE = "add rule inet theirs forward "


@pytest.mark.parametrize(
    "rules",
    [
        "",
        f"{RULE}ct state established,related accept",
        f"{RULE}ct state invalid drop\n{RULE}counter",
        f"{RULE}ip saddr 192.0.2.1 drop",
    ],
)
def test_a_chain_that_is_certain_to_drop_everything(rules: str, world: World) -> None:
    one = world.on("br0")
    nft.run(CHAIN + rules)
    with pytest.raises(PluginError) as error:
        one.add()
    assert error.value.code == IN_THE_WAY
    assert "chain forward of the nftables table inet theirs drops what it does" in error.value.msg
    assert TABLE not in nft.run("list tables")
    with pytest.raises(PluginError, match="an ADD would fail: chain forward of") as error:
        world.runtime.status(one.config())
    assert error.value.code == NOT_AVAILABLE
    # What it says helps.
    command = error.value.msg.split("through: ")[1]
    assert command.startswith("nft insert rule inet theirs forward ")
    nft.run(command.removeprefix("nft "))
    one.check(one.add())
    world.runtime.status(one.config())
    assert answers(one.ns, world.client, CLIENT[0])
    assert answers(one.ns, world.client, CLIENT[1])
    one.delete()
    nft.run("delete table inet theirs")


@pytest.mark.parametrize(
    "rules",
    [
        f"{RULE}ip saddr 10.1.0.0/16 accept",
        f"{RULE}jump other",
        f"{RULE}iifname vmap {{ br0 : accept }}",
        f"{RULE}ct state {{ established, new }} accept",
        f"{RULE}ct state new accept",
    ],
)
def test_a_chain_whose_owner_may_know_containers(rules: str, world: World) -> None:
    one = world.on("br0")
    nft.run(f"{CHAIN}add chain inet theirs other\n{rules}")
    one.check(one.add())
    world.runtime.status(one.config())
    one.delete()
    nft.run("delete table inet theirs")


def test_dockers_own_table(world: World) -> None:
    one = world.on("br0")
    nft.run(
        "add table ip docker-bridges\n"
        "add chain ip docker-bridges filter-FORWARD "
        "{ type filter hook forward priority 0; policy drop; }\n"
        "add rule ip docker-bridges filter-FORWARD oifname vmap { docker0 : accept }\n"
    )
    with pytest.raises(PluginError, match="or start dockerd with --ip-forward-no-drop") as error:
        one.add()
    assert error.value.code == IN_THE_WAY
    # Of IPv6 it says nothing.
    result = {**one.result(), "ips": [{"interface": 2, "address": one.addresses[1]}]}
    one.add(prevResult=result)
    one.delete()
    nft.run("delete table ip docker-bridges")


def test_the_mark_ends_with_the_filters(world: World) -> None:
    one = world.on("br0")
    one.add()
    nft.run(
        "add table inet theirs\nadd set inet theirs seen { type mark; flags dynamic; }\n"
        "add chain inet theirs last { type filter hook postrouting priority 400; }\n"
        "add rule inet theirs last ip saddr 10.1.0.2 update @seen { meta mark }\n"
        "add chain inet theirs forward { type filter hook forward priority 0; }\n"
        "add rule inet theirs forward meta mark set mark or 0x20000\n"
    )
    assert answers(one.ns, world.client, CLIENT[0])
    # Others' bits stay.
    assert "elements = { 0x00020000 }" in nft.run("list set inet theirs seen")
    nft.run("delete table inet theirs")
    one.delete()
