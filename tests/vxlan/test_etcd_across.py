"""etcd, a watcher or a host is killed: traffic goes on, and later all tables say what etcd says.

What "never stops" means is counted: an echo request every ten milliseconds, and none is lost.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etcd_json import Etcd
from tests.kit.calls import PluginError
from tests.kit.probe import Pinging, reaches
from tests.kit.underlay import Node, Underlay
from tests.vxlan.across import Container, Engine, Overlay, meet

ROUTED, STRETCHED = Engine("etcd", "l3", 4), Engine("etcd", "l2", 4)
each_mode = pytest.mark.parametrize("engine", [ROUTED, STRETCHED], ids=str)


@pytest.fixture
def underlay(tmp_path: Path) -> Iterator[Underlay]:
    with Underlay(tmp_path) as made:
        yield made


def nodes_in_etcd(overlay: Overlay) -> dict[str, dict[str, object]]:
    """What etcd has of the network's nodes, by name."""

    def ask() -> dict[str, dict[str, object]]:
        prefix = f"/pycni/{overlay.name}/nodes/"
        with Etcd([overlay.etcd.url]) as etcd:
            found, _ = etcd.list(prefix)
        return {one.key.removeprefix(prefix): json.loads(one.value) for one in found}

    return overlay.underlay.switch.run(ask)


def wanted_tables(overlay: Overlay, node: Node) -> set[str]:
    """What etcd says that a node's kernel should have of its peers, as `Overlay.tables` puts it."""
    found = set()
    for name, peer in nodes_in_etcd(overlay).items():
        if name == node.name:
            continue
        if overlay.engine.mode == "l2":
            found.add(f"fdb 00:00:00:00:00:00 dst {peer['address']} self permanent")
            continue
        found.add(f"fdb {peer['mac']} dst {peer['address']} self permanent")
        subnets = peer["subnets"]
        assert isinstance(subnets, list)
        for subnet in map(ipaddress.ip_network, subnets):
            base = subnet.network_address
            found.add(f"neigh {base} lladdr {peer['mac']} PERMANENT proto 201")
            found.add(f"route {subnet} via {base} proto 201")
    return found


def found_tables(overlay: Overlay, node: Node) -> set[str]:
    """The same of the kernel: what is permanent in the device, or ours."""
    found = set()
    for line in overlay.tables(node):
        if line.startswith("fdb ") and line.endswith(" permanent"):
            found.add(line)
        elif " proto 201" in line:
            found.add(line.split(" metric ")[0].removesuffix(" onlink").strip())
    return found


def wait_equal(overlay: Overlay, *nodes: Node, seconds: float = 10) -> None:
    """Wait until the kernels of the nodes have what etcd says, and nothing else."""
    deadline = time.monotonic() + seconds
    for node in nodes:
        wanted = wanted_tables(overlay, node)
        assert wanted
        while (found := found_tables(overlay, node)) != wanted:
            assert time.monotonic() < deadline, f"{node.name} has {found}, etcd says {wanted}"


def forget(overlay: Overlay, node: Node, *, give_up: bool) -> None:
    """Let the half minute pass after which a dead node's sign of life is gone.

    give_up: also take its place, as an administrator who knows that it is dead.
    """
    top = f"/pycni/{overlay.name}"

    def ask() -> None:
        with Etcd([overlay.etcd.url]) as etcd:
            etcd.delete(f"{top}/alive/{node.name}")
            if give_up:
                etcd.delete(f"{top}/nodes/{node.name}")
                for one in etcd.list(f"{top}/subnets/")[0]:
                    if json.loads(one.value)["node"] == node.name:
                        etcd.delete(one.key)

    overlay.underlay.switch.run(ask)


def start(overlay: Overlay) -> list[Container]:
    """A container on every host, everybody reaching everybody."""
    containers = [overlay.attach(node) for node in overlay.underlay.nodes]
    meet(containers)
    wait_equal(overlay, *overlay.underlay.nodes)
    return containers


@each_mode
def test_etcd_dies_and_returns(underlay: Underlay, engine: Engine) -> None:
    with Overlay(underlay, engine) as overlay:
        first, second, third = start(overlay)
        with Pinging(first.ns, second.four) as four, Pinging(third.ns, second.six) as six:
            overlay.etcd.kill()
            for node in underlay.nodes:
                overlay.wait_said(node, state="stale")
            meet((first, second, third))
            if engine is ROUTED:  # the node has its subnet, so that nobody need be asked
                more = overlay.attach(first.node)
                meet((more, second))
                overlay.detach(more)
            else:
                with pytest.raises(PluginError) as caught:
                    overlay.attach(first.node)
                assert caught.value.code == 11
            overlay.etcd.start()
            for node in underlay.nodes:
                overlay.wait_said(node, state="synced", peers=2)
            meet((overlay.attach(first.node), second, third))
        assert (four.lost, six.lost) == ([], [])
        wait_equal(overlay, *underlay.nodes)


@each_mode
def test_a_watcher_catches_up_with_what_etcd_has_forgotten(
    underlay: Underlay, engine: Engine
) -> None:
    """Killed, it misses a host that goes, one that comes, and the history of both."""
    with Overlay(underlay, engine) as overlay:
        first, second, third = start(overlay)
        with Pinging(first.ns, second.four) as pinging:
            overlay.stop(first.node)
            overlay.stop(third.node)
            third.node.crash()
            forget(overlay, third.node, give_up=True)
            fourth = underlay.join()
            overlay.start(fourth)
            more = overlay.attach(fourth)
            meet((second, more))
            assert reaches(more.ns, first.four) is None
            overlay.etcd.compact()
            assert third.node.four in "\n".join(overlay.tables(first.node))
            overlay.watch(first.node)
            meet((first, second, more))
            wait_equal(overlay, first.node, second.node, fourth)
        assert pinging.lost == []


@each_mode
def test_a_host_dies_and_returns_with_another_address(underlay: Underlay, engine: Engine) -> None:
    with Overlay(underlay, engine) as overlay:
        first, second, third = start(overlay)
        with Pinging(first.ns, second.six) as pinging:
            overlay.stop(third.node)
            third.node.crash()
            assert reaches(second.ns, third.four) is None
            forget(overlay, third.node, give_up=False)
            third.node.boot("192.0.2.33")
            overlay.start(third.node)
            again = overlay.attach(third.node)
            meet((first, second, again))
        assert pinging.lost == []
        wait_equal(overlay, *underlay.nodes)
        if engine is ROUTED:
            assert _subnet(again) == _subnet(third)


def _subnet(container: Container) -> str:
    return str(ipaddress.ip_interface(container.result["ips"][0]["address"]).network)


def test_a_hosts_address_changes_under_its_containers(underlay: Underlay) -> None:
    """Nobody attaches a container: the watchers see to it.

    The connection to etcd went with the old address, which the watcher is told by nobody.
    """
    with Overlay(underlay, ROUTED) as overlay:
        first, second, third = start(overlay)
        with Pinging(first.ns, second.four) as pinging:
            third.node.renumber("192.0.2.33", "2001:db8::33")
            meet((first, second, third), seconds=15)
        assert pinging.lost == []
        wait_equal(overlay, *underlay.nodes)
        assert nodes_in_etcd(overlay)["node3"]["address"] == "192.0.2.33"


@each_mode
def test_a_host_is_cut_off_and_comes_back(underlay: Underlay, engine: Engine) -> None:
    """From the others and from etcd; what changes meanwhile it learns afterwards."""
    with Overlay(underlay, engine) as overlay:
        first, second, third = start(overlay)
        alone = overlay.attach(third.node)
        with Pinging(first.ns, second.four) as others, Pinging(third.ns, alone.four) as inside:
            third.node.cut()
            assert reaches(first.ns, third.four) is None
            fourth = underlay.join()
            overlay.start(fourth)
            more = overlay.attach(fourth)
            meet((first, second, more))
            third.node.mend()
            meet((first, second, third, more))
        assert (others.lost, inside.lost) == ([], [])
        wait_equal(overlay, *underlay.nodes)


def test_the_list_in_the_config_changes(tmp_path: Path) -> None:
    """With static peers a watcher, where one runs, takes over the new list by itself."""
    with Underlay(tmp_path, 2) as underlay, Overlay(underlay, Engine("static", "l3", 4)) as overlay:
        for node in underlay.nodes:
            overlay.watch(node)
        first, second = (overlay.attach(node) for node in underlay.nodes)
        third = overlay.attach(underlay.join())
        assert reaches(third.ns, first.four) is None
        for one in (first, second):
            one.node.run(overlay.install, one.node)
        meet((first, second, third))
