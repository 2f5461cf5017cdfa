"""Hosts restart, get other addresses and lose their last container, while the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.probe import Pinging, reaches
from tests.kit.underlay import Underlay
from tests.vxlan.across import ENGINES, Engine, Overlay, each_engine, meet

STATIC = (Engine("static", "l3", 4), Engine("static", "l2", 6))


@pytest.mark.parametrize(
    "engine", [one for one in ENGINES.values() if one.peers != "evpn"], ids=str
)  # for which see test_evpn_across.py
def test_a_host_restarts(tmp_path: Path, engine: Engine) -> None:
    """Its VTEP has the same MAC again, so that what the others know of it stays right."""
    with Underlay(tmp_path) as underlay, Overlay(underlay, engine) as overlay:
        first, second, third = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second, third))
        mac = third.node.links()[overlay.device]["address"]
        with Pinging(first.ns, second.four) as pinging:
            overlay.stop(third.node)
            third.node.crash()
            assert reaches(first.ns, third.four) is None
            third.node.boot()
            overlay.start(third.node)
            again = overlay.attach(third.node)
            meet((first, second, again))
        assert pinging.lost == []
        assert engine.mode == "l2" or again.node.links()[overlay.device]["address"] == mac


@pytest.mark.parametrize("engine", STATIC, ids=str)
def test_a_host_restarts_with_a_new_address_in_the_list(tmp_path: Path, engine: Engine) -> None:
    """The list changes on every host; each takes it over with its next ADD."""
    with Underlay(tmp_path) as underlay, Overlay(underlay, engine) as overlay:
        first, second, third = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second, third))
        third.node.crash()
        third.node.boot("192.0.2.33", "2001:db8::33")
        with Pinging(first.ns, second.four) as pinging:
            more = [overlay.attach(node) for node in underlay.nodes]
            meet((first, second, *more))
        assert pinging.lost == []
        for node in underlay.nodes[:2]:
            left = "\n".join(overlay.tables(node))
            assert third.node.address(engine.family) in left
            assert ("192.0.2.3 ", "2001:db8::3 ")[engine.family == 6] not in left


@pytest.mark.parametrize("family", [4, 6])
def test_a_new_address_is_taken_over_with_the_next_container(tmp_path: Path, family: int) -> None:
    """With multicast nobody has to be told: a VTEP's first packet says where it is now."""
    engine = Engine("multicast", "l2", family)
    with Underlay(tmp_path) as underlay, Overlay(underlay, engine) as overlay:
        first, second, third = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second, third))
        third.node.renumber("192.0.2.33", "2001:db8::33")
        more = overlay.attach(third.node)
        meet((first, second, third, more))


@each_engine
def test_the_last_one_out_leaves_nothing(tmp_path: Path, engine: Engine) -> None:
    """What a host has for routing (l3) or from others stays; a segment's device and bridge go."""
    with Underlay(tmp_path, 2) as underlay, Overlay(underlay, engine) as overlay:
        before = underlay.nodes[0].state()
        first, more = overlay.attach(underlay.nodes[0]), overlay.attach(underlay.nodes[0])
        second = overlay.attach(underlay.nodes[1])
        overlay.detach(first)
        meet((more, second))
        overlay.detach(more)
        left = [line for line in first.node.state() - before if not _is_shared(line)]
        if engine.mode == "l3":
            names = (overlay.bridge, overlay.device, "nft element inet pycni_vxlan ")
            left = [line for line in left if not any(one in line for one in names)]
        assert left == []
        assert reaches(second.ns, more.four) is None


def _is_shared(line: str) -> bool:
    """Tables without elements, the address directory's own files, and what forwarding brings."""
    if line.startswith("nft "):
        return not line.startswith("nft element ")
    if line.startswith("file "):
        return "/last_reserved_ip." in line or line.endswith(("/lock", "/"))
    # The anycast addresses of the routers on a subnet (RFC 4291, section 2.6.1).
    return line.startswith(("route 2001:db8:: dev eth0 ", "route fe80:: dev eth0 "))
