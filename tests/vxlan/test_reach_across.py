"""Three hosts, one overlay, every engine: who reaches whom, and with how large a packet."""

from __future__ import annotations

from pathlib import Path

from tests.kit.probe import Pinging, reaches, send_echo
from tests.kit.underlay import Underlay
from tests.vxlan.across import Engine, Overlay, each_engine, meet


@each_engine
def test_everybody_reaches_everybody(tmp_path: Path, engine: Engine) -> None:
    with Underlay(tmp_path) as underlay, Overlay(underlay, engine) as overlay:
        containers = [overlay.attach(node) for node in underlay.nodes]
        containers.append(overlay.attach(underlay.nodes[0]))  # a second one on a host
        meet(containers)
        first, second, third, _ = containers
        meet((first, second), data=True)
        for one in (*containers, *containers):  # again: CHECK changes nothing
            overlay.check(one)
        for target in (second, third):
            for address in target.addresses:
                assert send_echo(first.ns, address, engine.largest) == "echoed"
                assert send_echo(first.ns, address, engine.largest + 1) == "too big"


@each_engine
def test_a_host_joins_later_and_leaves(tmp_path: Path, engine: Engine) -> None:
    with Underlay(tmp_path) as underlay, Overlay(underlay, engine) as overlay:
        first, second = (overlay.attach(node) for node in underlay.nodes[:2])
        meet((first, second))
        with Pinging(first.ns, second.four) as four, Pinging(second.ns, first.six) as six:
            third = overlay.attach(underlay.nodes[2])
            meet((first, second, third))
            overlay.detach(third)
            assert reaches(first.ns, third.four) is None
            again = overlay.attach(underlay.nodes[2])
            meet((first, second, again))
            underlay.nodes[2].cut()
            assert reaches(first.ns, again.six) is None
        assert (four.lost, six.lost) == ([], [])
