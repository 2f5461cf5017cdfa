"""An attachment to an overlay beside one to a plain bridge, cold and warm, on one host."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.attachment import Attachment, Config, Json
from bench.field import COLD, WARM, Suite, open_field

COLD_BAR = 1.3
"""A cold ADD, as a factor of bridge's."""
WARM_BAR = 3.0
"""A warm ADD, in ms more than bridge's."""
_WARM_UP = 3
_ADDRESS = "192.0.2.1"


@dataclass(frozen=True)
class Cost:
    """One verb of one suite. bridge, overlay: medians in ms. verdict: None without a bar."""

    suite: str
    verb: str
    bridge: float
    overlay: float
    bar: str = ""
    verdict: bool | None = None


def measure(directory: Path, rounds: int) -> list[Cost]:
    """ADD and DEL of both plugins, taking turns. directory: the executables."""
    costs: list[Cost] = []
    with open_field() as field:
        cold, warm = field.ours(directory)
        _furnish(cold)
        for suite in (cold, warm):
            costs += _of(suite, rounds)
    return costs


def _furnish(suite: Suite) -> None:
    """Give the host an underlay."""
    suite.host.command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
    suite.host.command("ip", "address", "add", f"{_ADDRESS}/24", "dev", "eth0")
    for name in ("wire", "eth0"):
        suite.host.command("ip", "link", "set", name, "up")


def _of(suite: Suite, rounds: int) -> Iterator[Cost]:
    """Somebody else is attached all the time: what a first container brings is not what costs."""
    configs = {"bridge": _bridge(suite), "vxlan": _vxlan(suite)}
    times: dict[tuple[str, str], list[float]] = {}
    resident = [
        Attachment(suite, [one], "resident", name, ifname=name) for name, one in configs.items()
    ]
    for one in resident:
        one.add()
    for number in range(-_WARM_UP, rounds):
        order = list(configs.items())
        for name, config in order if number % 2 else order[::-1]:
            made = Attachment(suite, [config], network=name)
            for verb, act in (("ADD", made.add), ("DEL", made.delete)):
                wall = act().wall * 1000
                if number >= 0:
                    times.setdefault((name, verb), []).append(wall)
    for one in resident:
        one.delete()
    for verb in ("ADD", "DEL"):
        bridge, overlay = (statistics.median(times[name, verb]) for name in configs)
        bar, verdict = _judge(suite.name, verb, bridge, overlay)
        yield Cost(suite.name, verb, bridge, overlay, bar, verdict)


def _judge(suite: str, verb: str, bridge: float, overlay: float) -> tuple[str, bool | None]:
    if (suite, verb) == (COLD, "ADD"):
        return f"≤ {COLD_BAR:g}x", overlay <= COLD_BAR * bridge
    if (suite, verb) == (WARM, "ADD"):
        return f"≤ {WARM_BAR:g} ms more", overlay <= bridge + WARM_BAR
    return "", None


def _bridge(suite: Suite) -> Config:
    return {
        "type": "bridge",
        "bridge": "bench0",
        "isGateway": True,
        "ipMasq": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(suite.state / "networks"),
            "ranges": [[{"subnet": "10.88.1.0/24"}]],
        },
    }


def _vxlan(suite: Suite) -> Config:
    """Routed, with one other host."""
    nodes: list[Json] = [
        {"address": f"192.0.2.{number}", "subnets": [f"10.244.{number}.0/24"]} for number in (1, 2)
    ]
    return {
        "type": "vxlan",
        "vni": 42,
        "network": ["10.244.0.0/16"],
        "ipMasq": True,
        "peers": {"type": "static", "nodes": nodes},
        "ipam": {"type": "host-local", "dataDir": str(suite.state / "networks")},
    }
