"""The plugins that give a container an interface without a bridge, and what is chained to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cni_bandwidth import names
from tests.kit.calls import Runtime
from tests.kit.host import Host
from tests.kit.tables import Publish
from tests.reliability.check import bridged, matrix
from tests.reliability.check.matrix import (
    AGAIN,
    HEADINGS,
    Mutation,
    Stage,
    contained,
    inside,
)
from tests.reliability.check.matrix import (
    host as on_host,
)

pytestmark = pytest.mark.timeout(300)

STATIC: dict[str, Any] = {
    "type": "static",
    "addresses": [
        {"address": "10.1.0.2/16", "gateway": "10.1.0.1"},
        {"address": "2001:db8::2/64", "gateway": "2001:db8::1"},
    ],
    "routes": bridged.ROUTES,
}


@pytest.fixture
def runtime(host: Host, tmp_path: Path) -> Runtime:
    host.share_nft()
    host.share_bridge("cni0")
    host.share("file */cache/results/", "file */tuning/")
    return Runtime(tmp_path)


@pytest.fixture
def master(host: Host) -> Iterator[None]:
    """`up0`, with a machine at its other end."""
    other = host.container("segment")
    host.command(
        "ip", "link", "add", "up0", "type", "veth", "peer", "name", "e", "netns", str(other)
    )
    other.command("ip", "link", "set", "e", "up")
    host.command("ip", "link", "set", "up0", "up")
    host.wait_ready("up0")
    yield
    host.command("ip", "link", "delete", "up0")


PTP = [
    on_host("ip link set $port down", "host interface $port is down"),
    on_host("ip link delete $port", "the host end of eth0 does not exist"),
    on_host("ip link set $port mtu 1300", "interface $port has the MTU 1300, expected 1400"),
    on_host(
        "ip link set $port address 02:00:00:00:00:98",
        "interface $port has the MAC 02:00:00:00:00:98",
    ),
    on_host(
        "ip address delete 10.1.0.1/32 dev $port",
        "host interface $port lacks the gateway address 10.1.0.1/32",
    ),
    on_host(
        "ip address delete 2001:db8::1/128 dev $port",
        "host interface $port lacks the gateway address 2001:db8::1/128",
    ),
    on_host("ip route delete 10.1.0.2/32", "the host lacks the route to 10.1.0.2/32 by $port"),
    on_host(
        "ip -6 route delete 2001:db8::2/128", "the host lacks the route to 2001:db8::2/128 by $port"
    ),
    inside("ip route delete 10.1.0.1/32", "lacks the route to 10.1.0.1/32"),
    inside("ip route delete 10.1.0.0/16", "lacks the route to 10.1.0.0/16"),
    *(replace(one, missed=False) for one in (*bridged.BRIDGE[-2:], *bridged.MASQUERADE[:2])),
]
TUNED = [
    inside(
        "ip link set eth0 address 02:00:00:00:00:97",
        "interface eth0 has the MAC 02:00:00:00:00:97, expected 02:00:00:00:00:43",
    ),
]
SHAPED = [
    on_host(
        "tc class change dev $port parent 1: classid 1:30 htb rate 5mbit burst 100kb",
        "class 1:30 of interface $port has the rate 5000000 bit/s, expected 20000000",
    ),
    on_host(
        "tc filter delete dev $port parent 1:",
        "interface $port has 0 of the 1 filters for subnets",
    ),
    on_host(
        "tc filter delete dev $ifb parent 1:\ntc class delete dev $ifb classid 1:1",
        "interface $ifb lacks the class 1:1 of what is not limited",
    ),
    on_host(
        "tc qdisc delete dev $ifb parent 1:30",
        "interface $ifb lets 0 bytes wait",
    ),
    on_host("ip link delete $ifb", "host interface $ifb does not exist"),
]


def test_ptp(host: Host, runtime: Runtime, publish: Publish) -> None:
    plugins: list[dict[str, Any]] = [
        {"type": "ptp", "ipMasq": True, "mtu": 1400, "ipam": STATIC},
        {"type": "tuning", "mac": "02:00:00:00:00:43", "dataDir": str(host.state / "tuning")},
        {
            "type": "bandwidth",
            "ingressRate": 20_000_000,
            "egressRate": 40_000_000,
            "unshapedSubnets": ["10.0.0.0/8"],
        },
    ]
    stage = Stage(host, runtime, plugins, names={"ifb": names.own("net/c1/eth0")})
    publish("check-ptp", HEADINGS, matrix.run(stage, [*contained(), *PTP, *TUNED, *SHAPED]))


def single(
    host: Host, runtime: Runtime, plugin: dict[str, Any], mutations: Sequence[Mutation]
) -> list[Any]:
    """The rows of a plugin that gives the container one link of its own."""
    return matrix.run(Stage(host, runtime, [{**plugin, "ipam": STATIC}]), mutations)


def test_macvlan(host: Host, runtime: Runtime, master: None, publish: Publish) -> None:
    rows = single(
        host,
        runtime,
        {"type": "macvlan", "master": "up0"},
        [
            *contained(),
            inside(
                "ip link set eth0 type macvlan mode private",
                'interface eth0 is in mode "private", expected "bridge"',
            ),
            on_host(
                "ip link set up0 down\nip link set up0 name up9",
                "interface up0, the master of eth0, does not exist",
                f"ip link set up9 name up0\nip link set up0 up\n{AGAIN}",
            ),
        ],
    )
    publish("check-macvlan", HEADINGS, rows)


def test_tap(host: Host, runtime: Runtime, publish: Publish) -> None:
    publish("check-tap", HEADINGS, single(host, runtime, {"type": "tap"}, contained()))


def test_host_device(host: Host, runtime: Runtime, publish: Publish) -> None:
    make = "ip link add dev0 type veth peer name peer0\nip link set peer0 up"
    for line in make.splitlines():
        host.command(*line.split())
    rows = single(
        host,
        runtime,
        {"type": "host-device", "device": "dev0"},
        [
            *contained("ip link delete eth0"),
            on_host(
                "ip link delete peer0",
                "interface eth0 does not exist in",
                f"{make}\n{AGAIN}",
            ),
        ],
    )
    host.command("ip", "link", "delete", "peer0")
    publish("check-host-device", HEADINGS, rows)


def test_loopback(host: Host, runtime: Runtime, publish: Publish) -> None:
    host.share("link lo *", "address dev lo *", "route * dev lo *")
    stage = Stage(host, runtime, [{"type": "loopback"}], ifname="lo")
    rows = matrix.run(
        stage,
        [
            inside("ip link set lo down", "interface lo in $netns is down", "ip link set lo up"),
            inside(
                "ip address delete 127.0.0.1/8 dev lo",
                "interface lo in $netns lacks its address 127.0.0.1/8",
                "ip address add 127.0.0.1/8 dev lo",
            ),
            inside(
                "ip address delete ::1/128 dev lo",
                "interface lo in $netns lacks its address ::1/128",
                "ip address add ::1/128 dev lo",
            ),
        ],
    )
    publish("check-loopback", HEADINGS, rows)


SOURCED = [
    inside("ip rule delete from 10.1.0.2", "lacks the rule that leads from 10.1.0.2/32"),
    inside("ip -6 rule delete from 2001:db8::2", "lacks the rule that leads from 2001:db8::2/128"),
    inside("ip route flush table 100", "lacks the route to 0.0.0.0/0 via 10.1.0.1"),
    inside("ip route delete default table 100", "lacks the route to 0.0.0.0/0 via 10.1.0.1"),
    inside(
        "ip route replace default via 10.1.0.77 onlink dev eth0 table 100",
        "lacks the route to 0.0.0.0/0 via 10.1.0.1, found one via 10.1.0.77",
    ),
    inside("ip route delete 10.1.0.0/16 table 100", "lacks the route to 10.1.0.0/16"),
    inside("ip -6 route delete default table 101", "lacks the route to ::/0 via 2001:db8::1"),
    inside(
        "ip route add 10.7.0.0/16 via 10.1.0.1 dev eth0 onlink",
        "the main table has a route to 10.7.0.0/16 out of eth0",
    ),
]


def test_sbr(host: Host, runtime: Runtime, publish: Publish) -> None:
    bridge = {"type": "bridge", "isGateway": True, "ipam": STATIC}
    stage = Stage(host, runtime, [bridge, {"type": "sbr"}])
    publish("check-sbr", HEADINGS, matrix.run(stage, SOURCED))
