"""What the underlay is like: switches that snoop, other MTUs, and hosts that do not belong.

Of multicast over a switch (measured with Linux's bridge):
- It works with snooping off, on without a querier (the switch then floods), and on with one.
- A querier of IGMPv2 whose query comes while a host joins delays its report by up to ten seconds:
  the kernel answers the query when its time has come, instead. IGMPv3 and MLDv2 do not.
- A port that loses its carrier loses its groups at the switch, and the host, whose device stays up,
  does not join anew by itself. Known MACs go on being reached; what is flooded is missed until the
  querier has asked and the host has answered, some ten seconds later.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.calls import PluginError
from tests.kit.frr import needs_frr
from tests.kit.probe import reaches, send_echo, wait_reach, wait_until
from tests.kit.underlay import Node, Underlay, batch
from tests.vxlan.across import ENGINES, Engine, Overlay, meet


@pytest.mark.parametrize("family", [4, 6])
def test_a_switch_that_sends_a_group_to_its_members_only(tmp_path: Path, family: int) -> None:
    engine = Engine("multicast", "l2", family)
    with Underlay(tmp_path, snooping=True) as underlay, Overlay(underlay, engine) as overlay:
        first, second, third = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second, third))
        wait_until(lambda: _members(underlay) == {"node1", "node2", "node3"})
        if family == 4:  # a switch takes two seconds to believe it
            overlay.detach(third)  # the last one on its host, which leaves the group
            wait_until(lambda: _members(underlay) == {"node1", "node2"})
            meet((first, second))


def _members(underlay: Underlay) -> set[str]:
    """The ports that the switch knows to have members of the overlay's group."""
    lines = underlay.switch.command("bridge", "mdb", "show").stdout.splitlines()
    return {
        line.split(" port ")[1].split()[0]
        for line in lines
        if "239.1.1.1" in line or "ff05::42" in line
    }


@pytest.mark.parametrize(("mode", "mtu"), [("l3", 1330), ("l2", 9000)])
def test_the_overlay_takes_what_the_underlay_has_room_for(
    tmp_path: Path, mode: str, mtu: int
) -> None:
    engine = Engine("static", mode, 4)
    with Underlay(tmp_path, 2, mtu=mtu) as underlay, Overlay(underlay, engine) as overlay:
        first, second = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second), data=True)
        for address in second.addresses:
            assert send_echo(first.ns, address, mtu - 50) == "echoed"
            assert send_echo(first.ns, address, mtu - 49) == "too big"


@pytest.mark.parametrize("engine", [one for one in ENGINES.values() if one.family == 6], ids=str)
def test_hosts_without_ipv4(tmp_path: Path, engine: Engine) -> None:
    with Underlay(tmp_path, 2) as underlay:
        for node in underlay.nodes:
            node.drop_ipv4()
        with Overlay(underlay, engine) as overlay:
            meet([overlay.attach(node) for node in underlay.nodes])


@pytest.mark.parametrize(
    ("engine", "keys"),
    [
        (ENGINES["static-l3-ipv4"], {}),
        (ENGINES["static-l2-ipv4"], {"underlay": "eth0"}),
        (ENGINES["etcd-l3-ipv4"], {}),
        pytest.param(ENGINES["evpn-l2-ipv4"], {"underlay": "eth0"}, marks=needs_frr),
    ],
    ids=str,
)
def test_vteps_with_an_address_of_no_wire(
    tmp_path: Path, engine: Engine, keys: dict[str, object]
) -> None:
    """On `lo`, as BGP likes it. What bounds a packet is the wire's MTU all the same."""
    with Underlay(tmp_path, 2) as underlay:
        for node in underlay.nodes:
            node.use_loopback()
        with Overlay(underlay, engine, **keys) as overlay:
            first, second = (overlay.attach(node) for node in underlay.nodes)
            meet((first, second))
            for address in second.addresses:
                assert send_echo(first.ns, address, 1450) == "echoed"
                assert send_echo(first.ns, address, 1451) == "too big"


def test_the_loopback_device_is_no_underlay(tmp_path: Path) -> None:
    """It has room for 65,000 bytes, and nobody is behind it."""
    with Underlay(tmp_path, 1) as underlay:
        overlay = Overlay(underlay, ENGINES["static-l3-ipv4"], underlay="lo")
        node = underlay.nodes[0]
        node.use_loopback()
        with pytest.raises(PluginError, match='key "underlay": found "lo"') as caught:
            overlay.attach(node)
        assert caught.value.code == 7
        assert "vxlan42" not in node.links()


@pytest.mark.parametrize("family", [4, 6])
def test_a_host_that_is_no_peer_is_not_let_in(tmp_path: Path, family: int) -> None:
    """It knows VNI, port and addresses; without the rules of `vxlan` that would be enough."""
    engine = Engine("static", "l2", family)
    with Underlay(tmp_path, 2) as underlay, Overlay(underlay, engine) as overlay:
        first, second = (overlay.attach(node) for node in underlay.nodes)
        overlay.listed = underlay.nodes[:]
        stranger = underlay.join()
        _make_vtep(stranger, first.node.address(family), stranger.address(family))
        meet((first, second))
        assert reaches(stranger, first.four) is None
        assert reaches(stranger, first.six) is None
        first.node.command("nft", "delete", "table", "inet", "pycni_vxlan")
        wait_reach(stranger, first.four)
        more = overlay.attach(first.node)  # which lays the rules down again
        meet((first, second, more))
        assert reaches(stranger, first.four) is None


def _make_vtep(node: Node, peer: str, local: str) -> None:
    batch(
        node,
        f"link add intruder type vxlan id 42 dstport 4789 local {local} dev eth0",
        "address add 10.42.0.99/24 dev intruder",
        "address add fd42::99/64 dev intruder nodad",
        "link set intruder up",
    )
    batch(
        node,
        f"fdb append 00:00:00:00:00:00 dev intruder dst {peer} self permanent",
        program="bridge",
    )
