"""TCP through the overlay beside TCP through a vxlan device made by hand, on the same two hosts."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.kit.calls import Document
from tests.kit.namespace import Namespace
from tests.kit.probe import wait_reach
from tests.kit.underlay import Node, Underlay, batch

BAR = 0.8
_SECONDS = 2
_HAND_VNI, _HAND_PORT = 77, 8472
_SEGMENT = "10.99.0.{number}"


@dataclass(frozen=True)
class Rate:
    """What went through. how: "by hand", or the overlay's mode. gigabits: a second, median."""

    family: int
    how: str
    gigabits: float
    ratio: float

    @property
    def verdict(self) -> bool | None:
        """Whether it is enough; None for what it is compared with."""
        return None if self.how == "by hand" else self.ratio >= BAR


def measure(directory: Path, rounds: int) -> list[Rate]:
    """For underlays of both families. directory: an empty one."""
    rates: list[Rate] = []
    for family in (4, 6):
        scratch = directory / str(family)
        scratch.mkdir()
        with Underlay(scratch, 2) as underlay:
            ways = {
                "by hand": _by_hand(underlay, family),
                "l3": _overlay(underlay, family, "l3"),
                "l2": _overlay(underlay, family, "l2"),
            }
            found = _race(ways, rounds)
        rates += [Rate(family, how, rate, rate / found["by hand"]) for how, rate in found.items()]
    return rates


@dataclass(frozen=True)
class _Way:
    """source, target: containers. address: the target's. close: takes all of it away."""

    source: Namespace
    target: Namespace
    address: str
    close: Callable[[], None]


def _race(ways: dict[str, _Way], rounds: int) -> dict[str, float]:
    rates: dict[str, list[float]] = {how: [] for how in ways}
    for number in range(rounds):
        for how in list(ways) if number % 2 else list(ways)[::-1]:
            rates[how].append(_transfer(ways[how]))
    for way in ways.values():
        way.close()
    return {how: statistics.median(found) for how, found in rates.items()}


def _transfer(way: _Way) -> float:
    """Gigabits a second, as the receiver counts them."""
    wait_reach(way.source, way.address)
    server = way.target.popen(
        "iperf3", "--server", "--one-off", "--bind", way.address, stdout=subprocess.DEVNULL
    )
    try:
        client = ("iperf3", "--json", "--time", str(_SECONDS), "--client", way.address)
        while True:  # until the server listens
            said = way.source.command(*client, check=False).stdout
            document = json.loads(said)
            if "Connection refused" not in document.get("error", ""):
                break
    finally:
        server.wait(10)
    rate: float = document["end"]["sum_received"]["bits_per_second"]
    return rate / 1e9


def _by_hand(underlay: Underlay, family: int) -> _Way:
    ends = []
    for node, other in zip(underlay.nodes, underlay.nodes[::-1], strict=True):
        container = node.container("hand")
        batch(
            node,
            "link add hand0 type bridge",
            f"link add hand1 type vxlan id {_HAND_VNI} dev eth0 dstport {_HAND_PORT}"
            f" local {node.address(family)} remote {other.address(family)}",
            "link set hand1 master hand0 up",
            f"link add hand2 type veth peer name eth0 netns {container.path}",
            "link set hand2 master hand0 up",
            "link set hand0 up",
        )
        mtu = node.links()["hand1"]["mtu"]
        batch(
            container,
            f"link set eth0 mtu {mtu} up",
            f"address add {_SEGMENT.format(number=node.number)}/24 dev eth0",
        )
        ends.append(container)
    address = _SEGMENT.format(number=underlay.nodes[1].number)
    return _Way(ends[0], ends[1], address, lambda: None)


def _overlay(underlay: Underlay, family: int, mode: str) -> _Way:
    ends: list[Namespace] = []
    addresses: list[str] = []
    closing: list[Callable[[], None]] = []
    for node in underlay.nodes:
        container = node.container(mode)
        config = _config(underlay, node, family, mode)
        result = node.runtime.add(config, netns=container, container=mode)
        closing.append(partial(node.runtime.delete, config, netns=container, container=mode))
        ends.append(container)
        addresses.append(result["ips"][0]["address"].partition("/")[0])

    def close() -> None:
        for one in closing:
            one()

    return _Way(ends[0], ends[1], addresses[1], close)


def _config(underlay: Underlay, node: Node, family: int, mode: str) -> Document:
    """A network of its own for each mode: the two stand beside each other."""
    routed = mode == "l3"
    nodes: list[Document] = [{"address": one.address(family)} for one in underlay.nodes]
    ipam: Document = {"type": "host-local"}
    if routed:
        for number, one in enumerate(nodes, 1):
            one["subnets"] = [f"10.244.{number}.0/24"]
    else:
        start = f"10.98.0.{node.number * 10}"
        ipam["ranges"] = [[{"subnet": "10.98.0.0/24", "rangeStart": start}]]
    return {
        "cniVersion": "1.0.0",
        "name": mode,
        "type": "vxlan",
        "vni": 42 if routed else 43,
        "mode": mode,
        "peers": {"type": "static", "nodes": nodes},
        "ipam": ipam,
        **({"network": ["10.244.0.0/16"]} if routed else {}),
    }
