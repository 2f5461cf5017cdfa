"""A container that publishes the same ports on several networks: one has them, the others wait."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from cni.errors import CHECK_FAILED, PORT_TAKEN
from hostnet import nft
from hostnet.netfilter import Netfilter
from hostnet.netlink import NetlinkError
from tests.kit.calls import Document, PluginError
from tests.kit.faults import Fault, with_fault
from tests.kit.traffic import EchoServer, ask
from tests.portmap.conftest import (
    CLIENT,
    GATEWAY,
    TABLE,
    UPLINK,
    Container,
    World,
    elements,
    listed,
)

UDP: dict[str, Any] = {"hostPort": 5353, "containerPort": 53, "protocol": "udp"}
SOMEBODY_ELSES = f"""
flush map inet {TABLE} any4
add element inet {TABLE} any4 {{ tcp . 8080 comment "n/c9/e" : 10.1.0.9 . 80 }}
"""
CONDITIONS = ["ip saddr != 192.0.2.1"]


class Attachment:
    """The container `c1` on a network `netN`, at its own address 10.1.0.5N."""

    def __init__(self, one: Container, number: int) -> None:
        self.network = f"net{number}"
        self.ifname = f"eth{number}"
        self.address = f"10.1.0.{50 + number}"
        self._one = one
        one.ns.command("ip", "address", "add", f"{self.address}/24", "dev", "eth0")

    def config(self, *mappings: Any, **keys: Any) -> Document:
        result = self._one.result(f"{self.address}/24")
        result["interfaces"][1]["name"] = self.ifname
        return self._one.config(*mappings, name=self.network, prevResult=result, **keys)

    def add(self, *mappings: Any, **keys: Any) -> Document:
        """ADD; gives the config."""
        config = self.config(*mappings, **keys)
        self._one.runtime.add(config, ifname=self.ifname, netns=self._one.ns)
        return config

    def check(self, config: Document) -> None:
        self._one.runtime.call("CHECK", config, ifname=self.ifname, netns=self._one.ns)

    def delete(self) -> None:
        config = {"cniVersion": "1.1.0", "name": self.network, "type": "portmap"}
        self._one.runtime.delete(config, ifname=self.ifname)

    def gc(self) -> None:
        """GC of the network with no valid attachment."""
        self._one.runtime.gc({"cniVersion": "1.1.0", "name": self.network, "type": "portmap"}, [])


@pytest.fixture
def on(one: Container) -> list[Attachment]:
    """The first container on three networks."""
    return [Attachment(one, number) for number in range(3)]


class Servers:
    """A server at each attachment's address that says by which one it was reached."""

    def __init__(self, one: Container, on: list[Attachment], port: int = 80) -> None:
        self._servers = [EchoServer(one.ns, each.address, port, name=each.network) for each in on]

    def __enter__(self) -> None:
        for each in self._servers:
            each.__enter__()

    def __exit__(self, *error: Any) -> None:
        for each in self._servers:
            each.__exit__(*error)


def reached(world: World, port: int = 8080, address: str = UPLINK[0]) -> str:
    """Which network's address answers at the host's port."""
    try:
        return ask(world.client, address, port, seconds=0.3).server
    except OSError:
        return "nobody"


def test_whatever_the_order_it_answers_until_the_last(
    world: World, one: Container, on: list[Attachment]
) -> None:
    with Servers(one, on):
        for size in (2, 3):
            for order in permutations(on[:size]):
                for each in on[:size]:
                    each.add(8080, UDP)
                    assert reached(world) == "net0"
                left = on[:size]
                for each in order:
                    serving = reached(world)
                    each.delete()
                    left.remove(each)
                    assert f'"{each.network}/' not in listed()
                    # Who is not concerned by the DEL of another stays as it was.
                    stays = serving if serving != each.network else None
                    expected = stays or (left[0].network if left else "nobody")
                    assert reached(world) == expected
                assert elements() == ""


def test_what_is_passed_on_is_whole(world: World, one: Container, on: list[Attachment]) -> None:
    """From beyond the host, from itself, from localhost, and at both kinds of address."""
    single = {"hostPort": 9000, "containerPort": 80, "hostIP": UPLINK[0]}
    on[0].add(8080, single)
    on[1].add(8080, single)
    on[0].delete()
    fresh = listed()
    with Servers(one, on):
        assert ask(world.host, "127.0.0.1", 8080).server == "net1"
        assert ask(one.ns, UPLINK[0], 8080).server == "net1"
        assert reached(world, 9000) == "net1"
    on[1].delete()
    on[1].add(8080, single)
    assert fresh == listed()
    on[1].delete()
    assert elements() == ""


def test_there_is_no_moment_without_it(on: list[Attachment]) -> None:
    """The one transaction that removes the one makes the other."""
    on[0].add(8080)
    on[1].add(8080)
    with Netfilter() as nl:
        before = nl.generation()
        on[0].delete()
        assert nl.generation() == before + 1
    assert "10.1.0.51 . 80" in elements()
    on[1].delete()


def test_another_container_is_refused_by_whoever_has_it(
    two: Container, on: list[Attachment]
) -> None:
    def refused(mapping: Any, network: str) -> None:
        with pytest.raises(PluginError, match=f'container c1 on network "{network}"') as error:
            two.add(mapping)
        assert error.value.code == PORT_TAKEN

    on[0].add(8080)
    on[1].add(8080)
    for mapping in (8080, {"hostPort": 8080, "containerPort": 80, "hostIP": UPLINK[0]}):
        refused(mapping, "net0")
    on[0].delete()
    refused(8080, "net1")
    on[1].delete()
    two.add(8080)
    with pytest.raises(PluginError, match="container c2"):
        on[0].add(8080)
    two.delete()
    assert elements() == ""


@pytest.mark.parametrize("single_first", [False, True])
@pytest.mark.parametrize("gated", [None, "single", "all"])
def test_at_all_addresses_and_at_a_single_one(
    single_first: bool, gated: str | None, one: Container, two: Container, on: list[Attachment]
) -> None:
    """Two ports of one container: each answers, with its own conditions; another gets neither."""
    world = one.world
    single = {"hostPort": 8080, "containerPort": 80, "hostIP": UPLINK[0]}
    wanted = [(on[0], single, "single"), (on[1], 8080, "all")]
    with Servers(one, on):
        for each, mapping, which in reversed(wanted) if not single_first else wanted:
            unmet = {"conditionsV4": [f"ip saddr != {CLIENT[0]}"]} if which == gated else {}
            each.check(each.add(mapping, **unmet))
        assert reached(world) == ("nobody" if gated == "single" else "net0")
        assert reached(world, address=GATEWAY[0]) == ("nobody" if gated == "all" else "net1")
        for address in ("", *UPLINK[:1], *GATEWAY[:1]):
            with pytest.raises(PluginError, match="container c1"):
                two.add({**single, "hostIP": address})
        on[0].delete()
        assert reached(world) == ("nobody" if gated == "all" else "net1")
        on[0].add(single)
        on[1].delete()
        assert reached(world) == "net0"
        assert reached(world, address=GATEWAY[0]) == "nobody"
        two.add({**single, "hostIP": GATEWAY[0]})
        with pytest.raises(PluginError, match="container c2"):
            on[1].add(8080)
    two.delete()
    on[0].delete()
    assert elements() == ""


def test_the_same_add_again_changes_nothing(on: list[Attachment]) -> None:
    keys: dict[str, Any] = {"conditionsV4": CONDITIONS}
    for how in ({}, keys):
        on[0].add(8080, 8081)
        on[1].add(8080, 8081, **how)
        before = listed()
        on[1].add(8080, 8081, **how)
        assert listed() == before
        on[0].add(8080, 8081)
        assert listed() == before
        # With less than before, the rest is passed on; asked for again, it is waited for.
        on[0].add(8080)
        assert 'tcp . 8081 comment "net1/c1/eth1" : 10.1.0.51' in listed()
        on[0].add(8080, 8081)
        assert 'tcp . 8081 comment "net1/c1/eth1" : 10.1.0.51' in listed()
        # And who does not want it any more does not wait.
        on[1].add(8081, **how)
        on[0].delete()
        assert "8080" not in listed()
        on[1].delete()
        assert elements() == ""


@pytest.mark.parametrize("size", [122, 123])
def test_names_cut_short_in_comments(size: int, one: Container) -> None:
    """122 bytes of network and container are told apart whatever the interface; see README."""
    container = "c" * 60
    names = ["a" * (size - 60), "b" * (size - 60)]
    how: dict[str, Any] = {"container": container, "netns": one.ns}
    for _again in range(2):
        one.runtime.add(one.config(8080, name=names[0]), **how)
    second = one.config(8080, name=names[1])
    if size <= 122:
        one.runtime.add(second, **how)
        one.runtime.delete(one.config(name=names[0]), container=container)
        one.runtime.call("CHECK", second, **how)
    else:
        with pytest.raises(PluginError, match="host port 8080/tcp is taken"):
            one.runtime.add(second, **how)
    for name in names:
        one.runtime.delete(one.config(name=name), container=container)
    assert elements() == ""


def test_check_of_whoever_has_it_and_of_whoever_waits(on: list[Attachment]) -> None:
    has, waits = on[0].add(8080), on[1].add(8080, conditionsV4=CONDITIONS)
    on[0].check(has)
    on[1].check(waits)
    for damage, problem in (
        (f"flush set inet {TABLE} waiting", "8080/tcp is not in waiting of the nftables table"),
        (
            f"flush map inet {TABLE} any4",
            "8080/tcp, which another attachment of the container has, is missing in any4 of",
        ),
        (
            SOMEBODY_ELSES,
            'another attachment of the container has, belongs to "n/c9/e" in any4 of',
        ),
    ):
        nft.run(damage)
        with pytest.raises(PluginError) as error:
            on[1].check(waits)
        assert error.value.code == CHECK_FAILED
        assert problem in error.value.msg
        on[0].delete()
        nft.run(f"flush map inet {TABLE} any4")
        on[1].delete()
        assert elements() == ""
        on[0].add(8080)
        on[1].add(8080, conditionsV4=CONDITIONS)
        on[1].check(waits)
    on[0].delete()
    on[1].check(waits)
    on[1].delete()
    with pytest.raises(PluginError, match="is not published"):
        on[1].check(waits)
    assert elements() == ""


def test_an_add_mends_what_got_lost(on: list[Attachment]) -> None:
    configs = [each.add(8080) for each in on]
    nft.run(f"flush map inet {TABLE} any4")
    # Whoever comes first has it now; who had it before waits with its next ADD, or leaves.
    on[1].add(8080)
    for each, config in zip(on, configs, strict=True):
        each.add(8080)
        each.check(config)
    assert "10.1.0.51 . 80" in elements()
    nft.run(f"flush map inet {TABLE} any4")
    on[2].add(8080)
    on[1].delete()
    assert "10.1.0.52 . 80" in elements()
    on[2].delete()
    on[0].check(configs[0])
    on[0].delete()
    assert elements() == ""


def test_gc_passes_on(world: World, one: Container, on: list[Attachment]) -> None:
    with Servers(one, on):
        for each in on:
            each.add(8080)
        on[1].gc()
        assert reached(world) == "net0"
        on[0].gc()
        assert reached(world) == "net2"
        on[2].gc()
    assert elements() == ""


def test_gc_of_two_interfaces_on_one_network(one: Container) -> None:
    config = one.config(8080)
    for ifname in ("eth0", "eth1"):
        config["prevResult"]["interfaces"][1]["name"] = ifname
        one.runtime.add(config, ifname=ifname, netns=one.ns)
    one.runtime.gc(config, [("c1", "eth1")])
    assert 'comment "net/c1/eth1" : 10.1.0.2 . 80' in elements()
    one.runtime.gc(config, [])
    assert elements() == ""


def test_udp_flows_go_on_to_whoever_has_it_now(
    world: World, one: Container, on: list[Attachment]
) -> None:
    with (
        EchoServer(one.ns, on[0].address, 53, "udp", "net0"),
        EchoServer(one.ns, on[1].address, 53, "udp", "net1"),
        world.client.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as talker,
    ):
        talker.settimeout(1)
        talker.connect((UPLINK[0], UDP["hostPort"]))

        def answers() -> str:
            talker.send(b"x")
            return talker.recv(99).decode().split()[0]

        on[0].add(UDP)
        assert answers() == "net0"
        flow = world.host.command("conntrack", "-L", "-p", "udp", "-o", "id").stdout.split()[-1]
        on[1].add(UDP)
        # Whoever only waits disturbs no flow, neither coming nor going.
        assert answers() == "net0"
        on[1].delete()
        assert answers() == "net0"
        assert flow in world.host.command("conntrack", "-L", "-p", "udp", "-o", "id").stdout
        on[1].add(UDP)
        on[0].delete()
        assert answers() == "net1"
        on[1].delete()
    assert elements() == ""


def no_buffers() -> None:
    raise NetlinkError(errno.ENOBUFS, "test")


def kill() -> None:
    os._exit(9)


def _act(verb: str, each: Attachment) -> Callable[[], object]:
    if verb == "delete":
        return each.delete
    return lambda: each.add(8080, {**UDP, "hostIP": UPLINK[0]}, conditionsV4=CONDITIONS)


def _killed(at: int, act: Callable[[], object]) -> str:
    child = os.fork()
    if child == 0:
        with_fault(Fault("_send", at, kill), act)
        os._exit(0)
    end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert end in {0, 9}
    return "killed" if end else "untouched"


def _refused(method: str, at: int, act: Callable[[], object]) -> str:
    fault = Fault(method, at, no_buffers)
    try:
        with_fault(fault, act)
    except PluginError:
        return "refused"
    return "overcome" if fault.struck() else "untouched"


@pytest.mark.parametrize("verb", ["add", "delete"])
@pytest.mark.parametrize("fault", ["kill", "_send", "_receive"])
def test_a_fault_anywhere(verb: str, fault: str, on: list[Attachment]) -> None:
    """A call of the one that has the port fails while another waits, or of the one that comes."""
    first, second = on[0], on[1]
    failed = 0
    for at in range(1, 500):
        _act("add", first)()
        if verb == "delete":
            _act("add", second)()
        act = _act(verb, second if verb == "add" else first)
        ended = _killed(at, act) if fault == "kill" else _refused(fault, at, act)
        if ended == "refused" and verb == "add":
            assert "net1/" not in elements(), f"left after the fault at {at}"
        failed += ended in {"killed", "refused"}
        # Served by the one or by the other, whatever happened.
        served = elements()
        assert "tcp . 8080 comment" in served, f"not served after the fault at {at}"
        for each in (first, second) if at % 2 else (second, first):
            each.delete()
        assert elements() == "", f"left after the fault at {at}"
        if ended == "untouched":
            break
    assert failed > 10
