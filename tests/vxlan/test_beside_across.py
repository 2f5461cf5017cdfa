"""What stands beside an overlay on the same hosts: other overlays, other plugins in the chain."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.kit.calls import Document
from tests.kit.probe import reaches, wait_reach
from tests.kit.traffic import EchoServer, ask
from tests.kit.underlay import ROUTER, Node, Underlay
from tests.vxlan.across import ENGINES, Container, Engine, Overlay, meet

REFERENCE = Path("/usr/lib/cni")
STATIC = Engine("static", "l3", 4)
MULTICAST = Engine("multicast", "l2", 4)
PUBLISHED = {"hostPort": 8080, "containerPort": 80}


def test_overlays_beside_each_other_stay_apart(tmp_path: Path) -> None:
    """Two stretched segments with the same addresses, a routed one, and one over IPv6."""
    with Underlay(tmp_path, 2) as underlay:
        overlays = [
            Overlay(underlay, MULTICAST, 42),
            Overlay(underlay, Engine("static", "l2", 4), 43),
            Overlay(underlay, STATIC, 44),
            Overlay(underlay, Engine("multicast", "l2", 6), 42 + 3),
        ]
        pairs = [[one.attach(node) for node in underlay.nodes] for one in overlays]
        for pair in pairs:
            meet(pair)
        assert pairs[0][1].addresses == pairs[1][1].addresses == pairs[3][1].addresses
        for overlay, (first, second) in zip(overlays, pairs, strict=True):
            for address in second.addresses:
                with EchoServer(second.ns, address, 7, name=overlay.name):
                    assert ask(first.ns, address, 7).server == overlay.name
        assert reaches(pairs[0][0].ns, pairs[2][1].four) is None
        assert reaches(pairs[2][0].ns, pairs[0][1].four) is None
        for one in pairs[0]:
            overlays[0].detach(one)
        for pair in pairs[1:]:
            meet(pair)


@pytest.mark.parametrize(
    "engine",
    [ENGINES[name] for name in ("static-l3-ipv4", "static-l2-ipv6", "flannel-l3-ipv4")],
    ids=str,
)
def test_a_published_port_is_reached_from_everywhere(tmp_path: Path, engine: Engine) -> None:
    with Underlay(tmp_path) as underlay:
        gateway = {"isDefaultGateway": True}
        with Overlay(underlay, engine, ipMasq=True, **gateway) as overlay:
            web, other = (overlay.attach(node) for node in underlay.nodes[:2])
            meet((web, other))
            config = {
                "cniVersion": "1.1.0",
                "name": overlay.name,
                "type": "portmap",
                "runtimeConfig": {"portMappings": [PUBLISHED]},
                "prevResult": web.result,
            }
            how = {"container": web.name, "netns": web.ns}
            web.node.runtime.add(config, **how)
            with EchoServer(web.ns, "::", 80, name="web"):
                third = underlay.nodes[2]
                for address in (web.node.four, web.node.six):
                    assert ask(third, address, 8080).server == "web"
                    assert ask(other.ns, address, 8080).server == "web"
                    assert ask(web.node, address, 8080).server == "web"
            web.node.runtime.delete(config, **how)
            meet((web, other))


def test_the_reference_firewall_and_tuning_come_after_it(tmp_path: Path) -> None:
    """Both write iptables rules and sysctls by what `vxlan` answered."""
    if not (REFERENCE / "firewall").exists():
        pytest.skip("Debian's containernetworking-plugins is not installed")
    with Underlay(tmp_path, 2) as underlay, Overlay(underlay, STATIC) as overlay:
        first, second = (overlay.attach(node) for node in underlay.nodes)
        chain: list[Document] = [
            {"type": "firewall", "backend": "iptables"},
            {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.rp_filter": "2"}, "mtu": 1400},
        ]
        for node in underlay.nodes:
            for command in ("iptables", "ip6tables"):
                node.command(command, "-P", "FORWARD", "DROP")
        assert reaches(first.ns, second.four) is None
        for one in (first, second):
            one.node.command("iptables", "-I", "FORWARD", "-i", overlay.device, "-j", "ACCEPT")
            one.node.command("ip6tables", "-I", "FORWARD", "-i", overlay.device, "-j", "ACCEPT")
            for plugin in chain:
                _execute(one, "ADD", overlay.name, plugin)
        meet((first, second), data=True)
        assert first.ns.links()["eth0"]["mtu"] == 1400
        for one in (first, second):
            for plugin in reversed(chain):
                _execute(one, "DEL", overlay.name, plugin)
            overlay.detach(one)
            rules = one.node.command("iptables-save").stdout
            assert one.four not in rules


def _execute(container: Container, command: str, network: str, plugin: Document) -> None:
    """Call an executable of the reference suite on the container's host."""
    config = {
        "cniVersion": "1.0.0",
        "name": network,
        "prevResult": {**container.result, "cniVersion": "1.0.0"},
        **plugin,
    }
    environ = {
        **os.environ,
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container.name,
        "CNI_NETNS": str(container.ns),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(REFERENCE),
    }
    stdin = json.dumps(config)
    argv = [f"{name}={value}" for name, value in environ.items() if name.startswith("CNI_")]
    container.node.command("env", *argv, str(REFERENCE / plugin["type"]), stdin=stdin)


@pytest.mark.parametrize("engine", [STATIC, Engine("static", "l2", 4)], ids=str)
def test_masquerade_leaves_the_overlay_alone(tmp_path: Path, engine: Engine) -> None:
    """Inside, everybody sees everybody's own address; outside, the host's."""
    with Underlay(tmp_path, 2) as underlay:
        overlay = Overlay(underlay, engine, ipMasq=True, isDefaultGateway=True)
        first, second = (overlay.attach(node) for node in underlay.nodes)
        meet((first, second))
        for mine, other in zip(first.addresses, second.addresses, strict=True):
            with EchoServer(second.ns, other, 7):
                assert ask(first.ns, other, 7).client == mine
        for outside, host in zip(ROUTER, (first.node.four, first.node.six), strict=True):
            with EchoServer(underlay.switch, outside, 7):
                assert ask(first.ns, outside, 7).client == host


def test_outer_packets_keep_the_address_of_the_vtep(tmp_path: Path) -> None:
    """The VTEP is the host's second address: masqueraded, the packet would leave from the first.

    The peer's rules would then drop it. A rule of somebody else's that masquerades all that leaves
    `eth0` does just this, and does no harm where the VTEP is the device's first address.
    """
    with Underlay(tmp_path, 2) as underlay:
        for node in underlay.nodes:
            _add_second_address(node)
        overlay = Overlay(underlay, STATIC, ipMasq=True, isDefaultGateway=True)
        first, second = (overlay.attach(node) for node in underlay.nodes)
        link = first.node.links()[overlay.device]
        assert link["linkinfo"]["info_data"]["local"] == first.node.four == "192.0.2.101"
        meet((first, second))
        # What a container sends out is from the device's first address: masquerading is at work.
        with EchoServer(underlay.switch, ROUTER[0], 7):
            assert ask(first.ns, ROUTER[0], 7).client == "192.0.2.1"


def _add_second_address(node: Node) -> None:
    node.four = f"192.0.2.10{node.number}"
    node.command("ip", "address", "add", f"{node.four}/24", "dev", "eth0")
    wait_reach(node, ROUTER[0])
