"""Whose a host port is."""

from __future__ import annotations

import os
from typing import Any

import pytest

from cni.errors import PORT_TAKEN
from hostnet import nft
from tests.kit.calls import PluginError
from tests.kit.traffic import EchoServer, ask
from tests.portmap.conftest import TABLE, UPLINK, Container, World, elements, listed

WILD4, WILD6, BOTH = "0.0.0.0", "::", ""
A4, B4, A6 = "10.2.0.1", "10.1.0.1", "fd00:2::1"


def web(host: str = "", **keys: Any) -> dict[str, Any]:
    return {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": host, **keys}


def test_a_taken_port_names_its_owner(one: Container, two: Container) -> None:
    one.add(web())
    with pytest.raises(PluginError) as error:
        two.add(web(hostPort=8079), web())
    assert error.value.code == PORT_TAKEN
    assert error.value.msg == (
        'portmap on network "net": host port 8080/tcp is taken: it leads at all addresses to '
        '10.1.0.2:80, interface eth0 of container c1 on network "net"; choose another "hostPort" '
        'or "hostIP", or remove that container'
    )
    # Nothing of the second's is there, its other port neither.
    assert "8079" not in listed()
    assert "c2" not in listed()
    one.delete()
    assert elements() == ""


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (BOTH, BOTH, True),
        (BOTH, WILD4, True),
        (BOTH, WILD6, True),
        (WILD4, WILD6, False),
        (BOTH, A4, True),
        (BOTH, A6, True),
        (WILD4, A4, True),
        (WILD4, A6, False),
        (WILD6, A6, True),
        (WILD6, A4, False),
        (A4, A4, True),
        (A4, B4, False),
        (A4, A6, False),
        (A6, A6, True),
        (A4, "127.0.0.1", False),
        (A4, "::ffff:10.2.0.1", True),
    ],
)
def test_overlap(first: str, second: str, conflict: bool, one: Container, two: Container) -> None:
    for early, late in ((first, second), (second, first)):
        one.add(web(early))
        if conflict:
            with pytest.raises(PluginError, match="container c1") as error:
                two.add(web(late))
            assert error.value.code == PORT_TAKEN
        else:
            two.add(web(late))
            two.delete()
        one.delete()
        assert elements() == ""
        # And with the first one gone it is free.
        two.add(web(late))
        two.delete()


@pytest.mark.parametrize(
    "other", [web(protocol="udp"), web(protocol="sctp"), web(hostPort=8081)], ids=str
)
def test_another_protocol_or_port_is_another_port(
    other: dict[str, Any], one: Container, two: Container
) -> None:
    one.add(web())
    two.add(other)
    one.delete()
    two.delete()
    assert elements() == ""


def test_the_last_single_address_frees_the_port(one: Container, two: Container) -> None:
    one.add(web(A4), web(B4))
    two.add(web("127.0.0.1"))
    two.add(web("127.0.0.1"), web("127.0.0.2"))
    one.delete()
    with pytest.raises(PluginError, match=r"leads at 127\.0\.0\.[12] to 10\.1\.0\.3:80"):
        one.add(web())
    two.delete()
    one.add(web())
    one.delete()
    assert elements() == ""


def test_the_same_add_again_is_no_conflict_with_itself(world: World, one: Container) -> None:
    one.add(web(), web(A4, hostPort=9000))
    before = listed()
    one.add(web(), web(A4, hostPort=9000))
    assert listed() == before
    # As `podman network reload`, with another address; and with other ports.
    for keys in ({"prevResult": one.result("10.1.0.77/24")}, {}):
        one.add(web(), web(A4, hostPort=9000), **keys)
    one.add(web(A4), web(WILD4, hostPort=9000))
    one.add(web(BOTH))
    assert "9000" not in listed()
    with EchoServer(one.ns, one.ips[0], 80):
        assert ask(world.client, UPLINK[0], 8080).payload == "hello"
    one.delete()
    assert elements() == ""


def test_a_failed_add_leaves_what_the_attachment_had(one: Container, two: Container) -> None:
    one.add(web())
    two.add(web(hostPort=8081))
    before = listed()
    with pytest.raises(PluginError):
        one.add(web(hostPort=8081))
    assert listed() == before
    one.delete()
    two.delete()


def test_one_container_on_two_networks(world: World, one: Container) -> None:
    one.add(web())
    one.add(web(hostPort=8081), name="other")
    other = listed()
    one.delete()
    with EchoServer(one.ns, one.ips[0], 80):
        assert ask(world.client, UPLINK[0], 8081).payload == "hello"
        with pytest.raises(OSError, match=r"refused|timed out"):
            ask(world.client, UPLINK[0], 8080, seconds=0.2)
        # The two share what leads back to one container port, and the last one takes it away.
        assert ask(one.ns, UPLINK[0], 8081).payload == "hello"
    assert "other/c1/eth0" in other
    one.delete("other")
    assert elements() == ""


def test_two_interfaces_of_one_container(one: Container) -> None:
    one.add(web())
    second = one.config(web(hostPort=8081))
    second["prevResult"]["interfaces"][1]["name"] = "eth1"
    one.runtime.add(second, container="c1", ifname="eth1", netns=one.ns)
    one.delete()
    assert "net/c1/eth1" in elements()
    one.runtime.delete(second, container="c1", ifname="eth1")
    assert elements() == ""


def test_an_address_given_to_somebody_else_stays_theirs(world: World, one: Container) -> None:
    # The runtime forgot the DEL of `stale`, whose address `one` has now; it comes too late.
    stale = {"container": "stale", "netns": one.ns}
    config = one.config(web(hostPort=8081), web(A4, hostPort=9000))
    one.runtime.add(config, **stale)
    one.add(web(), web(B4, hostPort=9000))
    one.runtime.delete(config, container="stale")
    with EchoServer(one.ns, one.ips[0], 80):
        for asker in (world.client, one.ns):
            assert ask(asker, UPLINK[0], 8080).payload == "hello"
            assert ask(asker, B4, 9000).payload == "hello"
    one.delete()
    assert elements() == ""


def test_names_too_long_for_a_comment(one: Container) -> None:
    long = {"name": "n" * 150}
    for end in "ab":
        config = one.config(web(hostPort=8080 if end == "a" else 8081), **long)
        one.runtime.add(config, container="c" * 150 + end, netns=one.ns)
    clash = one.config(web(), **long)
    with pytest.raises(PluginError, match=r'of "nnnnn.*n…"'):
        one.runtime.add(clash, container="c" * 150 + "c", netns=one.ns)
    for end in "abc":
        one.runtime.delete(clash, container="c" * 150 + end)
    assert elements() == ""


def test_without_mappings_nothing_is_touched(world: World, one: Container) -> None:
    empty: list[Any] = [{}, {"portMappings": []}, {"portMappings": None}, None]
    for runtime_config in empty:
        one.add(runtimeConfig=runtime_config)
    one.delete()
    assert nft.run("list ruleset") == ""


def test_twenty_at_once_for_one_port(world: World, one: Container) -> None:
    children = []
    for number in range(20):
        child = os.fork()
        if child == 0:
            status = 2
            try:
                config = one.config(web(), web(A4, hostPort=9000 + number, protocol="udp"))
                one.runtime.add(config, container=f"p{number}", netns=one.ns)
                status = 0
            except PluginError as error:
                status = 1 if error.code == PORT_TAKEN else 2
            finally:
                os._exit(status)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(ends) == [0] + [1] * 19
    assert f"net/p{ends.index(0)}/eth0" in listed()
    for number in range(20):
        one.runtime.delete(one.config(), container=f"p{number}")
    assert elements() == ""
    assert TABLE in nft.run("list tables")


def test_twenty_at_once_each_its_own(world: World, one: Container) -> None:
    def churn(number: int) -> None:
        """ADD, CHECK and DEL again and again, as one container among many."""
        how: dict[str, Any] = {"container": f"p{number}", "netns": one.ns}
        # Single addresses of one port: what needs counting.
        config = one.config(web(f"127.0.1.{number}"), web(hostPort=9000 + number))
        for turn in range(3):
            result = one.runtime.add(config, **how)
            one.runtime.check(config, result, **how)
            if turn < 2:
                one.runtime.delete(config, container=f"p{number}")

    children = []
    for number in range(1, 21):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                churn(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 20
    for number in range(1, 21):
        with pytest.raises(PluginError, match=f"container p{number} "):
            one.add(web(hostPort=9000 + number))
        with pytest.raises(PluginError):
            one.add(web())
        one.runtime.delete(one.config(), container=f"p{number}")
    one.add(web())
    one.delete()
    assert elements() == ""
