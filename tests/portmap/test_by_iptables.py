"""The iptables backend, by both iptables: packets, ownership, and containers that change suites."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, INVALID_CONFIG, NOT_AVAILABLE, PORT_TAKEN
from hostnet import nft, spawn
from tests.kit import iptables
from tests.kit.calls import Document, PluginError
from tests.kit.host import Host
from tests.kit.iptables import HostTables
from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer, ask
from tests.portmap.conftest import CLIENT, GATEWAY, UPLINK, Container, World
from tests.portmap.test_flows import Talker
from wiring import backend, xtables

WEB = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
DNS = {"hostPort": 5353, "containerPort": 53, "protocol": "udp", "hostIP": "10.2.0.1"}
CHAIN = xtables.chain("net", "c1", "DN-")


@pytest.fixture(params=iptables.VARIANTS)
def tables(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HostTables:
    iptables.share(host)
    # What all containers share stays, as with the reference.
    host.share("nft chain ip* nat CNI-HOSTPORT-*", "nft rule ip* nat *", "nft * ip raw *")
    made = HostTables(host, tmp_path, request.param)
    made.install(monkeypatch)
    return made


@pytest.fixture
def world(tables: HostTables, world: World) -> World:
    return world


def add(one: Container, *mappings: Any, **keys: Any) -> Document:
    return one.add(*mappings, backend="iptables", **keys)


def own(tables: HostTables) -> list[str]:
    """What is there of containers, beside what they share."""
    return [one for one in tables.of_cni() if "CNI-DN-" in one or "CNI-SN-" in one]


def by_chain(rules: list[str]) -> list[str]:
    return sorted(rules, key=lambda rule: rule.lstrip("-A :").split()[0])


def refused(ns: Namespace, address: str, port: int) -> bool:
    try:
        ask(ns, address, port, seconds=0.2)
    except OSError:
        return True
    return False


@pytest.mark.parametrize("keys", [{}, {"snat": False}], ids=str)
def test_the_references_rules(keys: dict[str, Any], tables: HostTables, one: Container) -> None:
    config = add(one, WEB, DNS, **keys)
    comment = ' -m comment --comment "net/c1/eth0"'
    mine = [
        [rule.replace(comment, "") for rule in tables.rules(version) if "GUARD" not in rule]
        for version in (4, 6)
    ]
    assert all(comment in "".join(tables.rules(version)) for version in (4, 6))
    one.delete()
    assert own(tables) == []
    old = {**config, "cniVersion": "1.0.0", "prevResult": {**one.result(), "cniVersion": "1.0.0"}}
    tables.reference("ADD", old, str(one.ns))
    theirs = [[rule for rule in tables.rules(version) if "GUARD" not in rule] for version in (4, 6)]
    # For IPv6 it asks for a port too that leads nowhere there, since its address is IPv4's.
    theirs[1].remove(next(rule for rule in theirs[1] if "--dports 5353" in rule))
    # Of each chain in this order; the chains are listed as they were made.
    for one_version, other in zip(mine, theirs, strict=True):
        assert by_chain(one_version) == by_chain(other)
    tables.reference("DEL", old, str(one.ns))


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_answered_from_everywhere(
    protocol: str, family: int, world: World, one: Container, two: Container
) -> None:
    add(one, {**WEB, "protocol": protocol})
    with EchoServer(one.ns, one.ips[family], 80, protocol, "one"):
        assert ask(world.client, UPLINK[family], 8080, protocol).client == CLIENT[family]
        assert ask(world.host, UPLINK[family], 8080, protocol).server == "one"
        for asker in (two.ns, one.ns):
            assert ask(asker, UPLINK[family], 8080, protocol).client == GATEWAY[family]
        assert ask(two.ns, one.ips[family], 80, protocol).client == two.ips[family]
        if family == 0:
            assert ask(world.host, "127.0.0.1", 8080, protocol).client == GATEWAY[0]
    one.delete()


def test_localhost_of_the_host_is_guarded(world: World, tables: HostTables, one: Container) -> None:
    add(one, {**WEB, "hostIP": "127.0.0.1"})
    one.ns.command("ip", "route", "add", "127.0.0.2/32", "via", GATEWAY[0])
    with EchoServer(world.host, "127.0.0.2", 7):
        assert refused(one.ns, "127.0.0.2", 7)
    rules = tables.rules()
    assert len([one for one in rules if "CNI-HOSTPORT-GUARD" in one]) == 4
    add(one, {**WEB, "hostIP": "127.0.0.1"})
    assert tables.rules() == rules
    one.delete()


def test_everything_masqueraded(world: World, tables: HostTables, one: Container) -> None:
    one.check(add(one, WEB, masqAll=True))
    for family in (0, 1):
        with EchoServer(one.ns, one.ips[family], 80):
            assert ask(world.client, UPLINK[family], 8080).client == GATEWAY[family]
    one.delete()
    assert own(tables) == []


def test_many_ports_and_others_in_their_place(tables: HostTables, one: Container) -> None:
    many = [{**WEB, "hostPort": port} for port in range(9000, 9020)]
    add(one, *many)
    entries = [rule for rule in tables.rules() if "--dports" in rule]
    assert [rule.count(",") for rule in entries] == [14, 4]
    before = tables.of_cni()
    one.check(add(one, *many))
    assert tables.of_cni() == before
    one.check(add(one, WEB))
    assert len([rule for rule in tables.rules() if "--dports 8080" in rule]) == 1
    assert not any("90" in rule for rule in own(tables) if "--dport" in rule)
    # Of one version only, the other's go.
    add(one, WEB, prevResult=one.result(one.four))
    assert not any("--to-destination [" in rule for rule in own(tables))
    one.delete()
    assert own(tables) == []


def test_conditions(world: World, tables: HostTables, one: Container) -> None:
    config = one.add(WEB, conditionsV4=["!", "-s", CLIENT[0]])
    assert "pycni" not in nft.run("list tables")
    with EchoServer(one.ns, one.ips[0], 80), EchoServer(one.ns, one.ips[1], 80):
        assert refused(world.client, UPLINK[0], 8080)
        assert not refused(world.client, UPLINK[1], 8080)
        assert not refused(world.host, UPLINK[0], 8080)
    one.check(config)
    tables.run("-t", "nat", "-F", "CNI-HOSTPORT-DNAT")
    with pytest.raises(PluginError, match=r"chain CNI-HOSTPORT-DNAT .* lacks") as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    one.delete()
    assert own(tables) == []
    with pytest.raises(PluginError, match='"conditionsV4": cannot change the rules') as error:
        one.add(WEB, conditionsV4=["--no-such-option"])
    assert error.value.code == INVALID_CONFIG
    assert own(tables) == []


def test_marks(world: World, tables: HostTables, one: Container) -> None:
    one.check(add(one, WEB, markMasqBit=5))
    text = "\n".join(tables.rules())
    assert "--set-xmark 0x20/0x20" in text
    assert "--mark 0x20/0x20 -j MASQUERADE" in text
    one.delete()
    for version in (4, 6):
        tables.run("-t", "nat", "-N", "MINE", version=version)
        tables.run("-t", "nat", "-A", "MINE", "-j", "MARK", "--or-mark", "0x20", version=version)
    one.check(one.add(WEB, externalSetMarkChain="MINE"))
    assert len([rule for rule in tables.rules() if rule.endswith("-j MINE")]) == 2
    with EchoServer(one.ns, one.ips[0], 80):
        assert ask(one.ns, UPLINK[0], 8080).client == GATEWAY[0]
    one.delete()
    for version in (4, 6):
        tables.run("-t", "nat", "-F", "MINE", version=version)
        tables.run("-t", "nat", "-X", "MINE", version=version)
    with pytest.raises(PluginError, match='"externalSetMarkChain": found "NOWHERE"') as error:
        one.add(WEB, externalSetMarkChain="NOWHERE")
    assert error.value.code == INVALID_CONFIG
    assert own(tables) == []


def test_a_port_has_one_owner(tables: HostTables, one: Container, two: Container) -> None:
    add(one, WEB, DNS)
    before = tables.of_cni()
    for wanted in (WEB, {**WEB, "hostIP": "10.2.0.1"}, DNS, {**DNS, "hostIP": ""}):
        with pytest.raises(
            PluginError, match=r"is taken: .* interface eth0 of container c1 on"
        ) as error:
            add(two, {**WEB, "hostPort": 9000}, wanted)
        assert error.value.code == PORT_TAKEN
        assert tables.of_cni() == before
    add(two, {**WEB, "protocol": "udp"}, {**DNS, "hostIP": "10.1.0.1"}, {**WEB, "hostPort": 80})
    one.delete()
    two.delete()
    # Of the reference's no interface is known.
    old = {
        **one.config(WEB, cniVersion="1.0.0"),
        "prevResult": {**one.result(), "cniVersion": "1.0.0"},
    }
    tables.reference("ADD", old, str(one.ns))
    with pytest.raises(PluginError, match='80, container c1 on network "net"; choose') as error:
        add(two, WEB)
    assert error.value.code == PORT_TAKEN
    one.delete()
    assert own(tables) == []


def test_a_port_of_the_other_backend(tables: HostTables, one: Container, two: Container) -> None:
    """On a host that was switched over, and of containers that the reference added."""
    for first, second in (("iptables", "nftables"), ("nftables", "iptables")):
        one.add(WEB, DNS, backend=first)
        for wanted in (WEB, {**DNS, "hostIP": ""}):
            with pytest.raises(PluginError, match=r"is taken: .*container c1 on") as error:
                two.add(wanted, backend=second)
            assert error.value.code == PORT_TAKEN
        two.add({**WEB, "hostPort": 81}, backend=second)
        two.delete()
        one.delete()
    assert own(tables) == []


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("verb", ["add", "delete"])
def test_killed_while_a_program_runs(
    verb: str, at: int, tables: HostTables, one: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program goes on, and DEL waits for it: it has the lock of the one that was killed."""
    if verb == "delete":
        add(one, WEB, DNS)
    run, count = spawn._wait, 0

    def strike(pid: int, path: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            os._exit(9)
        run(pid, path)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(spawn, "_wait", strike)
        add(one, WEB, DNS) if verb == "add" else one.delete()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    one.delete()
    assert own(tables) == []


def test_a_container_on_several_networks(world: World, tables: HostTables, one: Container) -> None:
    # The same port on both: the first has it, the second when the first has gone.
    add(one, WEB)
    one.ns.command("ip", "address", "add", "10.1.0.77/24", "dev", "eth0")
    again = {"name": "other", "prevResult": one.result("10.1.0.77/24")}
    config = add(one, WEB, **again)
    with (
        EchoServer(one.ns, one.ips[0], 80, name="first"),
        EchoServer(one.ns, "10.1.0.77", 80, name="second"),
    ):
        assert ask(world.client, UPLINK[0], 8080).server == "first"
        one.delete()
        assert ask(world.client, UPLINK[0], 8080).server == "second"
    one.check(config)
    one.delete("other")
    assert own(tables) == []


def test_two_interfaces_on_one_network(tables: HostTables, one: Container) -> None:
    add(one, WEB, DNS)
    alone = own(tables)
    second = {**one.config(DNS | {"hostPort": 54}, {**WEB, "hostPort": 81}, backend="iptables")}
    result = one.result("10.1.0.77/24")
    result["interfaces"][1]["name"] = "eth1"
    second["prevResult"] = result
    how: dict[str, Any] = {"container": "c1", "netns": one.ns, "ifname": "eth1"}
    one.runtime.add(second, **how)
    assert len(own(tables)) == len(alone) + 8
    one.runtime.call("CHECK", second, **how)
    one.runtime.delete(second, container="c1", ifname="eth1")
    assert sorted(own(tables)) == sorted(alone)
    one.check(one.config(WEB, DNS, backend="iptables"))
    one.delete()
    assert own(tables) == []


def test_the_reference_deletes_what_we_added(tables: HostTables, one: Container) -> None:
    config = add(one, WEB, DNS)
    old = {**config, "cniVersion": "1.0.0", "prevResult": {**one.result(), "cniVersion": "1.0.0"}}
    tables.reference("DEL", old, str(one.ns))
    assert own(tables) == []
    one.delete()


def test_we_delete_what_the_reference_added(tables: HostTables, one: Container) -> None:
    config = one.config(WEB, DNS, cniVersion="1.0.0")
    config["prevResult"] = {**one.result(), "cniVersion": "1.0.0"}
    tables.reference("ADD", config, str(one.ns))
    assert len(own(tables)) > 8
    # By nothing but its identity, as when runtimeConfig is lost: the reference leaves it then.
    one.delete(backend="nftables")
    assert own(tables) == []


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_we_delete_what_the_reference_added_before_0_7(
    verb: str, tables: HostTables, world: World, one: Container
) -> None:
    config = one.config(WEB, cniVersion="1.0.0")
    config["prevResult"] = {**one.result(), "cniVersion": "1.0.0"}
    tables.reference("ADD", config, str(one.ns))
    older = xtables.chain("net", "c1", "SN-")
    for command in (
        ("-N", "CNI-HOSTPORT-SNAT"),
        ("-N", older),
        ("-A", older, "-s", "127.0.0.1/32", "-d", one.ips[0], "-p", "tcp", "-j", "MASQUERADE"),
        ("-A", "CNI-HOSTPORT-SNAT", "-s", "127.0.0.1/32", "-j", older),
    ):
        tables.run("-t", "nat", *command)
    if verb == "DEL":
        one.delete()
    else:
        document = {"cniVersion": "1.1.0", "name": "net", "type": "portmap"}
        world.runtime.gc(document, [("c2", "eth0")])
    assert own(tables) == []
    assert tables.chain("CNI-HOSTPORT-SNAT") == []


@pytest.mark.parametrize("named", ["iptables", ""])
@pytest.mark.parametrize("keys", [{}, {"snat": False}, {"conditionsV4": ["-s", "10.2.0.0/16"]}])
def test_check_knows_what_the_reference_added(
    keys: dict[str, Any], named: str, tables: HostTables, one: Container
) -> None:
    """After a change of suites, whatever this host's backend is today."""
    config = one.config(WEB, DNS, cniVersion="1.0.0", **keys)
    config["prevResult"] = {**one.result(), "cniVersion": "1.0.0"}
    tables.reference("ADD", config, str(one.ns))
    config["backend"] = named
    one.check(config)
    for command, problem in (
        (("-D", CHAIN, str(len(tables.chain(CHAIN)))), "is not published"),
        (("-F", CHAIN), "is not published"),
        (("-F", "CNI-HOSTPORT-DNAT"), "lacks"),
        (("-F", "OUTPUT"), "lacks"),
    ):
        saved = tables.host.command(f"iptables-{tables.variant}-save").stdout
        tables.run("-t", "nat", *command)
        with pytest.raises(PluginError, match=problem if named else None) as error:
            one.check(config)
        assert error.value.code == CHECK_FAILED
        tables.host.command(f"iptables-{tables.variant}-restore", stdin=saved)
    more = one.config(WEB, DNS, 9000, **keys, backend=named)
    with pytest.raises(PluginError, match="9000/tcp is not published"):
        one.check(more)
    one.check(config)
    one.delete()
    assert own(tables) == []


def test_gc(world: World, tables: HostTables, one: Container, two: Container) -> None:
    for container, name in (("r1", "net"), ("r2", "net"), ("r1", "network")):
        config = one.config({**WEB, "hostPort": 9000}, cniVersion="1.0.0", name=name)
        config["prevResult"] = {**one.result(), "cniVersion": "1.0.0"}
        tables.reference("ADD", {**config, "_container": container}, str(one.ns))
    add(one, WEB)
    add(two, {**WEB, "hostPort": 81})
    add(one, {**WEB, "hostPort": 82}, name="network")
    document = {"cniVersion": "1.1.0", "name": "net", "type": "portmap"}
    world.runtime.gc(document, [("r1", "eth0"), ("c2", "eth0"), ("c1", "eth1")])
    left = {rule.split()[0][1:] for rule in own(tables) if rule.startswith(":")}
    assert left == {
        xtables.chain(*owner, "DN-")
        for owner in (("net", "r1"), ("network", "r1"), ("net", "c2"), ("network", "c1"))
    }
    world.runtime.gc(document, [])
    world.runtime.gc({**document, "name": "network"}, [])
    assert own(tables) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("-t", "nat", "-F", CHAIN), "port 0.0.0.0:8080/tcp is not published by chain CNI-DN-"),
        (("-t", "nat", "-D", CHAIN, "1"), "lacks `-s 10.1.0.0/24 -p tcp"),
        (("-t", "nat", "-F", "CNI-HOSTPORT-DNAT"), "chain CNI-HOSTPORT-DNAT of the iptables table"),
        (("-t", "nat", "-F", "CNI-HOSTPORT-MASQ"), "lacks `-m mark --mark 0x2000/0x2000"),
        (("-t", "nat", "-F", "CNI-HOSTPORT-SETMARK"), "chain CNI-HOSTPORT-SETMARK of"),
        (("-t", "nat", "-F", "PREROUTING"), "chain PREROUTING of the iptables table nat lacks"),
        (("-t", "nat", "-F", "OUTPUT"), "chain OUTPUT of the iptables table nat lacks"),
        (("-t", "nat", "-F", "POSTROUTING"), "chain POSTROUTING of the iptables table nat lacks"),
        (("-t", "raw", "-F", "PREROUTING"), "localhost is not guarded"),
        (("-t", "raw", "-D", "CNI-HOSTPORT-GUARD", "1"), "localhost is not guarded"),
    ],
)
def test_each_deviation_fails_check_and_add_mends_it(
    command: tuple[str, ...], problem: str, tables: HostTables, one: Container
) -> None:
    config = add(one, WEB, DNS)
    one.check(config)
    tables.run(*command)
    with pytest.raises(PluginError) as error:
        one.check(config)
    assert error.value.code == CHECK_FAILED
    assert problem in error.value.msg
    add(one, WEB, DNS)
    one.check(config)
    with pytest.raises(PluginError, match=r"port 10\.2\.0\.1:5353/udp is published and should"):
        one.check(one.config(WEB, backend="iptables"))
    one.delete()
    assert own(tables) == []


def test_flows_that_were_led_there(world: World, one: Container, two: Container) -> None:
    add(one, DNS)
    talker = Talker(world.client, (CLIENT[0], 4444), (UPLINK[0], 5353))
    with (
        EchoServer(one.ns, one.ips[0], 53, "udp", "one"),
        EchoServer(two.ns, two.ips[0], 53, "udp", "two"),
    ):
        assert talker.ask() == "one"
        one.delete()
        assert talker.ask() == "nobody"
        add(two, DNS)
        assert talker.ask() == "two"
    talker.close()
    two.delete()


def test_where_nothing_is_no_program_is_run(
    tables: HostTables, one: Container, two: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(two, WEB)
    with monkeypatch.context() as patch:
        patch.setattr(spawn, "run", None)
        one.delete()
    two.delete()


def test_the_host_chooses(
    tables: HostTables, one: Container, two: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = one.world.host.state.parent / "pycni.json"
    monkeypatch.setattr(backend, "FILE", str(file))
    one.add(WEB)
    file.write_text('{"backend": "iptables"}')
    config = two.add({**WEB, "hostPort": 81})
    assert len([rule for rule in own(tables) if ":80" in rule and "DNAT" in rule]) == 2
    # Each is checked as it was added, and goes as it came.
    one.check(one.config(WEB))
    two.check(config)
    file.unlink()
    two.check(config)
    one.delete()
    two.delete()
    assert own(tables) == []


def test_a_host_without_iptables(one: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "DIRECTORIES", ("/nowhere",))
    with pytest.raises(PluginError, match="is not installed; install iptables"):
        add(one, WEB)
    with pytest.raises(PluginError, match=r"no port could be published: .*not installed") as error:
        one.runtime.status(one.config(backend="iptables"))
    assert error.value.code == NOT_AVAILABLE
    one.delete()


def test_the_references_nftables_rules(world: World, one: Container) -> None:
    """Those of its nftables backend, which Debian's version has not: as its source lays them."""
    for family, address in (("ip", "10.1.0.2"), ("ip6", "[fd00:1::2]")):
        plain = address.strip("[]")
        daddr = "10.2.0.1" if family == "ip" else "fd00:2::1"
        nft.run(
            f"add table {family} cni_hostport\n"
            f"add chain {family} cni_hostport hostports\n"
            f"add chain {family} cni_hostport hostip_hostports\n"
            f"add chain {family} cni_hostport masquerading "
            "{ type nat hook postrouting priority 100; }\n"
            f"add rule {family} cni_hostport hostports tcp dport 8080 dnat to {address}:80 "
            'comment "c1"\n'
            f"add rule {family} cni_hostport hostports udp dport 53 dnat to {address}9:53 "
            'comment "c2"\n'.replace("]9", "9]")
            + f"add rule {family} cni_hostport hostip_hostports {family} daddr {daddr} udp "
            f'dport 53 dnat to {address}:53 comment "c1"\n'
            f"add rule {family} cni_hostport masquerading {family} saddr {plain} {family} daddr "
            f'{plain} masquerade comment "c1"\n'
        )

    def left() -> int:
        text = "".join(nft.run(f"list table {family} cni_hostport") for family in ("ip", "ip6"))
        assert text.count('comment "c2"') == 2
        return text.count('comment "c1"')

    assert left() == 6
    # On another network, with another address: the comment alone would tell it wrong.
    one.delete("other", prevResult=one.result("10.9.0.2/24"))
    assert left() == 6
    one.delete(prevResult=one.result(one.four))
    assert left() == 3
    one.delete()
    assert left() == 0
    for family in ("ip", "ip6"):
        nft.run(f"delete table {family} cni_hostport")
