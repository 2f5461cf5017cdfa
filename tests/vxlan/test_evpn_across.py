"""EVPN with FRR: what the plugin's device, port and neighbour entries make FRR do.

With FRR 8.4, measured here and by hand:
- A device with `nolearning` on a bridge port with learning off and `neigh_suppress` is enough:
  zebra adds the flood list (`permanent`) and MACs (`extern_learn`) to the device, and a VNI more
  needs no word to FRR.
- It advertises a container's addresses beside its MAC, both families, only for neighbour entries on
  the bridge, which the plugin adds: the bridge needs no address for that. Every other host then
  answers ARP and neighbour solicitations for them by itself.
- A device that goes is withdrawn within 0.1 s. The first packets to a new host take a second: the
  first ARP request comes before the flood list, and the kernel repeats it after that time.
- Where FRR dies, the others drop that host's entries at once (its connection is reset; graceful
  restart does not cover EVPN, even where it is configured), so that traffic to that host's
  containers stops until FRR is back. That between the others goes on.
"""

from __future__ import annotations

from pathlib import Path

from tests.kit.frr import needs_frr
from tests.kit.probe import Pinging, reaches, wait_until
from tests.kit.underlay import Node, Underlay
from tests.vxlan.across import Engine, Overlay, meet

EVPN = Engine("evpn", "l2", 4)
pytestmark = needs_frr


def test_addresses_are_advertised_and_withdrawn(tmp_path: Path) -> None:
    with Underlay(tmp_path, 2) as underlay, Overlay(underlay, EVPN) as overlay:
        first, second = (overlay.attach(node) for node in underlay.nodes)
        more = overlay.attach(second.node)
        wait_until(lambda: _advertised(overlay, first.node) >= {*second.addresses, *more.addresses})
        meet((first, second, more))
        other = Overlay(underlay, EVPN, 43)
        meet([other.attach(node) for node in underlay.nodes])  # FRR is told nothing

        overlay.detach(more)
        wait_until(lambda: _advertised(overlay, first.node) == {*second.addresses})
        overlay.detach(second)
        wait_until(lambda: not _advertised(overlay, first.node))
        wait_until(lambda: second.node.four not in "".join(overlay.tables(first.node)))


def _advertised(overlay: Overlay, node: Node) -> set[str]:
    """The addresses for which a node's bridge answers, since FRR learned them from others."""
    found = node.ip("neigh", "show", "dev", overlay.bridge) or []
    return {one["dst"] for one in found if one.get("protocol") == "zebra"}


def test_frr_dies_and_returns(tmp_path: Path) -> None:
    with Underlay(tmp_path) as underlay, Overlay(underlay, EVPN) as overlay:
        first, second, third = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second, third))
        with Pinging(first.ns, second.four) as pinging:
            overlay.stop(third.node)
            wait_until(lambda: third.node.four not in "".join(overlay.tables(first.node)))
            assert reaches(first.ns, third.four) is None
            overlay.start(third.node)
            meet((first, second, third))
        assert pinging.lost == []
