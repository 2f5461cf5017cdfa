"""UDP flows that began before a port was published, or before it was taken back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.namespace import Namespace
from tests.kit.traffic import EchoServer
from tests.portmap.conftest import CLIENT, GATEWAY, UPLINK, Container, World, elements


def dns(port: int = 5353, **keys: Any) -> dict[str, Any]:
    return {"hostPort": port, "containerPort": 53, "protocol": "UDP", **keys}


class Talker:
    """A client that keeps one socket, and so one flow, as a resolver or a game does."""

    def __init__(self, ns: Namespace, source: tuple[str, int], to: tuple[str, int]) -> None:
        family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
        self._socket = ns.run(socket.socket, family, socket.SOCK_DGRAM)
        self._socket.bind(source)
        self._socket.connect(to)
        self._socket.settimeout(0.3)

    def ask(self) -> str:
        """Who answers; "nobody" if nobody does."""
        try:
            self._socket.send(b"x")
            return self._socket.recv(99).decode().split()[0]
        except OSError:
            return "nobody"

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def talkers() -> Iterator[list[Talker]]:
    made: list[Talker] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture(params=["by address", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to forget flows, of which the number of ports and addresses decides."""
    if request.param == "one by one":
        monkeypatch.setattr("cni_portmap.flows._MANY", 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("family", "single"), [(0, False), (0, True), (1, False), (1, True)])
def test_a_flow_that_was_there_before(
    family: int, single: bool, one: Container, two: Container, talkers: list[Talker]
) -> None:
    world = one.world
    talker = Talker(world.client, (CLIENT[family], 4000), (UPLINK[family], 5353))
    talkers.append(talker)
    assert talker.ask() == "nobody"
    with (
        EchoServer(one.ns, one.ips[family], 53, "udp", "one"),
        EchoServer(two.ns, two.ips[family], 53, "udp", "two"),
    ):
        mapping = dns(hostIP=UPLINK[family]) if single else dns()
        one.add(mapping)
        assert talker.ask() == "one"
        # Without a DEL's forgetting it would go on to `one`.
        one.delete()
        assert talker.ask() == "nobody"
        two.add(mapping)
        assert talker.ask() == "two"
        # The same ADD again breaks nothing.
        two.add(mapping)
        assert talker.ask() == "two"
    two.delete()
    assert elements() == ""


@pytest.mark.usefixtures("way")
def test_other_flows_on_that_port_survive(
    world: World, one: Container, two: Container, talkers: list[Talker]
) -> None:
    ports = range(5353, 5363)
    with (
        EchoServer(two.ns, two.ips[0], 5353, "udp", "transit"),
        EchoServer(world.client, CLIENT[0], 5353, "udp", "out"),
        EchoServer(one.ns, one.ips[0], 53, "udp", "one"),
    ):
        # Through the host to `two`; from the host out to a resolver; and one at a single address.
        talkers += [
            Talker(world.client, (CLIENT[0], 4001), (two.ips[0], 5353)),
            Talker(world.host, (UPLINK[0], 4002), (CLIENT[0], 5353)),
            Talker(world.client, (CLIENT[0], 4003), (UPLINK[0], 5300)),
        ]
        two.add(dns(5300, hostIP=UPLINK[0], containerPort=5353))
        assert [each.ask() for each in talkers] == ["transit", "out", "transit"]
        before = tracked(world)
        assert {4001, 4002, 4003} <= set(before)
        one.add(*map(dns, ports))
        one.delete()
        after = tracked(world)
        assert [after[port] for port in (4001, 4002, 4003)] == [
            before[port] for port in (4001, 4002, 4003)
        ]
        assert [each.ask() for each in talkers] == ["transit", "out", "transit"]
    two.delete()


def tracked(world: World) -> dict[int, str]:
    """The id of each tracked UDP flow, by the source port of its original direction."""
    text = world.host.command("conntrack", "-L", "-p", "udp", "-o", "id").stdout
    found = {}
    for line in text.splitlines():
        words = dict(word.split("=") for word in reversed(line.split()) if "=" in word)
        found[int(words["sport"])] = words["id"]
    return found


def test_tcp_flows_stay(world: World, one: Container) -> None:
    one.add({"hostPort": 5353, "containerPort": 53})
    with (
        EchoServer(one.ns, one.ips[0], 53),
        world.client.run(socket.create_connection, (UPLINK[0], 5353)) as stream,
    ):
        stream.settimeout(2)
        stream.send(b"before")
        assert stream.recv(99).endswith(b"before")
        one.delete()
        stream.send(b"after")
        assert stream.recv(99).endswith(b"after")


def test_a_killed_del_is_finished_by_the_next(
    world: World, one: Container, talkers: list[Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    talker = Talker(world.client, (CLIENT[0], 4000), (UPLINK[0], 5353))
    talkers.append(talker)
    with EchoServer(one.ns, one.ips[0], 53, "udp", "one"):
        one.add(dns())
        assert talker.ask() == "one"

        def killed(*_args: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("cni_portmap.ownership.take_back", killed)
            with pytest.raises(KeyboardInterrupt):
                one.delete()
        # Still published, so it goes on; and the owner is on record.
        assert talker.ask() == "one"
        one.delete()
        assert talker.ask() == "nobody"
    assert elements() == ""


def test_a_flow_from_the_host_itself(world: World, one: Container, talkers: list[Talker]) -> None:
    talker = Talker(world.host, (GATEWAY[0], 4000), (UPLINK[0], 5353))
    talkers.append(talker)
    with EchoServer(one.ns, one.ips[0], 53, "udp", "one"):
        assert talker.ask() == "nobody"
        one.add(dns())
        # What the host asked itself was refused by its own ICMP: a socket error is pending once.
        assert "one" in (talker.ask(), talker.ask())
        one.delete()
        assert talker.ask() == "nobody"
