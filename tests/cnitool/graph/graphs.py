"""Graphs made by hand, of any size."""

from __future__ import annotations

from cnitool.graph.model import Box, Graph, Group

HOSTILE = "\"><script>alert(1)</script>&'{{$x}}"


def container(number: int, state: str = "ok") -> Box:
    """Container `c<number>` with the address 10.1.x.y and a port."""
    return Box(
        kind="container",
        name=f"net/c{number}/eth0",
        title=f"c{number}",
        lines=(f"10.1.{number // 250}.{number % 250}/16", "eth0 on network net"),
        ports=(f"0.0.0.0:{10000 + number}/tcp -> 80",),
        state=state,
    )


def graph(size: int) -> Graph:
    """An uplink, a bridge with an overlay and that many containers, and a device without any."""
    return Graph(
        host="node1",
        uplinks=(Box("uplink", "eth0", "eth0", ("192.0.2.1/24", "MTU 1500")),),
        groups=(
            Group(
                Box("device", "cni0", "bridge cni0", ("10.1.0.1/16", "MTU 1450")),
                (
                    Box(
                        "overlay",
                        "vxlan7",
                        "vxlan vxlan7",
                        (
                            "VNI 7, port 4789",
                            "this end 192.0.2.1",
                            *map("peer 192.0.2.{}".format, range(2, 9)),
                        ),
                    ),
                ),
                tuple(container(number) for number in range(size)),
            ),
            Group(Box("device", "br9", "bridge br9", ("MTU 1500",), state="down"), (), ()),
        ),
    )
