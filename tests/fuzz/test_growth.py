"""Documents of many items: what they cost grows as their number does, and not as its square.

The door takes 16 MB (`cni.jsonvalue.MAX_DOCUMENT`), so that is the bound for everything.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

from tests.fuzz.campaign import CPU_SECONDS
from tests.fuzz.world import World, templates

TIMES = 8
Fill = Callable[[dict[str, Any], int], None]


def _four(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _routes(config: dict[str, Any], count: int) -> None:
    config["ipam"]["routes"] = [{"dst": f"{_four(n)}/32"} for n in range(count)]


def _addresses(config: dict[str, Any], count: int) -> None:
    config["ipam"]["addresses"] = [{"address": f"{_four(n)}/8"} for n in range(count)]


def _ranges(config: dict[str, Any], count: int) -> None:
    one = [{"subnet": f"{_four(n * 4)}/30"} for n in range(count)]
    config["ipam"]["ranges"] = [one]


def _sets(config: dict[str, Any], count: int) -> None:
    sets = [[{"subnet": f"{_four(n * 4)}/30"}] for n in range(count)]
    config["ipam"]["ranges"] = [*sets, [{"subnet": "x"}]]


def _excluded(config: dict[str, Any], count: int) -> None:
    config["ipam"]["ranges"] = [
        [{"subnet": "10.0.0.0/8", "exclude": [_four(2 * n) for n in range(count)]}]
    ]


def _ips(config: dict[str, Any], count: int) -> None:
    config["runtimeConfig"] = {"ips": [_four(n) for n in range(count)]}


def _ports(config: dict[str, Any], count: int) -> None:
    config["runtimeConfig"]["portMappings"] = [
        {"hostPort": 1 + n, "containerPort": 80} for n in range(count)
    ] + [{"hostPort": -1}]


def _interfaces(config: dict[str, Any], count: int) -> None:
    result = config["prevResult"]
    result["interfaces"] += [{"name": f"x{n}"} for n in range(count)]
    result["ips"] += [{"address": f"{_four(n)}/8", "interface": 3 + n} for n in range(count)]


def _sysctls(config: dict[str, Any], count: int) -> None:
    config["sysctl"] = {f"net.none.{n}": "1" for n in range(count)}


def _shaped(config: dict[str, Any], count: int) -> None:
    config["shapedSubnets"] = [f"{_four(n)}/32" for n in range(count)] + ["x"]


def _nodes(config: dict[str, Any], count: int) -> None:
    config["peers"]["nodes"] = [
        {"address": _four(n), "subnets": [f"10.{n >> 8}.{n & 255}.0/24"]} for n in range(count)
    ]


def _conditions(config: dict[str, Any], count: int) -> None:
    config["conditionsV4"] = ["ip", "saddr"] + ["192.0.2.1"] * count


def _gateways(config: dict[str, Any], count: int) -> None:
    config["gateways"] = [_four(n) for n in range(count)]


CASES: list[tuple[str, Fill]] = [
    ("static", _routes),
    ("static", _addresses),
    ("static", _ips),
    ("bridge", _routes),
    ("host-local", _routes),
    ("host-local", _ranges),
    ("host-local", _sets),
    ("host-local", _excluded),
    ("host-local", _ips),
    ("portmap", _ports),
    ("portmap", _conditions),
    ("portmap", _interfaces),
    ("firewall", _interfaces),
    ("tuning", _interfaces),
    ("sbr", _interfaces),
    ("bandwidth", _interfaces),
    ("tuning", _sysctls),
    ("bandwidth", _shaped),
    ("vxlan", _nodes),
    ("sbr", _gateways),
]


def _seconds(world: World, plugin: str, command: str, config: dict[str, Any]) -> float:
    chained = "prevResult" in config
    environ = world.environ(command, world.attached if chained else world.container)
    data = json.dumps(config).encode()
    started = time.process_time()
    world.call(plugin, environ, data)
    return time.process_time() - started


def test_many_items(world: World, whole: bool) -> None:
    few = 1000 if whole else 50
    found = templates(world)
    for plugin, fill in CASES:
        for command in ("ADD", "DEL"):
            spent = []
            for count in (few, few * TIMES):
                config = copy.deepcopy(found[plugin][0])
                fill(config, count)
                spent.append(_seconds(world, plugin, command, config))
                _seconds(world, plugin, "DEL", config)
            # Three times what a straight line would have, and what a busy machine adds.
            assert spent[1] < 0.5 + spent[0] * 3 * TIMES, (plugin, fill.__name__, command, spent)


def test_a_range_of_any_size(world: World) -> None:
    for subnet in ("0.0.0.0/0", "10.0.0.0/8", "::/0", "2001:db8::/32"):
        config = templates(world)["host-local"][0]
        config["ipam"]["ranges"] = [[{"subnet": subnet}]]
        for command in ("ADD", "CHECK", "GC", "DEL"):
            sent = {**config, "cni.dev/valid-attachments": [], "prevResult": {}}
            assert _seconds(world, "host-local", command, sent) < CPU_SECONDS, (subnet, command)
